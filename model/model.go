// Package model is what NEXUS learns with: an encoder that brings a prompt to
// its equilibrium, a memory of everything taught, and a gate that answers only
// where that is likely right. It holds numbers and texts only: no files, no
// network, no clocks.
package model

import (
	"fmt"
	"maps"
	"sync"

	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/flow"
	"github.com/nexus-continuum/nexus/model/gate"
	"github.com/nexus-continuum/nexus/model/layer"
	"github.com/nexus-continuum/nexus/model/memory"
	"github.com/nexus-continuum/nexus/model/text"
	"github.com/nexus-continuum/nexus/model/wire"
)

// Lesson is one thing taught.
type Lesson = memory.Lesson

// Part is one named piece of a checkpoint.
type Part = wire.Part

// LessonID identifies a lesson by topic and canonical prompt.
func LessonID(topic, prompt string) string { return memory.LessonID(topic, prompt) }

// Model is one immutable state of what is known. All methods may be called at
// the same time; those that change something return a new Model that shares
// nearly everything with the old one.
type Model struct {
	cfg     Config
	weights encoder.Weights
	began   string // digest of the base that the weights began from; empty for none
	trained bool   // weights are not those that Seed and Base give
	encoder encoder.Encoder
	words   *words // as encoder sees them
	// certificate of trained flowing weights; nil for others
	certificate *flow.Certificate
	store       *memory.Store
	gate        *gate.Gate
	disputes    disputes
	view        *view  // of another encoder; nil without one
	blend       *blend // with which this model sees; nil for the own encoder alone
	// calibratedAt is how many lessons memory held when the gate was made; 0 where
	// that is not known any more.
	calibratedAt int
	sampled      bool       // see calibrate
	scratch      *sync.Pool // of *scratch, shared by all models with this shape
	device       Device     // nil for the cores alone
}

// New makes a model that knows nothing and refuses everything.
func New(cfg Config) (*Model, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("make model: %w", err)
	}
	m := &Model{cfg: cfg, began: cfg.Base.Digest(), store: memory.New(shapes[cfg.Size].dim), gate: gate.New(cfg.TargetError)}
	w, err := newWeights(cfg)
	if err != nil {
		return nil, fmt.Errorf("make model: %w", err)
	}
	return m.withWeights(w, false)
}

// newWeights draws untrained weights and puts the base into them.
func newWeights(cfg Config) (encoder.Weights, error) {
	s := shapes[cfg.Size]
	var w encoder.Weights
	if cfg.Architecture == Layered {
		w = layer.New(s.dim, s.buckets, s.blocks, cfg.Seed)
	} else {
		w = flow.New(s.dim, s.buckets, cfg.Seed)
	}
	if err := cfg.Base.Into(w); err != nil {
		return nil, fmt.Errorf("start from the base: %w", err)
	}
	return w, nil
}

// withWeights returns m with other weights; its memory must fit them.
func (m *Model) withWeights(w encoder.Weights, trained bool) (*Model, error) {
	e, err := w.Encoder(m.cfg.options())
	if err != nil {
		return nil, fmt.Errorf("pack weights: %w", err)
	}
	out := *m
	out.weights, out.trained, out.encoder, out.words, out.certificate = w, trained, e, newWords(e), nil
	if flows, ok := w.(*flow.Weights); ok && trained {
		c := flows.Certify()
		out.certificate = &c
	}
	out.scratch = &sync.Pool{New: func() any { return newScratch(e, e.Dim()) }}
	out.view = m.view.unfitted()
	return &out, nil
}

// with returns m with another memory.
func (m *Model) with(s *memory.Store) *Model {
	out := *m
	out.store = s
	return &out
}

// Info describes a model.
type Info struct {
	Architecture string
	Size         string
	Parameters   int
	Base         string // digest of the base that the weights began from; empty for none
	Trained      bool   // gradient steps were promoted into the weights
	// Certificate bounds the norms of a trained cell, which prove that every
	// prompt has one equilibrium; nil where there is no such cell.
	Certificate *flow.Certificate
	Threshold   float64
	TargetError float64
	// Calibrated says that this deployment's own judged prompts count for more than
	// the default calibration.
	Calibrated bool
	Judged     int // calibration prompts in the window
	Lessons    int
	Answers    int
	Exemplars  int
	Topics     map[string]int // lessons by topic
}

// Info describes m.
func (m *Model) Info() Info {
	return Info{
		Architecture: m.cfg.Architecture, Size: m.cfg.Size,
		Parameters: encoder.Parameters(m.weights), Base: m.began, Trained: m.trained, Certificate: m.certificate,
		Threshold: m.gate.Threshold(), TargetError: m.cfg.TargetError,
		Calibrated: m.gate.Own(), Judged: m.gate.Judged(),
		Lessons: m.store.Len(), Answers: m.store.Answers(), Exemplars: m.store.Exemplars(),
		Topics: maps.Clone(m.store.Topics()),
	}
}

// Config returns the settings in use, defaults filled in.
func (m *Model) Config() Config { return m.cfg }

// WithTargetError returns m with another bound on wrong answers.
func (m *Model) WithTargetError(alpha float64) (*Model, error) {
	out := *m
	out.cfg.TargetError = alpha
	if err := out.cfg.check(); err != nil {
		return nil, err
	}
	out.gate = m.gate.WithTarget(alpha)
	out.view = m.view.withTarget(alpha)
	return &out, nil
}

// reader turns text into the features of this size.
func (m *Model) reader() text.Reader { return text.Reader{Buckets: uint32(m.encoder.Buckets())} }
