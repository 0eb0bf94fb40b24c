package model

import (
	"math"
	"slices"

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
	part   bool   // it is one sentence of a longer prompt
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
	Repeat     bool   // the prompt repeats a lesson: nothing was guessed
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
	prompts []text.Prompt // of a batch for a device, and encoded their vectors; made on first use
	encoded []float32
	encoder *encoder.Scratch
	memory  memory.Scratch
	forms   []text.Form
	vectors []float32
	infos   []encoder.Info
	queries []memory.Query
	repeats []repeat
	found   []memory.Found
	seen    gate.Look
	aligner text.Aligner
	// disputed is a prompt whose answer was called wrong.
	disputed text.Form
	first    []uint32 // the lessons that are named as sources whatever is near
}

// repeat is the lesson that a prompt repeats, if it does.
type repeat struct {
	lesson uint32
	how    memory.Repeat
}

func newScratch(e encoder.Encoder, width int) *scratch {
	return &scratch{
		encoder: e.NewScratch(),
		forms:   make([]text.Form, MaxBatch),
		vectors: make([]float32, MaxBatch*width),
		infos:   make([]encoder.Info, MaxBatch),
		queries: make([]memory.Query, 0, MaxBatch),
		repeats: make([]repeat, MaxBatch),
		found:   make([]memory.Found, MaxBatch),
		first:   make([]uint32, 0, maxSources),
	}
}

func (m *Model) get() *scratch {
	s := m.scratch.Get().(*scratch) //nolint:forcetypeassert // the pool holds nothing else
	s.memory.Beside = m.device
	return s
}

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
	first := len(out)
	out = m.askWhole(out, queries)
	for i := range queries {
		if v := &out[first+i]; !v.Responded && !queries[i].part {
			*v = m.bySentence(queries[i], *v)
		}
	}
	return out
}

// askWhole looks at each prompt as a whole.
func (m *Model) askWhole(out []Verdict, queries []Query) []Verdict {
	s := m.get()
	defer m.put(s)
	for from := 0; from < len(queries); from += MaxBatch {
		to := min(from+MaxBatch, len(queries))
		m.encodeAndSearch(queries[from:to], s)
		for i := range to - from {
			out = append(out, m.judge(queries[from+i], i, s))
		}
	}
	return out
}

// encodeAndSearch encodes up to MaxBatch prompts and searches memory for them. Of those that
// repeat a lesson only what stands near is looked for.
func (m *Model) encodeAndSearch(queries []Query, s *scratch) {
	s.queries = s.queries[:0]
	m.encodeAll(queries, s)
	for i, q := range queries {
		sought := memory.Query{Vector: m.vector(i, s), Form: &s.forms[i], Topic: q.Topic, Words: m.words}
		r := &s.repeats[i]
		r.lesson, r.how = m.store.Repeated(&sought, &s.memory)
		sought.NearOnly = r.how != memory.NoRepeat
		s.queries = append(s.queries, sought)
	}
	m.store.Search(s.queries, s.found, &s.memory)
}

// encodeInto brings a prompt to its equilibrium, into place i of the batch.
func (m *Model) encodeInto(prompt string, i int, s *scratch) (h []float32) {
	h, d := m.vector(i, s), m.encoder.Dim()
	s.forms[i].Read(prompt)
	m.reader().Read(&s.prompt, prompt)
	s.infos[i] = m.encoder.Encode(&s.prompt, h[:d], s.encoder)
	if m.blend != nil {
		m.blend.add(h, d, prompt)
	}
	return h
}

// vector is that of query i of the batch.
func (m *Model) vector(i int, s *scratch) []float32 {
	w := m.store.Dim()
	return s.vectors[i*w : (i+1)*w]
}

// judge makes the verdict on query i of the batch.
func (m *Model) judge(q Query, i int, s *scratch) Verdict {
	info, found := s.infos[i], &s.found[i]
	v := Verdict{
		Threshold: math.Min(m.threshold(""), 1),
		Depth:     info.Depth, Converged: info.Converged, Residual: finite(float64(info.Residual)),
	}
	if m.store.Shown(q.Topic) == 0 {
		return v.refuse(job.ReasonUntaught)
	}
	if s.forms[i].Words() == 0 {
		return v.refuse(job.ReasonUnfamiliar)
	}
	if r := s.repeats[i]; r.how != memory.NoRepeat {
		v.Confidence, v.Repeat = repeatConfidence(r.how), true
		if other, ok := m.store.Rival(&s.queries[i], r.lesson, &s.memory); ok {
			v.near = m.sources(&v.sources, append(s.first[:0], r.lesson, other), s.queries[i].Vector, found, s)
			return v.refuse(job.ReasonAmbiguous)
		}
		v.near = m.sources(&v.sources, append(s.first[:0], r.lesson), s.queries[i].Vector, found, s)
		return m.give(v, r.lesson, i, s)
	}
	fill(&s.seen, found, info, m.gate.Profile())
	w := m.gate.Verdict(&s.seen)
	if w.Best < 0 || !s.forms[i].Speaks() {
		v.near = m.sources(&v.sources, nil, s.queries[i].Vector, found, s)
		return v.refuse(job.ReasonUnfamiliar)
	}
	v.Confidence = w.Confidence
	best := &found.Candidates[w.Best]
	if best.Whole && w.Evidence[gate.Margin] >= closeMargin {
		v.Confidence = max(v.Confidence, wholeConfidence)
	}
	_, refusal := m.store.Response(best.Answer)
	s.first = append(s.first[:0], best.Lesson)
	reason := ""
	tau := m.threshold(m.store.Topic(best.Lesson))
	v.Threshold = math.Min(tau, 1)
	switch {
	case refusal:
		reason = job.ReasonTaughtRefusal
	case !info.Converged:
		reason = job.ReasonNotConverged
	case v.Confidence < tau:
		if reason = m.why(&w, found); reason == job.ReasonAmbiguous {
			s.first = append(s.first, found.Candidates[w.Second].Lesson)
		}
	}
	v.near = m.sources(&v.sources, s.first, s.queries[i].Vector, found, s)
	if reason != "" {
		return v.refuse(reason)
	}
	return m.give(v, best.Lesson, i, s)
}

