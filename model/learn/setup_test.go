package learn

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/flow"
	"github.com/nexus-continuum/nexus/model/layer"
	"github.com/nexus-continuum/nexus/model/text"
)

const testBuckets = 1 << 10

// read makes an example of a text.
func read(s string, label int) Example {
	e := Example{Label: label}
	text.Reader{Buckets: testBuckets}.Read(&e.Prompt, s)
	return e
}

// task is a small task that words alone decide, in several phrasings.
func task(perLabel int, seed uint64) []Example {
	objects := []string{"password", "invoice", "parcel", "meeting", "weather", "recipe"}
	frames := []string{"how do i see my %s", "please show the %s now", "%s", "where is the %s", "tell me about a %s today", "i lost the %s", "change %s please", "what is this %s for"}
	rng := rand.New(rand.NewPCG(seed, 1))
	var out []Example
	for l, o := range objects {
		for range perLabel {
			out = append(out, read(fmt.Sprintf(frames[rng.IntN(len(frames))], o), l))
		}
	}
	return out
}

// architectures are untrained weights of both kinds.
func architectures(dim int, seed uint64) map[string]encoder.Weights {
	return map[string]encoder.Weights{
		"flowing": flow.New(dim, testBuckets, seed),
		"layered": layer.New(dim, testBuckets, 2, seed),
	}
}

// plain options switch off all that is random within a step.
func plain() Options {
	return Options{Seed: 7, Dropout: None, WordDropout: None, GramDropout: None, Batch: 12, Threshold: 1e-6, MaxSteps: 200}
}

func newTrainer(t testing.TB, w encoder.Weights, examples []Example, opt Options) *Trainer {
	t.Helper()
	labels := 0
	for _, e := range examples {
		labels = max(labels, e.Label+1)
	}
	tr, err := New(w, examples, labels, nil, opt)
	if err != nil {
		t.Fatalf("new trainer: %v", err)
	}
	t.Cleanup(func() {
		if err := tr.Close(); err != nil {
			t.Errorf("close trainer: %v", err)
		}
	})
	return tr
}
