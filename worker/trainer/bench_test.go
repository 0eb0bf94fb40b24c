package trainer_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/storage/dir"
	"github.com/nexus-continuum/nexus/worker/trainer"
)

// oneStep makes trained weights quickly: they are then part of each checkpoint.
type oneStep struct{ *model.Learner }

func (oneStep) Total() int { return 1 }

func (o oneStep) Finish(m *model.Model) (*model.Model, trainer.Report, error) {
	m, r, err := o.Learner.Finish(m)
	return m, trainer.Report(r), err
}

// From the job's start until a single lesson answers, in a model with trained
// weights that knows some thousand others.
func BenchmarkOneLesson(b *testing.B) {
	store, err := dir.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	datasets := storage.NewDatasets(store, storage.DatasetOptions{})
	tr := trainer.New(trainer.Options{
		Checkpoints: storage.NewCheckpoints(store, storage.Options{}), Datasets: datasets,
		Governor: &permits{}, Storage: &fuse{}, Learning: &fuse{},
		Control: func() storage.Control { return storage.Control{Training: true} },
		Learn: func(m *model.Model, fresh []string, seed uint64, yield func()) (trainer.Learner, error) {
			l, err := m.Learner(model.LearnOptions{Fresh: fresh, Seed: seed, Yield: yield})
			return oneStep{l}, err
		},
		Adopt: func(*model.Model, storage.Manifest) {}, Announce: func(context.Context, string) {},
		Fence: 1, Quiet: time.Hour,
	})
	if err := tr.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := tr.Stop(context.Background()); err != nil {
			b.Error(err)
		}
	}()
	teach := func(n int, about string) {
		w, err := datasets.Create(b.Context(), storage.DatasetMeta{Op: storage.OpTeach})
		if err != nil {
			b.Fatal(err)
		}
		for i := range n {
			response := fmt.Sprint("it is ", about, i/4)
			if err := w.Add(storage.Lesson{Prompt: fmt.Sprintf("what about %s of the kind %d and %d", about, i/4, i), Response: &response}); err != nil {
				b.Fatal(err)
			}
		}
		ds, err := w.Commit(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if _, err := tr.Train(b.Context(), job.Spec{Kind: job.KindTrain, Dataset: ds.ID}, nil); err != nil {
			b.Fatal(err)
		}
	}
	teach(3000, "thing")
	n := 0
	for b.Loop() {
		teach(1, fmt.Sprint("lesson", n))
		n++
	}
}
