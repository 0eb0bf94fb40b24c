package model

import (
	"fmt"

	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/gate"
	"github.com/nexus-continuum/nexus/model/learn"
)

// Replacement prepares a model of cfg's architecture and size to take the place
// of m: a Learner that begins from the untrained weights of cfg and takes its
// steps over all lessons. Finish judges it against the model that it is to
// follow, and gives the one or the other to serve. m goes on serving, learning
// and forgetting meanwhile.
func (m *Model) Replacement(cfg Config, opt LearnOptions) (*Learner, error) {
	next, err := New(cfg)
	if err != nil {
		return nil, fmt.Errorf("prepare a replacement: %w", err)
	}
	opt.Fresh = nil
	examples, answers := m.pick(opt, next.reader(), m.store.Len())
	if len(examples) == 0 {
		return nil, fmt.Errorf("prepare a replacement: %w", ErrNothing)
	}
	t, err := learn.New(next.weights, examples, len(answers), nil, m.schedule(opt))
	if err != nil {
		return nil, fmt.Errorf("prepare a replacement: %w", err)
	}
	return &Learner{opt: opt, trainer: t, replacement: next}, nil
}

// replaced is a model of the replacement's shape, with w for weights, that knows what
// onto knows; its memory holds no vectors yet.
func (l *Learner) replaced(onto *Model, w encoder.Weights) (*Model, error) {
	fresh := *l.replacement
	fresh.cfg.TargetError = onto.cfg.TargetError
	fresh.store, fresh.disputes, fresh.view = onto.store, onto.disputes, onto.view
	fresh.gate = gate.Calibrate(onto.gate.Feedback(), onto.cfg.TargetError)
	return fresh.withWeights(w, true)
}
