package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/storage"
)

// ErrCrash is what every operation gives once the process has "died".
var ErrCrash = errors.New("crashed on purpose")

// crash lets the first n steps pass and none after.
type crash struct {
	mu   sync.Mutex
	left int
	at   string // the step that was not survived
}

func (c *crash) step(op string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left > 0 {
		c.left--
		return nil
	}
	if c.at == "" {
		c.at = op
	}
	return ErrCrash
}

// StepOpener opens the store named root with step asked before whatever may be
// the last thing that a process does.
type StepOpener func(t *testing.T, root string, step func(op string) error) storage.Store

// Crashes runs a short life of datasets and checkpoints, again and again, with
// a crash at each step in turn. After each it opens the store anew and looks
// whether a whole checkpoint and everything that was acknowledged is there, and
// whether life goes on.
func Crashes(t *testing.T, open StepOpener) {
	t.Helper()
	points := 0
	for ; ; points++ {
		root := fmt.Sprintf("crash-%d", points)
		alive := open(t, root, func(string) error { return nil })
		w := begin(t, alive)
		c := &crash{left: points}
		err := w.live(t.Context(), open(t, root, c.step))
		if err != nil && !errors.Is(err, ErrCrash) {
			t.Fatalf("crash at step %d (%s): the error hides its cause: %v", points, c.at, err)
		}
		w.recover(t, open(t, root, func(string) error { return nil }), fmt.Sprintf("crash at step %d (%s)", points, c.at))
		if c.at == "" {
			break
		}
	}
	if points < 30 {
		t.Fatalf("only %d steps were seen; the store does not ask", points)
	}
	t.Logf("%d points of crash", points)
}

// witness knows what was acknowledged and what each checkpoint holds.
type witness struct {
	datasets map[string]string   // id → its one prompt
	whole    map[string][]string // checkpoint id → lineage
	head     string              // acknowledged last
	saved    []string
}

func parts(lineage []string) []storage.Part {
	out := []storage.Part{{Name: "weights", Data: []byte("weights that never change, shared by all checkpoints")}}
	for i, id := range lineage {
		out = append(out, storage.Part{Name: fmt.Sprintf("lessons/%03d", i), Data: []byte("segment of " + id)})
	}
	return out
}

func begin(t *testing.T, s storage.Store) *witness {
	t.Helper()
	w := &witness{datasets: map[string]string{}, whole: map[string][]string{}}
	if err := errors.Join(w.teach(t.Context(), s, "first"), w.teach(t.Context(), s, "second")); err != nil {
		t.Fatal(err)
	}
	return w
}

// teach commits a dataset and saves a checkpoint that learned from it.
func (w *witness) teach(ctx context.Context, s storage.Store, prompt string) error {
	writer, err := storage.NewDatasets(s, storage.DatasetOptions{}).Create(ctx, storage.DatasetMeta{Op: storage.OpTeach})
	if err != nil {
		return err
	}
	if err := writer.Add(storage.Lesson{Prompt: prompt}); err != nil {
		return err
	}
	ds, err := writer.Commit(ctx)
	if err != nil {
		return err
	}
	w.datasets[ds.ID] = prompt
	lineage := append(append([]string{}, w.whole[w.head]...), ds.ID)
	m, err := checkpoints(s).Save(ctx, w.head, parts(lineage), storage.Meta{Learned: []string{ds.ID}})
	if err != nil {
		return err
	}
	w.whole[m.ID], w.head = lineage, m.ID
	w.saved = append(w.saved, m.ID)
	return nil
}

func checkpoints(s storage.Store) *storage.Checkpoints {
	return storage.NewCheckpoints(s, storage.Options{Parallel: 1, Grace: time.Nanosecond})
}

// live saves, promotes, saves upon that, and prunes twice.
func (w *witness) live(ctx context.Context, s storage.Store) error {
	if err := w.teach(ctx, s, "third"); err != nil {
		return err
	}
	if _, err := checkpoints(s).Promote(ctx, w.saved[1]); err != nil {
		return err
	}
	w.head = w.saved[1]
	if err := w.teach(ctx, s, "fourth"); err != nil {
		return err
	}
	for range 2 {
		if _, err := checkpoints(s).Prune(ctx, storage.Retention{Newest: 1}); err != nil {
			return err
		}
	}
	return w.compact(ctx, s)
}

// compact puts all learned datasets into one segment.
func (w *witness) compact(ctx context.Context, s storage.Store) error {
	datasets := storage.NewDatasets(s, storage.DatasetOptions{})
	if b, ok := s.(interface{ BucketDatasets() *storage.Datasets }); ok {
		datasets = b.BucketDatasets()
	}
	_, err := datasets.Compact(ctx, storage.Compaction{Learned: w.whole[w.head], Least: 2})
	return err
}

// allThere looks whether each acknowledged dataset is listed once and can be read.
func (w *witness) allThere(t *testing.T, s storage.Store, when string) {
	t.Helper()
	datasets := storage.NewDatasets(s, storage.DatasetOptions{})
	ids, err := datasets.IDs(t.Context())
	if err != nil {
		t.Fatalf("%s: the datasets cannot be listed: %v", when, err)
	}
	listed := map[string]int{}
	for _, id := range ids {
		listed[id]++
	}
	for id, prompt := range w.datasets {
		_, lessons, err := datasets.Lessons(t.Context(), id)
		if err != nil || len(lessons) != 1 || lessons[0].Prompt != prompt || listed[id] != 1 {
			t.Fatalf("%s: acknowledged dataset %s is lost: listed %d times, %v, %v", when, id, listed[id], lessons, err)
		}
	}
}

// recover is the start after the crash.
func (w *witness) recover(t *testing.T, s storage.Store, when string) {
	t.Helper()
	ctx := t.Context()
	w.allThere(t, s, when)
	if err := w.compact(ctx, s); err != nil {
		t.Fatalf("%s: datasets cannot be put together any more: %v", when, err)
	}
	w.allThere(t, s, when+", compacted again")
	c := checkpoints(s)
	m, got, err := c.LoadLatest(ctx)
	if err != nil {
		t.Fatalf("%s: no checkpoint can be loaded: %v", when, err)
	}
	lineage, err := c.Lineage(ctx, m.ID)
	if err != nil {
		t.Fatalf("%s: lineage: %v", when, err)
	}
	if fmt.Sprint(got) != fmt.Sprint(parts(lineage)) {
		t.Fatalf("%s: checkpoint %s is not whole", when, m.ID)
	}
	if known, ok := w.whole[m.ID]; ok && fmt.Sprint(known) != fmt.Sprint([]string(lineage)) {
		t.Fatalf("%s: checkpoint %s has lineage %v, was saved with %v", when, m.ID, lineage, known)
	}
	// The head is what was acknowledged last or the one step beyond it that was
	// under way; never an earlier one, unless that step was a promotion.
	if m.ID != w.head && m.Parent != w.head && m.ID != w.saved[1] {
		t.Fatalf("%s: checkpoint %s (parent %s) is served, %s was acknowledged", when, m.ID, m.Parent, w.head)
	}
	w.head, w.whole[m.ID] = m.ID, lineage
	if err := w.teach(ctx, s, "after the crash"); err != nil {
		t.Fatalf("%s: nothing can be saved any more: %v", when, err)
	}
	infos, err := s.List(ctx, storage.Corrupted)
	if err != nil || len(infos) > 0 {
		t.Fatalf("%s: something counts as damaged: %v, %v", when, infos, err)
	}
}
