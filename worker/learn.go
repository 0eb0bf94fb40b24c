package worker

import (
	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/worker/trainer"
)

// learner adapts a model's learner to the interface of the trainer.
type learner struct{ *model.Learner }

func learn(m *model.Model, fresh []string, seed uint64, yield func()) (trainer.Learner, error) {
	l, err := m.Learner(model.LearnOptions{Fresh: fresh, Seed: seed, Yield: yield})
	if err != nil {
		return nil, err
	}
	return learner{l}, nil
}

func replacementOf(m *model.Model, cfg model.Config, seed uint64, yield func()) (trainer.Learner, error) {
	l, err := m.Replacement(cfg, model.LearnOptions{Seed: seed, Yield: yield})
	if err != nil {
		return nil, err
	}
	return learner{l}, nil
}

// Finish implements trainer.Learner.
func (l learner) Finish(onto *model.Model) (*model.Model, trainer.Report, error) {
	m, r, err := l.Learner.Finish(onto)
	return m, trainer.Report(r), err
}
