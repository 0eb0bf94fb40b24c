package model

import (
	"cmp"
	"slices"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model/gate"
	"github.com/nexus-continuum/nexus/model/memory"
	"github.com/nexus-continuum/nexus/model/text"
)

// maxJudged bounds the lessons that one calibration asks for, each up to three
// times: as it is, with its answer left out, and hollowed.
const maxJudged = 600

// Every how manieth lesson is asked as a foreign prompt too, in two ways. The
// bound on answers to foreign prompts is as tight as there are many of them.
const (
	everyForeign = 2 // its whole answer left out of memory
	everyHollow  = 4 // its telling words taken away
)

// judging collects records slice by slice.
type judging struct {
	model   *Model
	lessons []uint32
	next    int
	records []gate.Record
}

// judging prepares to judge m on held-out lessons.
func (m *Model) judging() *judging {
	var all []uint32
	for n := range m.store.HeldOut() {
		all = append(all, n)
	}
	// By the hash of the text: a sample that is the same for old and new
	// weights, and changes little as lessons come.
	hashes := make(map[uint32]uint64, len(all))
	for _, n := range all {
		hashes[n] = text.Hash(m.store.Prompt(n)) * 0x9e3779b97f4a7c15
	}
	slices.SortFunc(all, func(a, b uint32) int { return cmp.Or(cmp.Compare(hashes[a], hashes[b]), cmp.Compare(a, b)) })
	return &judging{model: m, lessons: all[:min(len(all), maxJudged)]}
}

// step judges a few lessons and reports whether some are left.
func (j *judging) step(n int) bool {
	s := j.model.get()
	defer j.model.put(s)
	for ; n > 0 && j.next < len(j.lessons); n-- {
		j.lesson(j.next, j.lessons[j.next], s)
		j.next++
	}
	return j.next < len(j.lessons)
}

func (j *judging) lesson(i int, n uint32, s *scratch) {
	m := j.model
	answer := m.store.Answer(n)
	j.record(m.store.Prompt(n), memory.Query{WithoutLesson: n + 1}, func(a uint32) bool { return a == answer }, false, s)
	never := func(uint32) bool { return false }
	if i%everyForeign == 0 {
		j.record(m.store.Prompt(n), memory.Query{WithoutLesson: n + 1, WithoutAnswer: answer + 1}, never, true, s)
	}
	if i%everyHollow == 1 {
		if hollow := m.store.Hollow(n, &s.memory); hollow != "" {
			j.record(hollow, memory.Query{}, never, true, s)
		}
	}
}

// record asks one prompt and keeps what came of it.
func (j *judging) record(prompt string, q memory.Query, right func(answer uint32) bool, foreign bool, s *scratch) {
	m := j.model
	m.encodeInto(prompt, 0, s)
	q.Vector, q.Form = s.vectors[:m.encoder.Dim()], &s.forms[0]
	s.queries = append(s.queries[:0], q)
	if _, how := m.store.Repeated(&s.queries[0], &s.memory); how != memory.NoRepeat {
		return // answered without the gate
	}
	m.store.Search(s.queries, s.found, &s.memory)
	var look gate.Look
	fill(&look, &s.found[0], s.infos[0])
	if len(look.Candidates) == 0 {
		return
	}
	j.records = append(j.records, gate.Record{
		Look: look, Foreign: foreign,
		Right: slices.IndexFunc(s.found[0].Candidates[:len(look.Candidates)], func(c memory.Candidate) bool { return right(c.Answer) }),
	})
}

// figures says how a gate would have done on records.
func figures(g *gate.Gate, records []gate.Record) job.Figures {
	f := job.Figures{Threshold: min(g.Threshold(), 1)}
	var inScope, right, answered, wrong, foreign, refused float64
	for i := range records {
		r := &records[i]
		best, confidence, _ := g.Weigh(&r.Look)
		yes, correct := confidence >= g.Threshold(), best >= 0 && best == r.Right
		switch {
		case r.Foreign:
			foreign++
			if !yes {
				refused++
			}
		default:
			inScope++
			if correct {
				right++
			}
			if yes {
				answered++
			}
		}
		if yes && !correct {
			wrong++
		}
	}
	f.Prompts = len(records)
	f.Accuracy = right / max(inScope, 1)
	f.Answered = answered / max(inScope, 1)
	f.WrongAnswered = wrong / max(float64(len(records)), 1)
	f.ForeignRefused = refused / max(foreign, 1)
	return f
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
