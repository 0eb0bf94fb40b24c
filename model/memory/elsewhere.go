package memory

// elsewhere looks for a lesson of another topic that gives the prompt in w.form
// another response than l: the newest one.
func (w *edit) elsewhere(l Lesson) (older Lesson, ok bool) {
	differs := func(n uint32) bool {
		if !w.store.alive(n) || w.topic(n) == l.Topic || !w.sameForm(n) {
			return false
		}
		a := w.answer(w.answerOf(n))
		return a.response != l.Response || a.refusal != l.Refusal
	}
	hash := w.form.Hash()
	if n, there := w.prompts[hash]; there && differs(n) {
		return w.lesson(n), true
	}
	w.old.index.newest(keyed(kindPrompt, hash), func(n uint32) bool {
		if differs(n) {
			older, ok = w.lesson(n), true
		}
		return !ok
	})
	return older, ok
}
