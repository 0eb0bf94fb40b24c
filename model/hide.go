package model

// Hiding returns m that answers as if the answers that hide picks had never been
// taught, and still lists them; nil hides nothing. Answers that m hid and hide does
// not pick are given again. Teaching, unlearning and training give models that hide
// nothing.
func (m *Model) Hiding(hide func(topic, response string, refusal bool) bool) *Model {
	return m.with(m.store.Hiding(hide))
}
