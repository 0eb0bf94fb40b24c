package trainer_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
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
	w := newBench(b, b.TempDir())
	w.start()
	w.teach(3000, "thing")
	n := 0
	for b.Loop() {
		w.teach(1, fmt.Sprint("lesson", n))
		n++
	}
}

// The same where so many lessons were taught one by one before.
func BenchmarkOneLessonAfterMany(b *testing.B) {
	for _, many := range []int{1, 5_000, 40_000, 100_000} {
		b.Run(fmt.Sprint(many), func(b *testing.B) {
			folder := b.TempDir()
			w := newBench(b, folder)
			tr := w.start()
			w.teach(1, "thing")
			w.stop(tr)
			w.taughtBefore(folder, many)
			w.start()
			w.teach(1, "another") // the first save reads the lineage
			n := 0
			for b.Loop() {
				w.teach(1, fmt.Sprint("lesson", n))
				n++
			}
		})
	}
}

// bench is a trainer on a folder.
type bench struct {
	*testing.B
	opt      trainer.Options
	datasets *storage.Datasets
	trainer  *trainer.Trainer
	kept     *storage.Checkpoints
}

func newBench(b *testing.B, folder string) *bench {
	b.Helper()
	store, err := dir.Open(folder)
	if err != nil {
		b.Fatal(err)
	}
	w := &bench{B: b, datasets: storage.NewDatasets(store, storage.DatasetOptions{}), kept: storage.NewCheckpoints(store, storage.Options{})}
	w.opt = trainer.Options{
		Checkpoints: w.kept, Datasets: w.datasets,
		Governor: &permits{}, Storage: &fuse{}, Learning: &fuse{},
		Control: func() storage.Control { return storage.Control{Training: true} },
		Learn: func(m *model.Model, fresh []string, seed uint64, yield func()) (trainer.Learner, error) {
			l, err := m.Learner(model.LearnOptions{Fresh: fresh, Seed: seed, Yield: yield})
			return oneStep{l}, err
		},
		Adopt: func(*model.Model, storage.Manifest) {}, Announce: func(context.Context, string) {},
		Fence: 1, Quiet: time.Hour,
	}
	return w
}

func (w *bench) start() *trainer.Trainer {
	w.Helper()
	w.trainer = trainer.New(w.opt)
	if err := w.trainer.Start(w.Context()); err != nil {
		w.Fatal(err)
	}
	tr := w.trainer
	w.Cleanup(func() { w.stop(tr) })
	return tr
}

func (w *bench) stop(tr *trainer.Trainer) {
	if err := tr.Stop(context.Background()); err != nil {
		w.Error(err)
	}
}

func (w *bench) teach(n int, about string) {
	w.Helper()
	d, err := w.datasets.Create(w.Context(), storage.DatasetMeta{Op: storage.OpTeach})
	if err != nil {
		w.Fatal(err)
	}
	for i := range n {
		response := fmt.Sprint("it is ", about, i/4)
		if err := d.Add(storage.Lesson{Prompt: fmt.Sprintf("what about %s of the kind %d and %d", about, i/4, i), Response: &response}); err != nil {
			w.Fatal(err)
		}
	}
	ds, err := d.Commit(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	if _, err := w.trainer.Train(w.Context(), job.Spec{Kind: job.KindTrain, Dataset: ds.ID}, nil); err != nil {
		w.Fatal(err)
	}
}

// taughtBefore puts datasets into the folder, and into the lineage of its head.
func (w *bench) taughtBefore(folder string, n int) {
	w.Helper()
	ids := make([]string, n)
	for i := range ids {
		ids[i] = job.NewID()
		if err := os.WriteFile(filepath.Join(folder, "datasets", ids[i]), []byte("x"), 0o600); err != nil {
			w.Fatal(err)
		}
	}
	m, parts, err := w.kept.LoadLatest(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	meta := m.Meta
	meta.Learned = ids
	if _, err := w.kept.Save(w.Context(), m.ID, parts, meta); err != nil {
		w.Fatal(err)
	}
}
