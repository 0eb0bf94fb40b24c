package model

import (
	"fmt"
	"strings"

	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/flow"
	"github.com/nexus-continuum/nexus/model/gate"
	"github.com/nexus-continuum/nexus/model/layer"
	"github.com/nexus-continuum/nexus/model/memory"
	"github.com/nexus-continuum/nexus/model/wire"
)

// Names of the parts beside those of the memory.
const (
	partModel     = "model"
	partGate      = "gate"
	partDisputes  = "disputes"
	prefixWeights = "weights-"
)

// formatVersion 2 added the base; a model of version 1 began without one.
const formatVersion = 2

// Parts writes m. A part that holds the same as in an earlier state has the
// same name and the same bytes: weights change only when a consolidation is
// promoted, and all but the last lessons and vectors stay as they are.
func (m *Model) Parts() []Part {
	var w wire.Writer
	w.Uint(formatVersion)
	w.String(m.cfg.Architecture)
	w.String(m.cfg.Size)
	w.Uint(m.cfg.Seed)
	w.Uint(bit(m.trained))
	w.String(m.began)
	parts := []Part{{Name: partModel, Data: w.Bytes}}
	if m.trained {
		for _, s := range m.weights.Sections() {
			var w wire.Writer
			w.Uint(uint64(len(s.Shape)))
			for _, n := range s.Shape {
				w.Uint(uint64(n))
			}
			w.Floats(s.Data)
			parts = append(parts, Part{Name: prefixWeights + s.Name, Data: w.Bytes})
		}
	}
	parts = append(parts, m.store.Parts()...)
	if len(m.disputes) > 0 {
		parts = append(parts, Part{Name: partDisputes, Data: m.disputes.Bytes()})
	}
	parts = append(parts, Part{Name: partGate, Data: m.gate.Bytes()})
	return append(parts, m.view.parts(m.store)...)
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// Shape is the architecture and size that parts were written by.
type Shape struct{ Architecture, Size string }

// head is the part "model".
type head struct {
	Shape
	seed    uint64
	trained bool
	base    string // digest of the base that the weights began from
}

func readHead(parts []Part) (h head, err error) {
	for _, p := range parts {
		if p.Name != partModel {
			continue
		}
		r := wire.NewReader(p.Data)
		version := r.Uint(1 << 32)
		if r.Err() == nil && (version < 1 || version > formatVersion) {
			r.Fail("version %d, this program reads 1 to %d", version, formatVersion)
		}
		h.Architecture, h.Size = r.String(), r.String()
		h.seed = r.Uint(1<<64 - 1)
		h.trained = r.Uint(1) == 1
		if version > 1 {
			h.base = r.String()
		}
		if err := r.Close(); err != nil {
			return h, fmt.Errorf("read part %s: %w", p.Name, err)
		}
		return h, nil
	}
	return h, fmt.Errorf("%w: no part %q", wire.ErrCorrupt, partModel)
}

// Open reads what Parts wrote. Where cfg asks for another architecture or size
// than the parts have, or for another base and no gradient step was promoted
// yet, the lessons are taken over and encoded anew by untrained weights;
// consolidation has to follow. Trained weights stay, whatever base they began
// from. Damaged or hostile parts are an error.
func Open(cfg Config, parts []Part) (*Model, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("open model: %w", err)
	}
	h, err := readHead(parts)
	if err != nil {
		return nil, fmt.Errorf("open model: %w", err)
	}
	stored, ok := shapes[h.Size]
	if !ok {
		return nil, fmt.Errorf("open model: %w: size %q", wire.ErrCorrupt, h.Size)
	}
	store, err := memory.Open(stored.dim, parts)
	if err != nil {
		return nil, fmt.Errorf("open model: %w", err)
	}
	g, err := openGate(cfg.TargetError, parts)
	if err != nil {
		return nil, fmt.Errorf("open model: %w", err)
	}
	disputes, err := openDisputes(parts)
	if err != nil {
		return nil, fmt.Errorf("open model: read part %s: %w", partDisputes, err)
	}
	v, err := openView(cfg.TargetError, store, parts)
	if err != nil {
		return nil, fmt.Errorf("open model: %w", err)
	}
	if h.Architecture != cfg.Architecture || h.Size != cfg.Size || !h.trained && h.base != cfg.Base.Digest() {
		fresh, err := New(cfg)
		if err != nil {
			return nil, err
		}
		// What people judged outlives the weights.
		fresh.gate, fresh.disputes, fresh.view = gate.Calibrate(g.Feedback(), cfg.TargetError), disputes, v.unfitted()
		return fresh.recode(store), nil
	}
	cfg.Seed = h.seed
	w, err := openWeights(cfg, h.trained, parts)
	if err != nil {
		return nil, fmt.Errorf("open model: %w", err)
	}
	m := &Model{cfg: cfg, began: h.base, store: store, gate: g, disputes: disputes}
	if m, err = m.withWeights(w, h.trained); err != nil {
		return nil, err
	}
	m.view = v
	return m, nil
}

func openGate(alpha float64, parts []Part) (*gate.Gate, error) {
	for _, p := range parts {
		if p.Name == partGate {
			g, err := gate.Open(alpha, p.Data)
			if err != nil {
				return nil, fmt.Errorf("read part %s: %w", p.Name, err)
			}
			return g, nil
		}
	}
	return nil, fmt.Errorf("%w: no part %q", wire.ErrCorrupt, partGate)
}

func openWeights(cfg Config, trained bool, parts []Part) (encoder.Weights, error) {
	if !trained {
		return newWeights(cfg)
	}
	var sections []encoder.Section
	for _, p := range parts {
		name, ok := strings.CutPrefix(p.Name, prefixWeights)
		if !ok {
			continue
		}
		r := wire.NewReader(p.Data)
		s := encoder.Section{Name: name}
		n := 1
		for range r.Uint(4) {
			s.Shape = append(s.Shape, int(r.Uint(1<<24)))
			if n *= s.Shape[len(s.Shape)-1]; n > 1<<30 {
				r.Fail("shape %v", s.Shape)
			}
		}
		s.Data = r.Floats(n)
		if err := r.Close(); err != nil {
			return nil, fmt.Errorf("read part %s: %w", p.Name, err)
		}
		sections = append(sections, s)
	}
	shape := shapes[cfg.Size]
	if cfg.Architecture == Layered {
		return layer.Load(shape.dim, shape.buckets, shape.blocks, sections)
	}
	w, _, err := flow.Load(shape.dim, shape.buckets, sections)
	return w, err
}

// recode takes over the lessons of a store of other vectors.
func (m *Model) recode(s *memory.Store) *Model {
	sc := m.get()
	defer m.put(sc)
	return m.with(s.Recode(m.encoder.Dim(), sc.encode(m)).Finish())
}
