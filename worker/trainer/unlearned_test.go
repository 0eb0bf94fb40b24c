package trainer_test

import (
	"context"
	"testing"

	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/storage"
)

// latest returns the model that was adopted last.
func (b *bundle) latest() *model.Model {
	b.Helper()
	var m *model.Model
	for {
		select {
		case s := <-b.adopted:
			m = s.model
			continue
		default:
		}
		if m == nil {
			b.Fatal("no model was adopted")
		}
		return m
	}
}

func holds(m *model.Model, topic, prompt string) bool {
	_, ok := m.Lesson(model.LessonID(topic, prompt))
	return ok
}

// Lessons that arrive after an unlearning that is newer than they are, since
// another host was slow, are not answered.
func TestALateLessonDoesNotUndoAnUnlearning(t *testing.T) {
	b := setup(t)
	tr := b.start()
	late := b.teach("hr", "secret → 555-0100", "other → fine")
	b.train(tr, b.put(storage.DatasetMeta{Op: storage.OpForget, LessonIDs: []string{model.LessonID("hr", "secret")}}, nil)).succeeds()
	b.train(tr, late).succeeds()
	if m := b.latest(); holds(m, "hr", "secret") || !holds(m, "hr", "other") {
		t.Error("the late dataset brings back what was unlearned, or the rest of it is lost")
	}
}

// An unlearning that arrives late leaves what was taught again after it.
func TestALateUnlearningLeavesWhatWasTaughtAgain(t *testing.T) {
	b := setup(t)
	tr := b.start()
	b.train(tr, b.teach("hr", "number → 1", "old → 1")).succeeds()
	late := b.put(storage.DatasetMeta{Op: storage.OpForget, Topic: "hr"}, nil)
	b.train(tr, b.teach("hr", "number → 2")).succeeds()
	b.train(tr, late).succeeds()
	if m := b.latest(); !holds(m, "hr", "number") || holds(m, "hr", "old") {
		t.Error("the order of teaching and unlearning is not kept")
	}
}

// Whatever moves the head to an older checkpoint, the model that is loaded from
// it lacks what was unlearned since, before anything is saved.
func TestAnOlderCheckpointIsLoadedWithoutWhatWasUnlearned(t *testing.T) {
	t.Run("single datasets", func(t *testing.T) { olderCheckpoint(t, false) })
	t.Run("datasets put together", func(t *testing.T) { olderCheckpoint(t, true) })
}

func olderCheckpoint(t *testing.T, compacted bool) {
	b := setup(t)
	tr := b.start()
	b.train(tr, b.teach("hr", "secret → 555-0100", "other → fine")).succeeds()
	_, old := b.head()
	b.train(tr, b.put(storage.DatasetMeta{Op: storage.OpForget, LessonIDs: []string{model.LessonID("hr", "secret")}}, nil)).succeeds()
	_, failing := b.head()
	b.stop(tr)
	if compacted {
		learned, err := b.checkpoints.Lineage(t.Context(), failing.ID)
		if err != nil {
			t.Fatal(err)
		}
		if done, err := b.datasets.Compact(t.Context(), storage.Compaction{Learned: learned, Least: 1}); err != nil || done.Datasets == 0 {
			t.Fatalf("%+v, %v", done, err)
		}
	}
	if moved, err := b.checkpoints.Rollback(t.Context(), failing.ID, old.ID, "on purpose"); err != nil || !moved {
		t.Fatalf("take back: %v, %v", moved, err)
	}
	b.latest()
	b.opt.Fence = 2
	b.start()
	if m := (<-b.adopted).model; holds(m, "hr", "secret") || !holds(m, "hr", "other") {
		t.Error("the checkpoint that was taken back brings back what was unlearned")
	}
	saved := <-b.adopted
	if n := saved.manifest.Meta.Lessons; n != 1 {
		t.Errorf("the head holds %d lessons, want 1", n)
	}
}

// An unlearning that its caller canceled in time is not carried out by a load.
func TestACanceledUnlearningIsNotCarriedOut(t *testing.T) {
	b := setup(t)
	tr := b.start()
	b.train(tr, b.teach("hr", "number → 1")).succeeds()
	b.stop(tr)
	canceled := b.put(storage.DatasetMeta{Op: storage.OpForget, Topic: "hr"}, nil)
	b.opt.Dropped = func(_ context.Context, id string) bool { return id == canceled }
	b.opt.Fence = 2
	b.start()
	if m := b.latest(); !holds(m, "hr", "number") {
		t.Error("a canceled unlearning was carried out")
	}
}
