package model

import (
	"math"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/gate"
	"github.com/nexus-continuum/nexus/model/learn"
	"github.com/nexus-continuum/nexus/model/memory"
	"github.com/nexus-continuum/nexus/model/text"
)

// Query is one prompt.
type Query struct {
	Prompt string
	Topic  string // narrows what may answer; empty for all
}

// Source is a taught lesson near the prompt.
type Source struct {
	ID         memory.ID
	Prompt     string
	Similarity float64
}

// LessonID is the id in writing.
func (s *Source) LessonID() string { return s.ID.String() }

// Verdict is what the model makes of a prompt: a taught response, word for
// word, or a refusal.
type Verdict struct {
	Responded bool
	Response  string // empty in a refusal
	Reason    string // one of job.Reason…; empty in an answer
	// Confidence is the calibrated probability that the best candidate is
	// right; a prompt that repeats a taught one has nearly 1.
	Confidence float64
	Threshold  float64
	Topic      string // of the lesson that answered
	Depth      int
	Converged  bool
	Residual   float64

	// A verdict is a plain value, so that making one takes nothing from the heap.
	sources [maxSources]Source
	near    int
}

// Sources are the taught lessons nearest the prompt, the nearest first; the one
// that it repeats, if any, comes before all others.
func (v *Verdict) Sources() []Source { return v.sources[:v.near] }

// maxSources bounds Verdict.Sources.
const maxSources = 3

// MaxBatch is how many prompts Ask scans together; more are taken in turns.
const MaxBatch = 32

// scratch is the working memory of one call.
type scratch struct {
	prompt  text.Prompt
	encoder *encoder.Scratch
	memory  memory.Scratch
	forms   []text.Form
	vectors []float32
	infos   []encoder.Info
	queries []memory.Query
	repeats []repeat
	found   []memory.Found
	seen    gate.Look
}

// repeat is the lesson that a prompt repeats, if it does.
type repeat struct {
	lesson uint32
	how    memory.Repeat
}

func newScratch(e encoder.Encoder) *scratch {
	return &scratch{
		encoder: e.NewScratch(),
		forms:   make([]text.Form, MaxBatch),
		vectors: make([]float32, MaxBatch*e.Dim()),
		infos:   make([]encoder.Info, MaxBatch),
		queries: make([]memory.Query, 0, MaxBatch),
		repeats: make([]repeat, MaxBatch),
		found:   make([]memory.Found, MaxBatch),
	}
}

func (m *Model) get() *scratch  { return m.scratch.Get().(*scratch) } //nolint:forcetypeassert // the pool holds nothing else
func (m *Model) put(s *scratch) { m.scratch.Put(s) }

// encode is the way memory asks for vectors.
func (s *scratch) encode(m *Model) memory.Encode {
	return func(dst []float32, prompt string) {
		m.reader().Read(&s.prompt, prompt)
		m.encoder.Encode(&s.prompt, dst, s.encoder)
		learn.GiveWay()
	}
}

// Ask answers or refuses each query. Each prompt is brought to its equilibrium
// by itself; memory is scanned for up to MaxBatch of them together.
func (m *Model) Ask(queries []Query) []Verdict {
	return m.AskInto(make([]Verdict, 0, len(queries)), queries)
}

// AskInto is Ask that appends the verdicts to out. It allocates nothing as long
// as out has room.
func (m *Model) AskInto(out []Verdict, queries []Query) []Verdict {
	s := m.get()
	defer m.put(s)
	for from := 0; from < len(queries); from += MaxBatch {
		to := min(from+MaxBatch, len(queries))
		m.look(queries[from:to], s)
		for i := range to - from {
			out = append(out, m.judge(queries[from+i], i, s))
		}
	}
	return out
}

// look encodes up to MaxBatch prompts and searches memory for them. Of those that
// repeat a lesson only what stands near is looked for.
func (m *Model) look(queries []Query, s *scratch) {
	s.queries = s.queries[:0]
	for i, q := range queries {
		h := m.encodeInto(q.Prompt, i, s)
		sought := memory.Query{Vector: h, Form: &s.forms[i], Topic: q.Topic, Words: m.words}
		r := &s.repeats[i]
		r.lesson, r.how = m.store.Repeated(&sought, &s.memory)
		sought.NearOnly = r.how != memory.NoRepeat
		s.queries = append(s.queries, sought)
	}
	m.store.Search(s.queries, s.found, &s.memory)
}

// encodeInto brings a prompt to its equilibrium, into place i of the batch.
func (m *Model) encodeInto(prompt string, i int, s *scratch) (h []float32) {
	h = s.vectors[i*m.encoder.Dim() : (i+1)*m.encoder.Dim()]
	s.forms[i].Read(prompt)
	m.reader().Read(&s.prompt, prompt)
	s.infos[i] = m.encoder.Encode(&s.prompt, h, s.encoder)
	return h
}

