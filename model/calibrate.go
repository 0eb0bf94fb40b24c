package model

import (
	"cmp"
	"slices"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model/gate"
	"github.com/nexus-continuum/nexus/model/learn"
	"github.com/nexus-continuum/nexus/model/memory"
	"github.com/nexus-continuum/nexus/model/text"
)

// maxJudged bounds the lessons that one calibration asks for, each up to three
// times: as it is, with its answer left out, and about a made-up thing.
const maxJudged = 600

// Every how manieth lesson is asked as a foreign prompt too, in two ways. The
// bound on answers to foreign prompts is as tight as there are many of them.
const (
	everyLeftOut = 2
	everySwapped = 2
)

// judging collects records slice by slice.
type judging struct {
	model   *Model
	lessons []uint32
	foreign []string // prompts about something else
	next    int      // among the lessons, and then among foreign
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
	return &judging{model: m, lessons: all[:min(len(all), maxJudged)], foreign: elsewhere()}
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

// lesson asks for a held-out lesson as it is, and some of them as foreign.
func (j *judging) lesson(i int, n uint32, s *scratch) {
	m := j.model
	answer := m.store.Answer(n)
	if r, ok := m.seen(m.store.Prompt(n), memory.Query{WithoutLesson: n + 1}, s); ok {
		r.Right = slices.IndexFunc(s.found[0].Candidates, func(c memory.Candidate) bool { return c.Answer == answer })
		j.records = append(j.records, r)
	}
	if i%everyLeftOut == 0 {
		j.stranger(gate.LeftOut, m.store.Prompt(n), memory.Query{WithoutLesson: n + 1, WithoutAnswer: answer + 1}, s)
	}
	if i%everySwapped == 1 {
		if swapped := m.store.Swapped(n, &s.memory); swapped != "" {
			j.stranger(gate.Swapped, swapped, memory.Query{}, s)
		}
	}
}

// stranger asks a prompt that no answer is right for.
func (j *judging) stranger(sort gate.Sort, prompt string, q memory.Query, s *scratch) {
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
	m.encodeInto(prompt, 0, s)
	learn.GiveWay()
	q.Vector, q.Form, q.Words = s.vectors[:m.encoder.Dim()], &s.forms[0], m.words
	s.queries = append(s.queries[:0], q)
	if _, how := m.store.Repeated(&s.queries[0], &s.memory); how != memory.NoRepeat {
		return r, false
	}
	m.store.Search(s.queries, s.found, &s.memory)
	fill(&r.Look, &s.found[0], s.infos[0])
	r.Right = -1
	return r, len(r.Candidates) > 0
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
