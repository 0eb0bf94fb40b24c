package storage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/storage"
)

// damageable is a folder with two checkpoints and a dataset, and the means to
// put it back as it was.
type damageable struct {
	*bundle
	old, latest storage.Manifest
	dataset     storage.Dataset
	files       map[string][]byte
	parts       map[string][]storage.Part
}

func newDamageable(t *testing.T) *damageable {
	t.Helper()
	d := &damageable{bundle: setup(t), files: map[string][]byte{}, parts: map[string][]storage.Part{}}
	d.dataset = teach(t, d.bundle, lesson("how do i reset my password", "Open Settings."), lesson("why", ""))
	oldParts := []storage.Part{part("weights", "old weights"), part("lessons/0", strings.Repeat("compressible ", 100))}
	d.old = d.save(t, "", storage.Meta{Learned: []string{d.dataset.ID}}, oldParts...)
	newParts := []storage.Part{part("weights", "new weights"), part("lessons/0", strings.Repeat("also compressible ", 100))}
	d.latest = d.save(t, d.old.ID, storage.Meta{}, newParts...)
	d.parts[d.old.ID], d.parts[d.latest.ID] = oldParts, newParts
	for _, f := range d.bundle.files(t, "") {
		b, err := os.ReadFile(d.path(f))
		if err != nil {
			t.Fatal(err)
		}
		d.files[f] = b
	}
	return d
}

// restore puts every file back and clears what was set aside.
func (d *damageable) restore(t *testing.T) {
	t.Helper()
	for _, f := range d.bundle.files(t, "") {
		if _, ours := d.files[f]; !ours {
			if err := os.Remove(d.path(f)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for f, b := range d.files {
		write(t, d.path(f), b)
	}
}

// check starts the service on the damaged folder and looks what it makes of it.
// file is what was damaged.
func (d *damageable) check(t *testing.T, file, how string) {
	t.Helper()
	b := d.again(t)
	want := d.latest.ID
	switch name := filepath.Base(file); {
	case strings.HasPrefix(file, "datasets/"):
		if _, _, err := b.datasets.Lessons(t.Context(), d.dataset.ID); !errors.Is(err, storage.ErrCorrupt) {
			t.Fatalf("%s: reading the dataset = %v, want ErrCorrupt", how, err)
		}
		if ids, err := b.datasets.IDs(t.Context()); err != nil || len(ids) != 0 {
			t.Fatalf("%s: the damaged dataset is still listed: %q, %v", how, ids, err)
		}
	case file == "head.json", strings.HasPrefix(file, "checkpoint_"+d.old.ID):
	case strings.HasPrefix(file, "checkpoint_"), d.only(d.latest, name):
		want = d.old.ID
	case d.only(d.old, name):
	default: // shared by both: nothing whole is left
		want = ""
	}
	m, parts, err := b.checkpoints.LoadLatest(t.Context())
	if want == "" {
		if !errors.Is(err, storage.ErrNotFound) {
			t.Fatalf("%s: LoadLatest = %s, %v; want a fresh start", how, m.ID, err)
		}
	} else if err != nil || m.ID != want || !sameParts(parts, d.parts[want]) {
		t.Fatalf("%s: LoadLatest = %s, %v; want %s whole", how, m.ID, err, want)
	}
	if _, err := b.checkpoints.List(t.Context()); err != nil {
		t.Fatalf("%s: List: %v", how, err)
	}
	if d.only(d.old, filepath.Base(file)) {
		if err := b.checkpoints.Verify(t.Context(), d.old.ID); !errors.Is(err, storage.ErrCorrupt) {
			t.Fatalf("%s: Verify of the other checkpoint = %v, want ErrCorrupt", how, err)
		}
	}
	if _, err := os.Stat(d.path("corrupted/" + file)); err != nil {
		t.Fatalf("%s: it was not set aside: %v", how, err)
	}
	lines := b.log.errors()
	if want != "" && len(lines) != 1 || !strings.Contains(strings.Join(lines, ""), "corrupted/"+file) || !strings.Contains(lines[0], "damaged") {
		t.Fatalf("%s: the log says %q, want one line with the file and the reason", how, lines)
	}
}

// only reports whether the part object is named by m and not by the other.
func (d *damageable) only(m storage.Manifest, object string) bool {
	in := func(m storage.Manifest) bool {
		for _, p := range m.Parts {
			if p.Stored.SHA256 == object {
				return true
			}
		}
		return false
	}
	return in(m) && (!in(d.old) || !in(d.latest))
}

func TestEveryTruncationIsNoticed(t *testing.T) {
	t.Parallel()
	d := newDamageable(t)
	for file, whole := range d.files {
		step := 1
		if strings.HasPrefix(file, "checkpoint_") || strings.HasPrefix(file, "datasets/") {
			step = 7 // one line of JSON: every cut of it is alike
		}
		for n := 0; n < len(whole); n += step {
			write(t, d.path(file), whole[:n])
			d.check(t, file, fmt.Sprintf("%s cut to %d of %d bytes", file, n, len(whole)))
			d.restore(t)
		}
		write(t, d.path(file), append(whole[:len(whole):len(whole)], 'x'))
		d.check(t, file, file+" with a byte more")
		d.restore(t)
	}
}

func TestEveryBitFlipIsNoticed(t *testing.T) {
	t.Parallel()
	d := newDamageable(t)
	random := rand.New(rand.NewPCG(1, 2))
	var names []string
	for file := range d.files {
		names = append(names, file)
	}
	for range 2000 {
		file := names[random.IntN(len(names))]
		bit := random.IntN(8 * len(d.files[file]))
		flip(t, d.path(file), bit)
		d.check(t, file, fmt.Sprintf("%s with bit %d flipped", file, bit))
		d.restore(t)
	}
}

func TestMissingPart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	saved := b.chain(t, 3)
	if err := os.Remove(b.stored(t, saved[2], "state")); err != nil {
		t.Fatal(err)
	}
	b = b.again(t)
	if m, _ := b.latest(t); m.ID != saved[1].ID {
		t.Errorf("%s is served, want the one before", m.ID)
	}
	if lines := b.log.errors(); len(lines) != 1 || !strings.Contains(lines[0], saved[2].ID) || !strings.Contains(lines[0], "missing") {
		t.Errorf("the log says %q, want one line that names the checkpoint and the missing part", lines)
	}
}

// TestDamagedPartIsWrittenAgain: what the trainer still has in memory heals the store.
func TestDamagedPartIsWrittenAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shared := part("weights", "shared by all")
	first := b.save(t, "", storage.Meta{}, shared, part("state", "1"))
	flip(t, b.stored(t, first, "weights"), 3)
	if err := b.again(t).checkpoints.Verify(t.Context(), first.ID); !errors.Is(err, storage.ErrCorrupt) {
		t.Fatalf("Verify = %v, want ErrCorrupt", err)
	}
	second := b.save(t, first.ID, storage.Meta{}, shared, part("state", "2"))
	if m, parts := b.again(t).latest(t); m.ID != second.ID || string(parts[0].Data) != "shared by all" {
		t.Errorf("%s is served, want %s", m.ID, second.ID)
	}
}

// TestUnreadableIsNotDamaged: what cannot be read now is no reason to set a
// checkpoint aside or to start afresh.
func TestUnreadableIsNotDamaged(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.chain(t, 2)
	away := fmt.Errorf("no answer: %w", storage.ErrUnavailable)
	store := unreadable{Store: b.store, err: away}
	if _, _, err := storage.NewCheckpoints(store, storage.Options{}).LoadLatest(t.Context()); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("LoadLatest = %v, want ErrUnavailable", err)
	}
	if aside := b.files(t, "corrupted"); len(aside) > 0 {
		t.Errorf("%q was set aside because the store did not answer", aside)
	}
}

