package model

import (
	"cmp"
	"math"
	"slices"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model/gate"
	"github.com/nexus-continuum/nexus/model/learn"
	"github.com/nexus-continuum/nexus/model/memory"
	"github.com/nexus-continuum/nexus/model/text"
)

// scope is how much one calibration asks.
type scope struct {
	lessons   int // that are left out one at a time, each with its answer too
	turned    int // prompts that differ from a lesson by what turns its meaning
	elsewhere int // every how manieth prompt about something else
}

// A full calibration is made with new weights and when it is asked for; a brief
// one as soon as lessons have come that change what memory is like.
var (
	fullScope  = scope{lessons: 600, turned: 240, elsewhere: 1}
	briefScope = scope{lessons: 160, turned: 80, elsewhere: 2}
	tinyScope  = scope{lessons: 64, turned: 40, elsewhere: 6}
)

// everySwapped: of every how manieth lesson a made-up thing is asked.
const everySwapped = 2

// judging collects records slice by slice.
type judging struct {
	model   *Model
	scope   scope
	profile gate.Profile
	lessons []uint32
	held    map[uint32]bool // lessons that no gradient step sees
	foreign []string        // prompts about something else
	next    int             // among the lessons, and then among foreign
	turned  int
	crowd   float64 // sum of cosines to the nearest lesson of another answer
	crowded int
	records []gate.Record
}

// judging prepares to judge m on its own lessons. Each is left out of memory, so
// that it is asked as if nobody had taught it; where gradient steps have seen the
// others, only those that are held out of them can tell how well prompts are
// answered, and the others serve as foreign ones.
func (m *Model) judging(how scope) *judging {
	j := &judging{model: m, scope: how, profile: m.profile(), held: m.store.HeldOut()}
	hashes := map[uint32]uint64{}
	m.store.Each(0, func(n, _ uint32) bool {
		hashes[n] = text.Hash(m.store.Prompt(n)) * 0x9e3779b97f4a7c15
		j.lessons = append(j.lessons, n)
		return true
	})
	// By the hash of the text, held-out ones first: a sample that is the same for
	// old and new weights, and changes little as lessons come.
	last := func(n uint32) int {
		if j.held[n] {
			return 0
		}
		return 1
	}
	slices.SortFunc(j.lessons, func(a, b uint32) int {
		return cmp.Or(cmp.Compare(last(a), last(b)), cmp.Compare(hashes[a], hashes[b]), cmp.Compare(a, b))
	})
	j.lessons = j.lessons[:min(len(j.lessons), how.lessons)]
	for i, p := range elsewhere() {
		if i%how.elsewhere == 0 {
			j.foreign = append(j.foreign, p)
		}
	}
	return j
}

// profile describes the memory of m but for how crowded it is.
func (m *Model) profile() gate.Profile {
	answers := float64(max(m.store.Given(), 1))
	phrasings := min(max(float64(m.store.Shown(""))/answers, 1), gate.MaxPhrasings)
	return gate.Profile{Answers: narrow(math.Log(answers)), Phrasings: narrow(math.Log(phrasings)), Crowd: m.gate.Profile().Crowd}
}

// narrow is x with the precision in which records are kept.
func narrow(x float64) float64 { return float64(float32(x)) }

// all is what judging asks, slice by slice, and gives the records.
func (j *judging) all(yield func()) []gate.Record {
	for j.step() {
		yield()
	}
	return j.finish()
}

// finish gives the records with what is known of the memory once all were asked.
func (j *judging) finish() []gate.Record {
	if j.crowded > 0 {
		j.profile.Crowd = narrow(j.crowd / float64(j.crowded))
	}
	for i := range j.records {
		r := &j.records[i]
		copy(r.Rest[gate.Answers-gate.Distinct:], []float64{j.profile.Answers, j.profile.Phrasings, j.profile.Crowd})
	}
	return j.records
}

// step judges judgeSlice prompts and reports whether some are left.
func (j *judging) step() bool {
	s := j.model.get()
	defer j.model.put(s)
	all := len(j.lessons) + len(j.foreign)
	for n := judgeSlice; n > 0 && j.next < all; n-- {
		if j.next < len(j.lessons) {
			j.lesson(j.next, j.lessons[j.next], s)
		} else {
			j.elsewhere(j.foreign[j.next-len(j.lessons)], s)
		}
		j.next++
	}
	return j.next < all
}