// judge makes the verdict on query i of the batch.
func (m *Model) judge(q Query, i int, s *scratch) Verdict {
	info, found := s.infos[i], &s.found[i]
	v := Verdict{
		Threshold: math.Min(m.gate.Threshold(), 1),
		Depth:     info.Depth, Converged: info.Converged, Residual: finite(float64(info.Residual)),
	}
	if m.store.Len() == 0 || q.Topic != "" && m.store.Topics()[q.Topic] == 0 {
		return v.refuse(job.ReasonUntaught)
	}
	if s.forms[i].Words() == 0 {
		return v.refuse(job.ReasonUnfamiliar)
	}
	if r := s.repeats[i]; r.how != memory.NoRepeat {
		v.Confidence = repeatConfidence(r.how)
		v.near = m.sources(&v.sources, r.lesson, s.queries[i].Vector, found, s)
		return m.give(v, r.lesson)
	}
	v.near = m.sources(&v.sources, none, nil, found, s)
	fill(&s.seen, found, info)
	best, confidence, evidence := m.gate.Weigh(&s.seen)
	if best < 0 {
		return v.refuse(job.ReasonUnfamiliar)
	}
	v.Confidence = confidence
	lesson := found.Candidates[best].Lesson
	_, refusal := m.store.Response(found.Candidates[best].Answer)
	switch {
	case refusal:
		return v.refuse(job.ReasonTaughtRefusal)
	case !info.Converged:
		return v.refuse(job.ReasonNotConverged)
	case v.Confidence < m.gate.Threshold():
		return v.refuse(why(&evidence, confidence))
	}
	return m.give(v, lesson)
}

// repeatConfidence: nothing is guessed in a repeat, and next to nothing where
// a slip was read over.
func repeatConfidence(how memory.Repeat) float64 {
	if how == memory.Same || how == memory.Spacing {
		return 1
	}
	return 0.98
}

// give answers as lesson n does.
func (m *Model) give(v Verdict, n uint32) Verdict {
	response, refusal := m.store.Response(m.store.Answer(n))
	if refusal {
		return v.refuse(job.ReasonTaughtRefusal)
	}
	v.Responded, v.Response, v.Topic = true, response, m.store.Topic(n)
	return v
}

func (v Verdict) refuse(reason string) Verdict {
	v.Reason = reason
	return v
}

// Below these a refusal is told as what it most looks like.
const (
	unfamiliarCover = 0.5 // half of what the prompt says is unknown to the answer
	ambiguousGap    = 0.7 // log(1 + gap): the second answer is half as likely as the first
	likely          = 0.5 // in other words, but more likely right than not
)

// why names the reason of a refusal for lack of confidence.
func why(e *gate.Evidence, confidence float64) string {
	switch {
	case confidence < likely && (e[gate.Cover] < unfamiliarCover || e[gate.Missing] > 1-unfamiliarCover):
		return job.ReasonUnfamiliar
	case e[gate.Gap] < ambiguousGap:
		return job.ReasonAmbiguous
	}
	return job.ReasonLowConfidence
}

// none is no lesson number.
const none = ^uint32(0)

// sources lists the repeated lesson, if any, and then the nearest ones, and
// returns their number.
func (m *Model) sources(out *[maxSources]Source, first uint32, h []float32, found *memory.Found, s *scratch) (count int) {
	if first != none {
		out[0] = m.source(first, m.store.Similarity(first, h), s)
		count = 1
	}
	for _, n := range found.Near {
		if count == maxSources {
			break
		}
		if n.Lesson != first {
			out[count] = m.source(n.Lesson, n.Similarity, s)
			count++
		}
	}
	return count
}

func (m *Model) source(lesson uint32, similarity float32, s *scratch) Source {
	return Source{ID: m.store.ID(lesson, &s.memory), Prompt: m.store.Prompt(lesson), Similarity: finite(float64(similarity))}
}

// finite keeps what JSON cannot say out of verdicts.
func finite(x float64) float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return 0
	}
	return x
}

// Candidate is the lesson that comes nearest to answering prompt, whether or
// not the gate would let it pass; ok is false if there is none.
func (m *Model) Candidate(prompt string) (l Lesson, ok bool) {
	s := m.get()
	defer m.put(s)
	m.look([]Query{{Prompt: prompt}}, s)
	if r := s.repeats[0]; r.how != memory.NoRepeat {
		return m.store.Lesson(r.lesson), true
	}
	fill(&s.seen, &s.found[0], s.infos[0])
	best, _, _ := m.gate.Weigh(&s.seen)
	if best < 0 {
		return Lesson{}, false
	}
	return m.store.Lesson(s.found[0].Candidates[best].Lesson), true
}
