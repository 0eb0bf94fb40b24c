package storage_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/storage"
)

func TestFreshStart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, _, err := b.checkpoints.LoadLatest(t.Context()); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("LoadLatest of an empty folder = %v, want ErrNotFound", err)
	}
	if h, err := b.checkpoints.Head(t.Context()); err != nil || h != (storage.Head{}) {
		t.Errorf("Head of an empty folder = %+v, %v; want the zero Head", h, err)
	}
	if lines := b.log.errors(); len(lines) > 0 {
		t.Errorf("a fresh start is logged as an error: %q", lines)
	}
}

func TestSaveAndLoad(t *testing.T) {
	t.Parallel()
	b := setup(t)
	random := make([]byte, 1<<20)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(random)
	parts := []storage.Part{
		{Name: "weights/embedding", Data: random},
		{Name: "lessons/0001", Data: bytes.Repeat([]byte("the same words again and again\n"), 50_000)},
		{Name: "zeros", Data: make([]byte, 3<<20)},
		{Name: "empty", Data: []byte{}},
		{Name: "twin", Data: random},
	}
	meta := storage.Meta{
		Architecture: "flowing", Size: "small", Lessons: 7, Topics: map[string]int{"support": 7},
		Figures: json.RawMessage(`{"accuracy":0.93}`), Fence: 3, Why: "memorised",
	}
	saved := b.save(t, "", meta, parts...)

	m, got := b.again(t).latest(t)
	if !sameParts(got, parts) {
		t.Error("the parts that were loaded are not those that were saved")
	}
	if fmt.Sprint(m) != fmt.Sprint(saved) || m.Meta.Topics["support"] != 7 || string(m.Meta.Figures) != `{"accuracy":0.93}` {
		t.Errorf("loaded manifest %+v, saved %+v", m, saved)
	}
	if files := b.files(t, "parts"); len(files) != 4 {
		t.Errorf("%d objects for 4 different contents: %q", len(files), files)
	}
	if m.StoredBytes() > m.Bytes()/2 {
		t.Errorf("%d bytes are stored in %d: nothing was compressed", m.Bytes(), m.StoredBytes())
	}
	head, err := b.checkpoints.Head(t.Context())
	if err != nil || head.Checkpoint != m.ID || head.Fence != 3 || head.Seq != 1 {
		t.Errorf("Head = %+v, %v; want %s", head, err, m.ID)
	}
}

func TestUnchangedPartsAreNotWrittenAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	weights := part("weights", strings.Repeat("unchanged ", 1000))
	first := b.save(t, "", storage.Meta{}, weights, part("state", "one"))
	before, err := os.Stat(b.stored(t, first, "weights"))
	if err != nil {
		t.Fatal(err)
	}
	second := b.save(t, first.ID, storage.Meta{}, weights, part("state", "two"))
	after, err := os.Stat(b.stored(t, second, "weights"))
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("an unchanged part was written again: %v", err)
	}
	if n := len(b.files(t, "parts")); n != 3 {
		t.Errorf("%d parts are stored, want 3", n)
	}
	if second.Parent != first.ID || second.ID <= first.ID {
		t.Errorf("second checkpoint %s has parent %s, want one that sorts after %s", second.ID, second.Parent, first.ID)
	}
}

func TestSaveRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.save(t, "", storage.Meta{Fence: 5}, part("weights", "a"))
	second := b.save(t, first.ID, storage.Meta{Fence: 5}, part("weights", "b"))
	cases := []struct {
		name   string
		parent string
		meta   storage.Meta
		parts  []storage.Part
		want   error
	}{
		{"a parent that is no longer the head", first.ID, storage.Meta{Fence: 5}, nil, storage.ErrConflict},
		{"no parent", "", storage.Meta{Fence: 5}, nil, storage.ErrConflict},
		{"an older fencing token", second.ID, storage.Meta{Fence: 4}, nil, storage.ErrFenced},
		{"a reserved part name", second.ID, storage.Meta{Fence: 5}, []storage.Part{part("lineage/000000", "")}, storage.ErrBadKey},
		{"a part name that climbs", second.ID, storage.Meta{Fence: 5}, []storage.Part{part("../../etc/passwd", "")}, storage.ErrBadKey},
		{"a dataset that is no id", second.ID, storage.Meta{Fence: 5, Learned: []string{"x"}}, nil, storage.ErrBadKey},
	}
	for _, c := range cases {
		if _, err := b.checkpoints.Save(t.Context(), c.parent, c.parts, c.meta); !errors.Is(err, c.want) {
			t.Errorf("Save with %s = %v, want %v", c.name, err, c.want)
		}
	}
	if m, _ := b.latest(t); m.ID != second.ID {
		t.Errorf("after refused saves %s is served, want %s", m.ID, second.ID)
	}
	if list, err := b.checkpoints.List(t.Context()); err != nil || len(list) != 2 {
		t.Errorf("after refused saves there are %d checkpoints (%v), want 2", len(list), err)
	}
}