// threshold is the confidence from which on answers of a topic are given. What
// memory holds now counts, also where the gate was made of more.
func (m *Model) threshold(topic string) float64 {
	return max(m.gate.ThresholdIn(topic), m.profile().Floor())
}

// repeatConfidence: nothing is guessed in a repeat, and next to nothing where
// a slip was read over.
func repeatConfidence(how memory.Repeat) float64 {
	if how == memory.Same || how == memory.Spacing {
		return 1
	}
	return 0.98
}

// give answers query i as lesson n does, unless people called that wrong.
func (m *Model) give(v Verdict, n uint32, i int, s *scratch) Verdict {
	response, refusal := m.store.Response(m.store.Answer(n))
	if refusal {
		return v.refuse(job.ReasonTaughtRefusal)
	}
	if m.disputes.disputed(&s.forms[i], response, s) {
		v.Confidence = min(v.Confidence, disputedConfidence)
		return v.refuse(job.ReasonLowConfidence)
	}
	v.Responded, v.Response, v.Topic = true, response, m.store.Topic(n)
	return v
}

// disputedConfidence is what is left of an answer that people called wrong.
const disputedConfidence = 0.05

func (v Verdict) refuse(reason string) Verdict {
	v.Reason = reason
	return v
}

// wholeConfidence is that of a prompt which is a lesson without its wrapping:
// "opening hours" of "what are your opening hours?".
const wholeConfidence = 0.96

// closeMargin is the margin below which a second answer is nearly as likely as
// the first: log(1 + gap), of a gap of two.
const closeMargin = 1.1

// why names the reason of a refusal for lack of confidence: what is least likely
// of all that must hold.
func (m *Model) why(w *gate.Verdict, found *memory.Found) string {
	familiar, alone, meant := w.By[gate.Familiar], w.By[gate.Clear], w.By[gate.Meant]
	if familiar <= min(alone, meant) && familiar < 0.5 {
		return job.ReasonUnfamiliar
	}
	if w.Second >= 0 {
		second := &found.Candidates[w.Second]
		turned := w.Evidence[gate.Opposite]+w.Evidence[gate.Swapped]+w.Evidence[gate.Other] > 0.5
		if w.Evidence[gate.Margin] < closeMargin || turned && second.Same >= closeWords {
			return job.ReasonAmbiguous
		}
	}
	return job.ReasonLowConfidence
}

// closeWords is the share of words in common from which on a second answer could be
// meant too where a word of the first turns the meaning.
const closeWords = 0.5

// sources lists the lessons in first and then the nearest ones, and returns their
// number.
func (m *Model) sources(out *[maxSources]Source, first []uint32, h []float32, found *memory.Found, s *scratch) (count int) {
	for _, n := range first {
		out[count] = m.source(n, m.store.Similarity(n, h), s)
		count++
	}
	for _, n := range found.Near {
		if count == maxSources {
			break
		}
		if !slices.Contains(first, n.Lesson) {
			out[count] = m.source(n.Lesson, n.Similarity, s)
			count++
		}
	}
	return count
}

func (m *Model) source(lesson uint32, similarity float32, s *scratch) Source {
	return Source{ID: m.store.ID(lesson, &s.memory), Prompt: m.store.Prompt(lesson), Similarity: min(finite(float64(similarity)), 1)} // rounding may lead beyond
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
	m.encodeAndSearch([]Query{{Prompt: prompt}}, s)
	if r := s.repeats[0]; r.how != memory.NoRepeat {
		return m.store.Lesson(r.lesson), true
	}
	fill(&s.seen, &s.found[0], s.infos[0], m.gate.Profile())
	best, _, _ := m.gate.Weigh(&s.seen)
	if best < 0 {
		return Lesson{}, false
	}
	return m.store.Lesson(s.found[0].Candidates[best].Lesson), true
}