// lesson asks for a lesson as if it had not been taught, and as foreign.
func (j *judging) lesson(i int, n uint32, s *scratch) {
	m := j.model
	answer := m.store.Answer(n)
	if (!m.trained || j.held[n]) && len(m.store.Of(answer)) > 1 {
		if r, ok := m.seen(m.store.Prompt(n), memory.Query{WithoutLesson: n + 1}, s); ok {
			r.Right = slices.IndexFunc(s.found[0].Candidates, func(c memory.Candidate) bool { return c.Answer == answer })
			r.Topic, r.Held = m.store.Topic(n), j.held[n]
			j.records = append(j.records, r)
		}
	}
	if m.store.Answers() > 1 {
		j.addForeign(gate.LeftOut, m.store.Prompt(n), memory.Query{WithoutLesson: n + 1, WithoutAnswer: answer + 1}, s)
		if near := s.found[0].Near; len(near) > 0 {
			j.crowd += float64(near[0].Similarity)
			j.crowded++
		}
	}
	if i%everySwapped == 1 {
		if swapped := m.store.Swapped(n, &s.memory); swapped != "" {
			j.addForeign(gate.MadeUp, swapped, memory.Query{}, s)
		}
	}
	for _, p := range m.store.Contrasts(n, &s.memory) {
		if j.turned < j.scope.turned {
			j.turned++
			j.addForeign(gate.Turned, p, memory.Query{}, s)
		}
	}
}

// addForeign asks a prompt that no answer is right for.
func (j *judging) addForeign(sort gate.Sort, prompt string, q memory.Query, s *scratch) {
	if r, ok := j.model.seen(prompt, q, s); ok {
		r.Foreign, r.Sort = true, sort
		j.records = append(j.records, r)
	}
}

// knownCover is the share of its words, by weight, from which on one answer
// knows a prompt about something else so well that it may have been taught.
const knownCover = 0.7

// elsewhere asks a prompt about something else, unless this deployment was
// taught just that.
func (j *judging) elsewhere(prompt string, s *scratch) {
	r, ok := j.model.seen(prompt, memory.Query{}, s)
	if !ok || slices.ContainsFunc(r.Candidates, func(c gate.Candidate) bool { return c[gate.Cover] >= knownCover }) {
		return
	}
	r.Foreign, r.Sort = true, gate.Elsewhere
	j.records = append(j.records, r)
}

// seen asks one prompt; ok is false where the gate has no part in the answer.
func (m *Model) seen(prompt string, q memory.Query, s *scratch) (r gate.Record, ok bool) {
	learn.GiveWay()
	if m.blend != nil && m.blend.see(prompt) == nil {
		return r, false
	}
	h := m.encodeInto(prompt, 0, s)
	learn.GiveWay()
	q.Vector, q.Form, q.Words = h, &s.forms[0], m.words
	s.queries = append(s.queries[:0], q)
	if _, how := m.store.Repeated(&s.queries[0], &s.memory); how != memory.NoRepeat {
		return r, false
	}
	m.store.Search(s.queries, s.found, &s.memory)
	fill(&r.Look, &s.found[0], s.infos[0], m.gate.Profile())
	r.Right = -1
	return r, len(r.Candidates) > 0
}

// judgedAlike are the records by which old and new weights can be compared: those
// of held-out lessons and foreign ones.
func judgedAlike(records []gate.Record) []gate.Record {
	return slices.DeleteFunc(slices.Clone(records), func(r gate.Record) bool { return !r.Foreign && !r.Held })
}

// figures says how a gate would have done on records, and what it promises.
func figures(g *gate.Gate, records []gate.Record) job.Figures {
	f := job.Figures{Threshold: min(g.Threshold(), 1)}
	var inScope, right, answered float64
	for i := range records {
		r := &records[i]
		if r.Foreign {
			continue
		}
		best, confidence, _ := g.Weigh(&r.Look)
		inScope++
		if best >= 0 && best == r.Right {
			right++
		}
		if confidence >= g.Threshold() {
			answered++
		}
	}
	f.Prompts = int(inScope)
	f.Accuracy = right / max(inScope, 1)
	f.Answered = answered / max(inScope, 1)
	p := g.Promise()
	f.WrongAnswered, f.ForeignRefused = p.Wrong, 1-p.Foreign
	if p.Answered > 0 {
		f.WrongOfAnswered = min(p.Wrong/p.Answered, 1)
	}
	return f
}

// refused is the share of foreign prompts among records that a gate refuses.
func refused(g *gate.Gate, records []gate.Record) float64 {
	var foreign, no float64
	for i := range records {
		r := &records[i]
		if !r.Foreign {
			continue
		}
		foreign++
		if _, confidence, _ := g.Weigh(&r.Look); confidence < g.Threshold() {
			no++
		}
	}
	return no / max(foreign, 1)
}

// refusedAt is the share of foreign prompts refused at the threshold at which
// that share of the others is answered.
func refusedAt(g *gate.Gate, records []gate.Record, answered float64) float64 {
	var others, foreign []float64
	for i := range records {
		_, c, _ := g.Weigh(&records[i].Look)
		if records[i].Foreign {
			foreign = append(foreign, c)
		} else {
			others = append(others, c)
		}
	}
	n := int(answered * float64(len(others)))
	if n == 0 || len(foreign) == 0 {
		return 1
	}
	slices.Sort(others)
	tau, refused := others[len(others)-n], 0
	for _, c := range foreign {
		if c < tau {
			refused++
		}
	}
	return float64(refused) / float64(len(foreign))
}