// TestWireFaultIsNotDamage: bytes that come wrong once and right the next time
// do not set a checkpoint aside.
func TestWireFaultIsNotDamage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	saved := b.chain(t, 2)
	store := &flakyWire{Store: b.store, seen: map[string]bool{}}
	m, _, err := storage.NewCheckpoints(store, storage.Options{Parallel: 1}).LoadLatest(t.Context())
	if err != nil || m.ID != saved[1].ID {
		t.Errorf("LoadLatest = %s, %v; want %s", m.ID, err, saved[1].ID)
	}
	if aside := b.files(t, "corrupted"); len(aside) > 0 {
		t.Errorf("%q was set aside for one wrong reading", aside)
	}
}

func TestDamagedControl(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := b.control.Update(t.Context(), func(c *storage.Control) { c.Paused = true }); err != nil {
		t.Fatal(err)
	}
	flip(t, b.path("control.json"), 1000)
	if _, err := b.control.Read(t.Context()); !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("Read of a damaged record = %v, want ErrCorrupt", err)
	}
	c, err := b.control.Update(t.Context(), func(c *storage.Control) { c.Topic = "support" })
	if err != nil || c.Paused || !c.Training || c.Topic != "support" {
		t.Errorf("Update of a damaged record = %+v, %v; want the defaults with the topic", c, err)
	}
	if lines := b.log.errors(); len(lines) != 1 || !strings.Contains(lines[0], "corrupted/control.json") {
		t.Errorf("the log says %q, want one line", lines)
	}
}

// unreadable gives no object.
type unreadable struct {
	storage.Store
	err error
}

// flakyWire turns a bit in the first reading of each object.
type flakyWire struct {
	storage.Store
	seen map[string]bool
}

func (u unreadable) Get(context.Context, string) (io.ReadCloser, error) { return nil, u.err }

func (f *flakyWire) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	r, err := f.Store.Get(ctx, key)
	if err != nil || f.seen[key] {
		return r, err
	}
	f.seen[key] = true
	b, err := io.ReadAll(r)
	b[len(b)/2] ^= 4
	return io.NopCloser(bytes.NewReader(b)), errors.Join(err, r.Close())
}
