package storage_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/storage"
)

// longLog fills b with n learned lessons, a learned unlearning, a large upload and a
// lesson that nobody learned yet, and returns the ids of what was learned.
func (b *bundle) longLog(t testing.TB, n int) storage.Lineage {
	t.Helper()
	var learned storage.Lineage
	for i := range n {
		learned = append(learned, teach(t, b, lesson(fmt.Sprint("prompt ", i), fmt.Sprint("response ", i))).ID)
	}
	w := create(t, b, storage.DatasetMeta{Op: storage.OpForget, LessonIDs: []string{"0123"}})
	ds, err := w.Commit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	learned = append(learned, ds.ID)
	var many []storage.Lesson
	for i := range 10_000 {
		many = append(many, lesson(fmt.Sprintf("%x", i*2654435761), fmt.Sprintf("%x", i*40503)))
	}
	learned = append(learned, teach(t, b, many...).ID)
	teach(t, b, lesson("not learned yet", "later"))
	b.clock.pass(2 * time.Hour)
	return learned
}

// all reads every dataset.
func (b *bundle) all(t testing.TB) map[string][]storage.Lesson {
	t.Helper()
	ids, err := b.datasets.IDs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]storage.Lesson{}
	for _, id := range ids {
		ds, lessons, err := b.datasets.Lessons(t.Context(), id)
		if err != nil || ds.ID != id || out[id] != nil {
			t.Fatalf("dataset %s: %v", id, err)
		}
		out[id] = append(lessons, storage.Lesson{Prompt: string(ds.Op)})
	}
	return out
}

func (b *bundle) compact(t testing.TB, learned storage.Lineage, least int) storage.Compacted {
	t.Helper()
	done, err := b.datasets.Compact(t.Context(), storage.Compaction{Learned: learned, Age: time.Hour, Least: least})
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// segment is the file of the only segment.
func (b *bundle) segment(t testing.TB) string {
	t.Helper()
	for _, f := range b.files(t, "datasets") {
		if storage.IsSegment(f) {
			return b.path(f)
		}
	}
	t.Fatal("there is no segment")
	return ""
}

func TestManyDatasetsBecomeFewObjects(t *testing.T) {
	t.Parallel()
	b := setup(t)
	learned := b.longLog(t, 1500)
	before := b.all(t)
	if done := b.compact(t, learned, 0); done.Segments != 2 || done.Datasets != 1500 {
		t.Fatalf("%+v; want 1500 datasets in 2 segments", done)
	}
	// The unlearning, the large upload and what is not learned yet stay as they are.
	if files := b.files(t, "datasets"); len(files) != 2+3 {
		t.Errorf("%d objects lie there: %v", len(files), files)
	}
	if single, err := b.datasets.SingleIDs(t.Context()); err != nil || len(single) != 3 || !slices.Contains(single, learned[1500]) {
		t.Errorf("single datasets %v, %v; the unlearning must be among them", single, err)
	}
	for when, reader := range map[string]*bundle{"in the same process": b, "after a restart": b.again(t)} {
		if after := reader.all(t); !reflect.DeepEqual(after, before) {
			t.Errorf("%s %d datasets are read where there were %d, or others", when, len(after), len(before))
		}
	}
	// One that is read without being listed before, as a job does.
	if _, lessons, err := b.again(t).datasets.Lessons(t.Context(), learned[700]); err != nil || len(lessons) != 1 {
		t.Errorf("%v, %v", lessons, err)
	}
	if done := b.compact(t, learned, 0); done.Datasets != 0 {
		t.Errorf("the second time it moved %+v", done)
	}
	// New ones sort after those in segments, for a process that has read nothing.
	again := b.again(t)
	if next := teach(t, again, lesson("next", "one")); next.ID <= learned[len(learned)-1] {
		t.Errorf("the id %s of a new dataset does not sort last", next.ID)
	}
	audit, err := storage.Inspect(t.Context(), b.store, 2)
	if err != nil || audit.Datasets != len(before)+1 || len(audit.Faults) > 0 {
		t.Errorf("verify: %+v, %v", audit, err)
	}
	if scrubbed, err := b.checkpoints.Scrub(t.Context()); err != nil || scrubbed.Datasets != len(before)+1 {
		t.Errorf("scrub: %+v, %v", scrubbed, err)
	}
}

// A young dataset stays single: its job may still be canceled.
func TestYoungDatasetsStaySingle(t *testing.T) {
	t.Parallel()
	b := setup(t)
	learned := storage.Lineage{teach(t, b, lesson("a", "b")).ID, teach(t, b, lesson("c", "d")).ID}
	if done := b.compact(t, learned, 2); done.Datasets != 0 {
		t.Errorf("%+v", done)
	}
	b.clock.pass(2 * time.Hour)
	if done := b.compact(t, learned[:1], 2); done.Datasets != 0 {
		t.Errorf("fewer than asked for are put together: %+v", done)
	}
}

func TestBackupOfCompactedDatasets(t *testing.T) {
	t.Parallel()
	b := setup(t)
	learned := b.longLog(t, 300)
	b.compact(t, learned, 0)
	archive, report := backup(t, b.store)
	if report.Datasets != 303 || len(report.Left) > 0 {
		t.Errorf("%+v", report)
	}
	into := setup(t)
	if _, audit, err := unpack(t, archive, into.store); err != nil || audit.Datasets != 303 {
		t.Fatalf("%+v, %v", audit, err)
	}
	if !reflect.DeepEqual(into.all(t), b.all(t)) {
		t.Error("other datasets come back")
	}
}

// movedAway is a store whose datasets are put together between listing and reading.
type movedAway struct {
	storage.Store
	once sync.Once
	move func()
}

func (m *movedAway) List(ctx context.Context, prefix string) ([]storage.Info, error) {
	infos, err := m.Store.List(ctx, prefix)
	if prefix == storage.DatasetsPrefix {
		m.once.Do(m.move)
	}
	return infos, err
}

func TestBackupBesideACompaction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	learned := b.longLog(t, 300)
	archive, report := backup(t, &movedAway{Store: b.store, move: func() { b.compact(t, learned, 0) }})
	into := setup(t)
	if _, _, err := unpack(t, archive, into.store); err != nil || report.Datasets != 303 {
		t.Fatalf("%+v, %v", report, err)
	}
	if !reflect.DeepEqual(into.all(t), b.all(t)) {
		t.Error("the backup lacks datasets that were put together meanwhile")
	}
}