// Somebody moves the only checkpoint aside by hand, as the runbook says: what is
// learned after the restart is saved, although the head still names that one.
func TestSaveAfterTheLastCheckpointWasSetAside(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := b.save(t, "", storage.Meta{Fence: 5}, part("weights", "a"))
	if err := os.MkdirAll(filepath.Join(b.folder, "corrupted"), 0o700); err != nil {
		t.Fatal(err)
	}
	name := "checkpoint_" + m.ID + ".json"
	if err := os.Rename(filepath.Join(b.folder, name), filepath.Join(b.folder, "corrupted", name)); err != nil {
		t.Fatal(err)
	}
	b = b.again(t)
	if _, _, err := b.checkpoints.LoadLatest(t.Context()); !errors.Is(err, storage.ErrNotFound) {
		t.Fatalf("LoadLatest = %v, want ErrNotFound", err)
	}
	next := b.save(t, "", storage.Meta{Fence: 6}, part("weights", "b"))
	if latest, _ := b.latest(t); latest.ID != next.ID {
		t.Errorf("%s is served, want %s", latest.ID, next.ID)
	}
}

func TestLineageGrowsInPartsOfItsOwn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var all []string
	var last storage.Manifest
	size := 0
	for range 5 {
		var learned []string
		for range 1000 {
			learned = append(learned, job.NewID())
		}
		all = append(all, learned...)
		last = b.save(t, last.ID, storage.Meta{Learned: learned}, part("weights", "w"))
		file, err := os.ReadFile(b.manifest(last.ID))
		if err != nil {
			t.Fatal(err)
		}
		size = len(file)
	}
	if last.Datasets != len(all) || size > 4096 {
		t.Errorf("manifest of %d bytes counts %d datasets; want %d in at most 4096 bytes", size, last.Datasets, len(all))
	}
	// Nothing new is learned a second time.
	last = b.save(t, last.ID, storage.Meta{Learned: all[:3]}, part("weights", "w"))
	for name, c := range map[string]*storage.Checkpoints{"same": b.checkpoints, "another": b.again(t).checkpoints} {
		lineage, err := c.Lineage(t.Context(), last.ID)
		if err != nil || fmt.Sprint([]string(lineage)) != fmt.Sprint(all) {
			t.Errorf("%s process: lineage of %d, %v; want the %d that were learned, in order", name, len(lineage), err, len(all))
		}
		fresh := job.NewID()
		if got := lineage.Missing([]string{all[0], fresh, all[4999]}); fmt.Sprint(got) != fmt.Sprint([]string{fresh}) {
			t.Errorf("Missing = %q, want only %q", got, fresh)
		}
	}
	if _, parts := b.again(t).latest(t); len(parts) != 1 {
		t.Errorf("Load gives %d parts, want only the saver's own", len(parts))
	}
}

func TestPromote(t *testing.T) {
	t.Parallel()
	b := setup(t)
	saved := b.chain(t, 3)
	head, err := b.checkpoints.Promote(t.Context(), saved[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	if seen, err := b.again(t).checkpoints.Head(t.Context()); err != nil || seen != head || seen.Checkpoint != saved[0].ID {
		t.Errorf("Head = %+v, %v; want what Promote returned, %+v", seen, err, head)
	}
	if _, parts := b.again(t).latest(t); string(parts[1].Data) != "state 0" {
		t.Errorf("after the promotion %q is served", parts[1].Data)
	}
	// The trainer that still builds on the former head must notice.
	if _, err := b.checkpoints.Save(t.Context(), saved[2].ID, nil, storage.Meta{}); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("Save onto the former head = %v, want ErrConflict", err)
	}
	next := b.save(t, saved[0].ID, storage.Meta{}, part("weights", "new"))
	if next.ID <= saved[2].ID {
		t.Errorf("checkpoint %s sorts before the older %s", next.ID, saved[2].ID)
	}
	if _, err := b.checkpoints.Promote(t.Context(), job.NewID()); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("Promote of an unknown id = %v, want ErrNotFound", err)
	}
	flip(t, b.stored(t, saved[1], "state"), 9)
	if _, err := b.checkpoints.Promote(t.Context(), saved[1].ID); !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("Promote of a damaged checkpoint = %v, want ErrCorrupt", err)
	}
	if m, _ := b.latest(t); m.ID != next.ID {
		t.Errorf("a failed promotion moved the head to %s", m.ID)
	}
}

