package model

import (
	"slices"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model/gate"
	"github.com/nexus-continuum/nexus/model/memory"
	"github.com/nexus-continuum/nexus/model/text"
)

// Judgement is what a person said of an answer or a refusal.
type Judgement struct {
	// Interaction names it; of two judgements of one interaction the later counts.
	Interaction string
	Prompt      string
	Topic       string
	// Response is the answer that was given; nil for a refusal, with its Reason.
	Response *string
	Reason   string
	// Lessons are the ids of the lessons that were given as sources.
	Lessons []string
	Correct bool
	// Right is the response that would have been right, if it was told.
	Right *string
}

// Judged tells what became of judgements.
type Judged struct {
	Counted int // for the threshold
	LeftOut int // say nothing of it
}

// Feedback returns a model whose threshold counts judgements, and that gives no
// answer again that was called wrong to the same prompt. Each prompt is
// looked at as if it were asked now, without the lesson that repeats it, which
// may have been made of the judgement. Left out are prompts that were answered
// since they repeat a lesson, refusals that were taught or did not converge, and
// what memory knows nothing of any more: there the threshold had, or would have,
// no part.
func (m *Model) Feedback(judgements []Judgement) (*Model, Judged) {
	s := m.get()
	defer m.put(s)
	var over []string
	var records []gate.Record
	for i := range judgements {
		j := &judgements[i]
		again := func(r gate.Record) bool { return r.Of == j.Interaction }
		over, records = append(over, j.Interaction), slices.DeleteFunc(records, again)
		if r, ok := m.judgement(j, s); ok {
			records = append(records, r)
		}
	}
	out := *m
	for i := range judgements {
		switch j := &judgements[i]; {
		case j.Response != nil && !j.Correct:
			out.disputes = out.disputes.with(j.Prompt, *j.Response)
		case j.Response != nil:
			out.disputes = out.disputes.without(map[string]bool{text.Normalise(j.Prompt): true}, *j.Response)
		}
	}
	out.gate, out.view = m.gate.Judge(over, records), m.view.withJudgements(judgements)
	return &out, Judged{Counted: len(records), LeftOut: len(judgements) - len(records)}
}

// judgement makes a judgement a record for the gate; ok is false where it says
// nothing of the threshold.
func (m *Model) judgement(j *Judgement, s *scratch) (r gate.Record, ok bool) {
	if j.Reason == job.ReasonTaughtRefusal || j.Reason == job.ReasonNotConverged {
		return r, false
	}
	q := memory.Query{Vector: m.encodeInto(j.Prompt, 0, s), Form: &s.forms[0], Words: m.words}
	if j.Response == nil {
		q.Topic = j.Topic // of an answer it is that of the lesson, not of the question
	}
	if !s.infos[0].Converged || s.forms[0].Words() == 0 {
		return r, false
	}
	if n, how := m.store.Repeated(&q, &s.memory); how != memory.NoRepeat {
		if slices.Contains(j.Lessons, m.store.ID(n, &s.memory).String()) {
			return r, false
		}
		q.WithoutLesson = n + 1
		if _, how := m.store.Repeated(&q, &s.memory); how != memory.NoRepeat {
			return r, false
		}
	}
	s.queries = append(s.queries[:0], q)
	m.store.Search(s.queries, s.found, &s.memory)
	r = gate.Record{Right: -1, Feedback: true, Of: j.Interaction}
	fill(&r.Look, &s.found[0], s.infos[0], m.gate.Profile())
	best, _, _ := m.gate.Weigh(&r.Look)
	if best < 0 {
		return r, false
	}
	place := func(response *string) int {
		return slices.IndexFunc(s.found[0].Candidates, func(c memory.Candidate) bool {
			known, refusal := m.store.Response(c.Answer)
			return !refusal && response != nil && known == *response
		})
	}
	switch {
	case j.Response != nil && j.Correct:
		r.Right = place(j.Response)
		return r, r.Right >= 0
	case j.Response != nil:
		// Of another answer that is the best by now nobody has said anything.
		return r, place(j.Response) == best
	case j.Correct:
		r.Foreign = true
		return r, true
	}
	// A refusal that should have been an answer counts if it is told which one.
	r.Right = place(j.Right)
	r.Foreign = r.Right < 0
	return r, j.Right != nil
}
