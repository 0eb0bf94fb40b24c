package worker

import (
	"bytes"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/storage/dir"
	"github.com/nexus-continuum/nexus/worker/governor"
)

// everyByte is how far apart the cuts of TestEveryTruncation lie; the first and
// the last byte of each part are always among them.
var everyByte = flag.Int("truncate.every", 211, "bytes between the cuts of TestEveryTruncation; 1 is each boundary")

// TestEveryTruncation cuts each part of the newest checkpoint of a real model,
// at byte after byte, and loads as a start does: the cut is noticed, the
// checkpoint is set aside, the one before it is served, and one line of the log
// says which and why.
func TestEveryTruncation(t *testing.T) {
	t.Parallel()
	b := setup(t, "embedded")
	w := b.worker(nil)
	b.ends(b.teach("steady → yes"))
	before, err := b.checkpoints.Head(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	b.ends(b.teach("later → yes"))
	newest, parts, err := b.checkpoints.LoadLatest(b.ctx)
	if err != nil || newest.ID == before.Checkpoint || len(parts) == 0 {
		t.Fatalf("checkpoints %s and %s, %v", before.Checkpoint, newest.ID, err)
	}
	b.end(w)
	older, err := b.checkpoints.Manifest(b.ctx, before.Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	shared := func(p storage.PartRef) bool {
		return slices.ContainsFunc(older.Parts, func(o storage.PartRef) bool { return o.Stored.SHA256 == p.Stored.SHA256 })
	}
	whole := b.store.String()
	cuts, own := 0, 0
	for _, p := range newest.Parts {
		if shared(p) {
			// It takes both with it, and the datasets teach a new model.
			for _, size := range []int64{0, p.Stored.Size / 2, p.Stored.Size - 1} {
				cutAndLoad(b, whole, "", newest.ID, p.Stored.SHA256, size)
				cuts++
			}
			continue
		}
		own++
		for size := int64(0); size < p.Stored.Size; size = next(size, p.Stored.Size, int64(*everyByte)) {
			cutAndLoad(b, whole, before.Checkpoint, newest.ID, p.Stored.SHA256, size)
			cuts++
		}
	}
	if own < 3 {
		t.Errorf("%d parts are the newest checkpoint's alone", own)
	}
	t.Logf("%d cuts of %d parts, %d of them the newest checkpoint's alone", cuts, len(newest.Parts), own)
}

// next is the size of the next cut: one short of the whole comes last.
func next(size, whole, step int64) int64 {
	if size == whole-1 {
		return whole
	}
	return min(size+step, whole-1)
}

// cutAndLoad loads from a copy of the folder in which one part is cut. Files are
// links but for the one that is changed.
func cutAndLoad(b *bundle, whole, good, bad, part string, size int64) {
	b.Helper()
	folder := b.TempDir()
	err := filepath.WalkDir(whole, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(whole, path)
		if err != nil || strings.HasPrefix(rel, ".") && rel != "." {
			return err
		}
		to := filepath.Join(folder, rel)
		if d.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		if filepath.Base(path) != part {
			return os.Link(path, to)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(to, content[:size], 0o600)
	})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := os.RemoveAll(folder); err != nil {
			b.Error(err)
		}
	}()
	store, err := dir.Open(folder)
	if err != nil {
		b.Fatal(err)
	}
	gov, err := governor.New(governor.Options{Sampler: calm{}})
	if err != nil {
		b.Fatal(err)
	}
	var log bytes.Buffer
	opt := Options{
		Queue: On(b.queue), Checkpoints: storage.NewCheckpoints(store, storage.Options{Log: slog.New(slog.NewTextHandler(&log, nil))}),
		Datasets: b.datasets, Control: b.control, Governor: gov,
	}
	w, err := New(opt)
	if err != nil {
		b.Fatal(err)
	}
	if err := w.loadFirst(b.ctx); err != nil {
		b.Fatalf("part %s cut to %d bytes: %v", part, size, err)
	}
	if got := w.served.Load().checkpoint; got != good || knows(w, "steady", "yes") != (good != "") {
		b.Fatalf("part %s cut to %d bytes: %s is served, want %s", part, size, got, good)
	}
	if _, err := os.Stat(filepath.Join(folder, "corrupted", "parts", part)); err != nil {
		b.Fatalf("part %s cut to %d bytes was not set aside: %v", part, size, err)
	}
	said := 0
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, "level=ERROR") && strings.Contains(line, part) && strings.Contains(line, bad) && strings.Contains(line, "damaged") {
			said++
		}
	}
	if said != 1 {
		b.Fatalf("part %s cut to %d bytes: %d lines say so:\n%s", part, size, said, log.String())
	}
}