// A checkpoint that fails in service is left, said to fail, and left alone if
// the head has moved on; who promotes it again has it tried again.
func TestRollback(t *testing.T) {
	t.Parallel()
	b := setup(t)
	saved := b.chain(t, 3)
	if moved, err := b.checkpoints.Rollback(t.Context(), saved[2].ID, saved[1].ID, "it panics"); err != nil || !moved {
		t.Fatalf("Rollback = %v, %v", moved, err)
	}
	if m, _ := b.again(t).latest(t); m.ID != saved[1].ID {
		t.Errorf("after a restart %s is served, want %s", m.ID, saved[1].ID)
	}
	r, err := b.checkpoints.Registry(t.Context())
	if err != nil || r.Failing[saved[2].ID].Why != "it panics" {
		t.Errorf("the registry is %+v, %v", r, err)
	}
	if moved, err := b.checkpoints.Rollback(t.Context(), saved[2].ID, saved[0].ID, "late"); err != nil || moved {
		t.Errorf("Rollback of what is not the head = %v, %v", moved, err)
	}
	if _, err := b.checkpoints.Promote(t.Context(), saved[2].ID); err != nil {
		t.Fatal(err)
	}
	if r, err := b.checkpoints.Registry(t.Context()); err != nil || len(r.Failing) > 0 {
		t.Errorf("after the promotion the registry is %+v, %v", r, err)
	}
	flip(t, b.stored(t, saved[1], "state"), 9)
	if moved, err := b.checkpoints.Rollback(t.Context(), saved[2].ID, saved[1].ID, "x"); moved || !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("Rollback to a damaged checkpoint = %v, %v", moved, err)
	}
}

// TestRunbook does by hand what the runbook tells an operator to do.
func TestRunbook(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name string
		do   func(t *testing.T, b *bundle, saved []storage.Manifest)
		want int // index of the checkpoint served after the restart; -1 is a fresh start
	}{
		{"move a manifest to corrupted", func(t *testing.T, b *bundle, saved []storage.Manifest) {
			shell(t, b, "mv checkpoint_"+saved[2].ID+".json corrupted/")
		}, 1},
		{"remove a manifest", func(t *testing.T, b *bundle, saved []storage.Manifest) {
			shell(t, b, "rm checkpoint_"+saved[2].ID+".json")
		}, 1},
		{"remove two manifests", func(t *testing.T, b *bundle, saved []storage.Manifest) {
			shell(t, b, "rm checkpoint_"+saved[2].ID+".json checkpoint_"+saved[1].ID+".json")
		}, 0},
		{"remove the head", func(t *testing.T, b *bundle, _ []storage.Manifest) { shell(t, b, "rm head.json") }, 2},
		{"clear the folder", func(t *testing.T, b *bundle, _ []storage.Manifest) { shell(t, b, `rm -rf "$PWD"/*`) }, -1},
		{"remove the folder", func(t *testing.T, b *bundle, _ []storage.Manifest) { shell(t, b, `rm -rf "$PWD"`) }, -1},
		{"back up, clear, restore", func(t *testing.T, b *bundle, _ []storage.Manifest) {
			shell(t, b, `tar -czf ../backup.tar.gz "$PWD" && rm -rf "$PWD" && tar -xzf ../backup.tar.gz -C /`)
		}, 2},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			saved := b.chain(t, 3)
			c.do(t, b, saved)
			b = b.again(t)
			if c.want < 0 {
				if _, _, err := b.checkpoints.LoadLatest(t.Context()); !errors.Is(err, storage.ErrNotFound) {
					t.Errorf("LoadLatest = %v, want a fresh start", err)
				}
				b.save(t, "", storage.Meta{}, part("weights", "fresh"))
				return
			}
			m, parts := b.latest(t)
			if m.ID != saved[c.want].ID || string(parts[1].Data) != fmt.Sprintf("state %d", c.want) {
				t.Errorf("%s is served with %q, want %s", m.ID, parts[1].Data, saved[c.want].ID)
			}
			b.save(t, m.ID, storage.Meta{}, part("weights", "goes on"))
			if lines := b.log.errors(); len(lines) > 0 {
				t.Errorf("nothing was damaged, but the log says %q", lines)
			}
		})
	}
}

func shell(t *testing.T, b *bundle, command string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
	cmd.Dir = b.folder
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
}

func TestFolderClearedUnderARunningTrainer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	learned := make([]string, 1500) // more than one part of the lineage
	for i := range learned {
		learned[i] = job.NewID()
	}
	first := b.save(t, "", storage.Meta{Learned: learned}, part("weights", "a"))
	if err := os.RemoveAll(b.folder); err != nil {
		t.Fatal(err)
	}
	b.save(t, first.ID, storage.Meta{}, part("weights", "a"), part("state", "b"))
	b = b.again(t)
	m, parts := b.latest(t)
	lineage, err := b.checkpoints.Lineage(t.Context(), m.ID)
	if len(parts) != 2 || err != nil || !slices.Equal(lineage, learned) {
		t.Errorf("what the trainer had in memory was not saved whole: %d parts, lineage of %d, %v", len(parts), len(lineage), err)
	}
}