// Readers see every dataset while they are put together.
func TestReadersBesideACompaction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	learned := b.longLog(t, 600)
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		other := b.again(t)
		readers.Go(func() {
			for {
				ids, err := other.datasets.IDs(t.Context())
				if err != nil || len(ids) != 603 {
					t.Errorf("%d datasets are listed, %v", len(ids), err)
					return
				}
				for i := 0; i < len(ids); i += 7 {
					if _, _, err := other.datasets.Lessons(t.Context(), ids[i]); err != nil {
						t.Error(err)
						return
					}
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	b.compact(t, learned, 0)
	close(done)
	readers.Wait()
	if lines := b.log.errors(); len(lines) > 0 {
		t.Errorf("the log says %q", lines)
	}
}

// A damaged segment costs the damaged dataset and no other.
func TestDamagedSegment(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]func([]byte) int{
		"in a dataset":  func(b []byte) int { return bytes.Index(b, []byte("response 100")) },
		"in the header": func([]byte) int { return 100 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			learned := b.longLog(t, 300)
			before := b.all(t)
			b.compact(t, learned, 0)
			file := b.segment(t)
			object, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			flip(t, file, 8*at(object))
			if name == "in a dataset" {
				delete(before, learned[100])
			}
			b = b.again(t)
			_, _, _ = b.datasets.Lessons(t.Context(), learned[5])
			after := b.all(t)
			if !reflect.DeepEqual(after, before) {
				t.Errorf("%d datasets are left of %d that are whole", len(after), len(before))
			}
			if aside := b.files(t, "corrupted"); len(aside) != 1 || len(b.log.errors()) != 1 {
				t.Errorf("set aside: %v; log %q", aside, b.log.errors())
			}
		})
	}
}

// A dataset that is deleted from a segment is gone, and the others stay.
func TestDeletingFromASegment(t *testing.T) {
	t.Parallel()
	b := setup(t)
	learned := b.longLog(t, 300)
	want := b.all(t)
	b.compact(t, learned, 0)
	for _, id := range []string{learned[0], learned[150], learned[299]} {
		if err := b.datasets.Delete(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		delete(want, id)
	}
	if !reflect.DeepEqual(b.all(t), want) || !reflect.DeepEqual(b.again(t).all(t), want) {
		t.Error("the wrong datasets are left")
	}
}

// A canceled compaction by another process may leave a dataset in both places.
func TestADatasetInBothPlaces(t *testing.T) {
	t.Parallel()
	b := setup(t)
	learned := b.longLog(t, 300)
	want := b.all(t)
	single, err := os.ReadFile(b.path("datasets/" + learned[7]))
	if err != nil {
		t.Fatal(err)
	}
	b.compact(t, learned, 0)
	write(t, b.path("datasets/"+learned[7]), single)
	if !reflect.DeepEqual(b.all(t), want) {
		t.Error("it is listed twice or not at all")
	}
	b.compact(t, learned, 0)
	if files := strings.Join(b.files(t, "datasets"), " "); strings.Contains(files, learned[7]+" ") || !reflect.DeepEqual(b.all(t), want) {
		t.Errorf("the single one was not deleted: %s", files)
	}
}
