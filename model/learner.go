package model

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/nexus-continuum/nexus/model/kernel"
	"github.com/nexus-continuum/nexus/model/learn"
	"github.com/nexus-continuum/nexus/model/text"
)

// ErrNothing is returned by Learner where there are no lessons to learn from, or
// no answer has phrasings enough to hold one out: then nobody could tell whether
// gradient steps do any good, and with up to three phrasings they make matters
// worse as often as better.
var ErrNothing = errors.New("nothing to learn from")

// LearnOptions say what a Learner learns.
type LearnOptions struct {
	// Fresh are the ids of lessons that no gradient step has seen. Beside them
	// up to Config.ReplayBuffer older ones are repeated against forgetting, so
	// that the cost grows with what is new. Without Fresh only older ones are.
	Fresh []string
	Seed  uint64
	// Yield, if not nil, is called in Finish between slices of some
	// milliseconds.
	Yield func()
}

// Learner folds lessons into a copy of a model's weights. It is not safe for
// concurrent use; the model goes on serving.
type Learner struct {
	opt     LearnOptions
	trainer *learn.Trainer
	// replacement is the untrained model of another shape that is to follow; nil where
	// the model keeps its own.
	replacement *Model
}

// Learner prepares to learn. The lessons held out for judging are not learned
// from, however often they come up.
func (m *Model) Learner(opt LearnOptions) (*Learner, error) {
	examples, answers := m.pick(opt, m.reader(), m.cfg.ReplayBuffer)
	if len(examples) == 0 || len(m.store.HeldOut()) == 0 {
		return nil, fmt.Errorf("prepare learning: %w", ErrNothing)
	}
	t, err := learn.New(m.weights, examples, len(answers), m.directions(answers), m.schedule(opt))
	if err != nil {
		return nil, fmt.Errorf("prepare learning: %w", err)
	}
	return &Learner{opt: opt, trainer: t}, nil
}

// pick gives the fresh lessons and a sample of up to replay older ones, as r
// reads them. Labels are places in answers.
func (m *Model) pick(opt LearnOptions, r text.Reader, replay int) (examples []learn.Example, answers []uint32) {
	fresh := make(map[uint32]bool, len(opt.Fresh))
	for _, id := range opt.Fresh {
		if n, ok := m.store.Find(id); ok {
			fresh[n] = true
		}
	}
	held := m.store.HeldOut()
	var older, picked []uint32
	m.store.Each(0, func(n, _ uint32) bool {
		switch {
		case held[n]:
		case fresh[n]:
			picked = append(picked, n)
		default:
			older = append(older, n)
		}
		return true
	})
	rng := rand.New(rand.NewPCG(opt.Seed, 0x7265706c6179))
	rng.Shuffle(len(older), func(i, j int) { older[i], older[j] = older[j], older[i] })
	picked = append(picked, older[:min(len(older), replay)]...)
	slices.Sort(picked)
	labels := map[uint32]int{}
	for _, n := range picked {
		a := m.store.Answer(n)
		label, ok := labels[a]
		if !ok {
			label = len(answers)
			labels[a], answers = label, append(answers, a)
		}
		e := learn.Example{Label: label}
		r.Read(&e.Prompt, m.store.Prompt(n))
		examples = append(examples, e)
	}
	return examples, answers
}

// directions are where the prototypes of answers start [labels×d].
func (m *Model) directions(answers []uint32) []float32 {
	d := m.encoder.Dim()
	out := make([]float32, len(answers)*d)
	for i, a := range answers {
		row := out[i*d : (i+1)*d]
		copy(row, m.store.Sum(a))
		kernel.Normalise(row)
	}
	return out
}

// Schedules, by the number of examples: few examples bear, and need, many
// passes; see docs/architecture for what was measured.
const (
	epochs     = 8
	fewEpochs  = 30
	fewPerName = 15 // examples an answer below which examples are few
)

func (m *Model) schedule(opt LearnOptions) learn.Options {
	o := learn.Options{Seed: opt.Seed, Epochs: epochs}
	if perAnswer := float64(m.store.Len()) / float64(max(m.store.Answers(), 1)); perAnswer < fewPerName {
		// The few-shot recipe of docs/architecture/base.md.
		o.Epochs, o.Dropout, o.GramDropout, o.WordDropout = fewEpochs, 0.5, 0.3, 0.15
	}
	return o
}

// Step takes one gradient step on one minibatch, some ten milliseconds, and
// returns its loss.
func (l *Learner) Step() (loss float64, err error) {
	if loss, err = l.trainer.Step(context.Background()); err != nil {
		return loss, fmt.Errorf("learn: %w", err)
	}
	return loss, nil
}

// Done is the number of steps taken.
func (l *Learner) Done() int { return l.trainer.Done() }

// Total is the number of steps of the whole run.
func (l *Learner) Total() int { return l.trainer.Total() }
