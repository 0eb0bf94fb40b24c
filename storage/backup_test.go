package storage_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/storage/dir"
	"github.com/nexus-continuum/nexus/storage/storetest"
)

// lived is a store with a life behind it: two checkpoints, a dataset that the
// last one does not know, a control record and a secret.
func lived(t testing.TB) *bundle {
	t.Helper()
	b := setup(t)
	first := teach(t, b, lesson("how do i reset my password", "Open Settings."))
	m := b.save(t, "", storage.Meta{Learned: []string{first.ID}, Lessons: 1, Fence: 3}, part("weights", strings.Repeat("w", 3000)), part("state", "1"))
	second := teach(t, b, slices.Repeat([]storage.Lesson{lesson("where is the archive", "Under Billing.")}, 700)...)
	b.save(t, m.ID, storage.Meta{Learned: []string{second.ID}, Lessons: 2, Fence: 4}, part("weights", strings.Repeat("w", 3000)), part("state", "2"))
	teach(t, b, lesson("not yet trained", "But kept."))
	if _, err := b.control.Update(t.Context(), func(c *storage.Control) { c.Topic = "support" }); err != nil {
		t.Fatal(err)
	}
	if err := b.store.Put(t.Context(), "webhook_secret", storage.Body([]byte("whsec_x"))); err != nil {
		t.Fatal(err)
	}
	return b
}

func backup(t testing.TB, store storage.Store) ([]byte, storage.BackupReport) {
	t.Helper()
	var out bytes.Buffer
	report, err := storage.Backup(t.Context(), store, &out, storage.BackupOptions{Spool: t.TempDir()})
	if err != nil {
		t.Fatalf("Backup: %v", err)
	}
	return out.Bytes(), report
}

// scratch is an empty store to unpack into.
func scratch(t testing.TB) storage.Store {
	t.Helper()
	s, err := dir.Scratch(filepath.Join(storetest.MemoryDir(t), "scratch"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// unpack is Unpack and Inspect, as a restore does them.
func unpack(t testing.TB, archive []byte, into storage.Store) (storage.Unpacked, storage.Audit, error) {
	t.Helper()
	held, err := storage.Unpack(t.Context(), bytes.NewReader(archive), into, storage.UnpackLimits{Spool: t.TempDir()})
	if err != nil {
		return held, storage.Audit{}, err
	}
	audit, err := storage.Inspect(t.Context(), into, 0)
	return held, audit, err
}

// content is everything that a store holds, by key.
func content(t testing.TB, s storage.Store) map[string]string {
	t.Helper()
	infos, err := s.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, i := range infos {
		r, err := s.Get(t.Context(), i.Key)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		out[i.Key] = string(b)
	}
	return out
}

// sameLife looks whether got serves, knows and will learn what want does.
func sameLife(t *testing.T, want, got *bundle) {
	t.Helper()
	wm, wp := want.latest(t)
	gm, gp := got.latest(t)
	if wm.ID != gm.ID || !sameParts(wp, gp) {
		t.Errorf("checkpoint %s is served where %s was, or its parts differ", gm.ID, wm.ID)
	}
	wh, err1 := want.checkpoints.Head(t.Context())
	gh, err2 := got.checkpoints.Head(t.Context())
	if wh != gh || err1 != nil || err2 != nil {
		t.Errorf("head %+v, was %+v (%v, %v)", gh, wh, err2, err1)
	}
	wc, err1 := want.control.Read(t.Context())
	gc, err2 := got.control.Read(t.Context())
	if wc != gc || err1 != nil || err2 != nil {
		t.Errorf("control %+v, was %+v (%v, %v)", gc, wc, err2, err1)
	}
	had, has := content(t, want.store), content(t, got.store)
	for key, body := range had {
		if (strings.HasPrefix(key, "datasets/") || key == "webhook_secret") && has[key] != body {
			t.Errorf("%s is not what it was", key)
		}
	}
	if lines := got.log.errors(); len(lines) > 0 {
		t.Errorf("the log says %q", lines)
	}
}

func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	b := lived(t)
	archive, report := backup(t, b.store)
	head, err := b.checkpoints.Head(t.Context())
	if err != nil || report.Checkpoint != head.Checkpoint || report.Datasets != 3 || report.Untrained != 1 || len(report.Left) > 0 {
		t.Errorf("report %+v (%v), want checkpoint %s and three datasets, one of them untrained", report, err, head.Checkpoint)
	}
	from := scratch(t)
	held, audit, err := unpack(t, archive, from)
	if err != nil || !held.Ours || len(audit.Faults) > 0 || audit.Datasets != 3 || audit.Checkpoints != 1 {
		t.Fatalf("unpacked %+v, %+v, %v", held, audit, err)
	}
	to := setup(t)
	if _, err := storage.Restore(t.Context(), from, to.store, storage.RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	sameLife(t, b, to.again(t))

	// Plain tar unpacks it into a folder to serve from, and sha256sum checks it.
	folder := t.TempDir()
	run(t, archive, "tar", "-xf", "-", "-C", folder)
	run(t, nil, "sh", "-c", "cd "+folder+"/nexus_checkpoints && sha256sum --quiet -c .backup.sha256")
	sameLife(t, b, setupAt(t, filepath.Join(folder, "nexus_checkpoints")))
}

func run(t testing.TB, stdin []byte, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	var out, fault bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &fault
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, fault.String())
	}
	return out.Bytes()
}

// TestRunbookTar: the tar of the folder that the runbook makes, in each way
// that people make it.
func TestRunbookTar(t *testing.T) {
	t.Parallel()
	b := lived(t)
	parent := filepath.Dir(b.folder)
	// What else may lie about is left out.
	write(t, filepath.Join(parent, "nexus.service"), []byte("[Service]"))
	if err := os.Symlink("/etc/passwd", filepath.Join(parent, "link")); err != nil {
		t.Fatal(err)
	}
	write(t, b.path("corrupted/head.json"), []byte("damaged"))
	for name, args := range map[string][]string{
		"absolute path":           {"-czf", "-", b.folder + "/"},
		"absolute, kept":          {"-cPf", "-", b.folder + "/"},
		"relative":                {"-czf", "-", "-C", parent, "nexus_checkpoints"},
		"from within":             {"-cf", "-", "-C", b.folder, "."},
		"the folder above it":     {"-czf", "-", parent},
		"with its zeros left out": {"-cSf", "-", "-C", parent, "nexus_checkpoints"},
		"old format":              {"--format=v7", "-cf", "-", "-C", parent, "nexus_checkpoints"},
	} {
		from := scratch(t)
		held, audit, err := unpack(t, run(t, nil, "tar", args...), from)
		if err != nil || held.Ours || len(audit.Faults) > 0 || audit.Checkpoints != 2 {
			t.Errorf("%s: unpacked %+v, %+v, %v", name, held, audit, err)
			continue
		}
		to := setup(t)
		if _, err := storage.Restore(t.Context(), from, to.store, storage.RestoreOptions{}); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		sameLife(t, b, to.again(t))
		if _, there := content(t, to.store)["nexus.service"]; there {
			t.Errorf("%s: a foreign file was restored", name)
		}
	}
}

// TestTarOfARunningServer: it may catch a checkpoint without its newest part.
func TestTarOfARunningServer(t *testing.T) {
	t.Parallel()
	b := lived(t)
	m, _ := b.latest(t)
	if err := os.Remove(b.stored(t, m, "state")); err != nil {
		t.Fatal(err)
	}
	from := scratch(t)
	_, audit, err := unpack(t, run(t, nil, "tar", "-cf", "-", "-C", filepath.Dir(b.folder), "nexus_checkpoints"), from)
	if err != nil || len(audit.Faults) != 1 || audit.Damaged() {
		t.Fatalf("audit %+v, %v; want one missing part", audit, err)
	}
	leave, whole := audit.Salvage()
	if whole != 1 {
		t.Errorf("%d checkpoints are whole, want 1", whole)
	}
	to := setup(t)
	if _, err := storage.Restore(t.Context(), from, to.store, storage.RestoreOptions{Leave: leave}); err != nil {
		t.Fatal(err)
	}
	if got, _ := to.again(t).latest(t); got.ID != m.Parent {
		t.Errorf("%s is served, want the one before, %s", got.ID, m.Parent)
	}
}

// busy does something before the first n parts are read.
type busy struct {
	storage.Store
	mu sync.Mutex
	n  int
	do func()
}

func (b *busy) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.n > 0 && strings.HasPrefix(key, "parts/") {
		b.n--
		b.do()
	}
	return b.Store.Get(ctx, key)
}

// TestBackupBesideSavesAndCleanUp: while the backup reads, everything it reads
// is replaced and cleaned up.
func TestBackupBesideSavesAndCleanUp(t *testing.T) {
	t.Parallel()
	b := lived(t)
	keeper := storage.NewCheckpoints(b.store, storage.Options{Grace: 1})
	saved := 0
	store := &busy{Store: b.store, n: 12, do: func() {
		head, err := keeper.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		saved++
		ds := teach(t, b, lesson(fmt.Sprint("taught meanwhile ", saved), "Yes."))
		parts := []storage.Part{part("weights", fmt.Sprint("weights ", saved)), part("state", fmt.Sprint("state ", saved))}
		if _, err := keeper.Save(t.Context(), head.Checkpoint, parts, storage.Meta{Learned: []string{ds.ID}, Fence: 9}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := keeper.Prune(t.Context(), storage.Retention{Newest: 1}); err != nil {
				t.Fatal(err)
			}
		}
	}}
	archive, report := backup(t, store)
	if saved != 12 || len(report.Left) > 0 {
		t.Errorf("after %d saves and clean-ups the report is %+v", saved, report)
	}
	from := scratch(t)
	held, audit, err := unpack(t, archive, from)
	if err != nil || !held.Ours || len(audit.Faults) > 0 || audit.Datasets != 3+12 {
		t.Fatalf("unpacked %+v, %+v, %v", held, audit, err)
	}
	c := storage.NewCheckpoints(from, storage.Options{})
	m, _, err := c.LoadLatest(t.Context())
	if err != nil || m.ID != report.Checkpoint {
		t.Errorf("LoadLatest = %s, %v; want %s", m.ID, err, report.Checkpoint)
	}
}

// TestBackupLeavesOutWhatIsDamaged and says so.
func TestBackupLeavesOutWhatIsDamaged(t *testing.T) {
	t.Parallel()
	b := lived(t)
	m, _ := b.latest(t)
	flip(t, b.stored(t, m, "state"), 3)
	ids, err := b.datasets.IDs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	flip(t, b.path("datasets/"+ids[2]), 3000)
	before := content(t, b.store)
	archive, report := backup(t, b.store)
	if report.Checkpoint != m.Parent || report.Datasets != 2 || len(report.Left) != 2 {
		t.Errorf("report %+v; want the checkpoint before, two datasets, two objects left out", report)
	}
	if !maps.Equal(before, content(t, b.store)) {
		t.Error("the backup changed the store")
	}
	if held, audit, err := unpack(t, archive, scratch(t)); err != nil || !held.Ours || len(audit.Faults) > 0 {
		t.Errorf("unpacked %+v, %+v, %v", held, audit, err)
	}
}

// TestBackupAfterRollback: what the rollback took back stays known as such.
func TestBackupAfterRollback(t *testing.T) {
	t.Parallel()
	b := lived(t)
	m, _ := b.latest(t)
	b.clock.pass(time.Second)
	if _, err := b.checkpoints.Promote(t.Context(), m.Parent); err != nil {
		t.Fatal(err)
	}
	archive, report := backup(t, b.store)
	if report.Checkpoint != m.Parent {
		t.Errorf("checkpoint %s is backed up, %s is served", report.Checkpoint, m.Parent)
	}
	from := scratch(t)
	if _, audit, err := unpack(t, archive, from); err != nil || audit.Checkpoints != 2 || len(audit.Faults) > 0 {
		t.Errorf("audit %+v, %v; want the checkpoint that was left too", audit, err)
	}
	if got, _, err := storage.NewCheckpoints(from, storage.Options{}).LoadLatest(t.Context()); err != nil || got.ID != m.Parent {
		t.Errorf("%s is served after a restore, %v", got.ID, err)
	}
}

// TestSpoiledBackup: a backup that was cut or changed is either refused or
// gives exactly what was backed up.
func TestSpoiledBackup(t *testing.T) {
	t.Parallel()
	archive, _ := backup(t, lived(t).store)
	whole := scratch(t)
	if _, _, err := unpack(t, archive, whole); err != nil {
		t.Fatal(err)
	}
	want := content(t, whole)
	into := filepath.Join(storetest.MemoryDir(t), "spoiled")
	tried := func(b []byte, what string) (refused bool) {
		t.Helper()
		s, err := dir.Scratch(into)
		if err != nil {
			t.Fatal(err)
		}
		_, audit, err := unpack(t, b, s)
		if err == nil && len(audit.Faults) == 0 && !maps.Equal(content(t, s), want) {
			t.Fatalf("a backup that is %s is taken for whole", what)
		}
		if err := os.RemoveAll(into); err != nil {
			t.Fatal(err)
		}
		return err != nil || len(audit.Faults) > 0
	}
	for n := 0; n < len(archive); n += 512 {
		// The last block of zeros is the only thing that is not missed.
		if !tried(archive[:n], fmt.Sprintf("cut to %d of %d bytes", n, len(archive))) && n < len(archive)-512 {
			t.Errorf("a backup cut to %d of %d bytes is not refused", n, len(archive))
		}
	}
	r := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		b := bytes.Clone(archive)
		bit := r.IntN(8 * len(b))
		b[bit/8] ^= 1 << (bit % 8)
		tried(b, fmt.Sprintf("changed in bit %d", bit))
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(archive); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	for range 100 {
		if n := r.IntN(packed.Len()); !tried(packed.Bytes()[:n], "packed and cut") {
			t.Errorf("a packed backup cut to %d of %d bytes is not refused", n, packed.Len())
		}
	}
}

// TestHostileArchive: nothing in an archive reaches beyond the store that it is
// unpacked into, and nothing makes the machine store without bound.
func TestHostileArchive(t *testing.T) {
	t.Parallel()
	const id = "01900000-0000-7000-8000-000000000000"
	sum := strings.Repeat("ab", 32)
	file := func(name string) *tar.Header {
		return &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}
	}
	with := func(h *tar.Header, do func(*tar.Header)) *tar.Header { do(h); return h }
	link := func(name string, kind byte, to string) *tar.Header {
		return &tar.Header{Typeflag: kind, Name: name, Linkname: to}
	}
	root := "nexus_checkpoints/"
	good := file(root + "datasets/" + id)
	for name, entries := range map[string][]*tar.Header{
		"climbing":             {file("../" + root + "parts/" + sum)},
		"climbing within":      {file(root + "../../etc/cron.d/x")},
		"climbing, backslash":  {file(root + `..\..\x`)},
		"climbing folder":      {with(file("a/../../b/"), func(h *tar.Header) { h.Typeflag = tar.TypeDir })},
		"link for a part":      {link(root+"parts/"+sum, tar.TypeSymlink, "/etc/passwd")},
		"hard link":            {link(root+"datasets/"+id, tar.TypeLink, "/etc/shadow")},
		"link for the head":    {link(root+"head.json", tar.TypeSymlink, "/etc/passwd")},
		"device":               {link(root+"checkpoint_"+id+".json", tar.TypeBlock, "")},
		"pipe":                 {link(root+"parts/"+sum, tar.TypeFifo, "")},
		"huge part":            {with(file(root+"parts/"+sum), func(h *tar.Header) { h.Size = 1 << 40 })},
		"huge manifest":        {with(file(root+"checkpoint_"+id+".json"), func(h *tar.Header) { h.Size = 5 << 20 })},
		"huge head":            {good, with(file(root+"head.json"), func(h *tar.Header) { h.Size = 5 << 20 })},
		"two folders":          {good, file("other/nexus_checkpoints/datasets/" + id)},
		"nothing of ours":      {file("etc/passwd")},
		"empty":                {},
		"only what is aside":   {file(root + "corrupted/parts/" + sum), file(root + "replaced/x/datasets/" + id)},
		"backup without a sum": {good, file(root + ".backup.json")},
	} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		cut := false
		for _, h := range entries {
			if err := w.WriteHeader(h); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			cut = cut || h.Size > 0
		}
		if !cut {
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
		}
		into := scratch(t)
		_, err := storage.Unpack(t.Context(), &b, into, storage.UnpackLimits{})
		if err == nil {
			t.Errorf("%s: it is taken, with %q", name, slices.Sorted(maps.Keys(content(t, into))))
		}
		if (strings.Contains(name, "climbing") || strings.Contains(name, "link") || strings.Contains(name, "huge")) && !errors.Is(err, storage.ErrHostile) {
			t.Errorf("%s: %v, want ErrHostile", name, err)
		}
	}
}

// TestUnpackLimits: a bomb stops at the limit.
func TestUnpackLimits(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	zeros := make([]byte, 1<<20)
	for i := range 64 {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("nexus_checkpoints/parts/%064x", i), Size: int64(len(zeros))}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	for name, limits := range map[string]storage.UnpackLimits{"bytes": {Bytes: 3<<20 + 5}, "objects": {Objects: 3}} {
		into := scratch(t)
		_, err := storage.Unpack(t.Context(), bytes.NewReader(b.Bytes()), into, limits)
		if !errors.Is(err, storage.ErrTooLarge) || len(content(t, into)) > 3 {
			t.Errorf("limit of %s: %v with %d objects, want ErrTooLarge with 3", name, err, len(content(t, into)))
		}
	}
}

func TestRestoreDoesNotOverwrite(t *testing.T) {
	t.Parallel()
	archive, _ := backup(t, lived(t).store)
	from := scratch(t)
	if _, _, err := unpack(t, archive, from); err != nil {
		t.Fatal(err)
	}
	there := lived(t)
	before := content(t, there.store)
	if _, err := storage.Restore(t.Context(), from, there.store, storage.RestoreOptions{}); !errors.Is(err, storage.ErrOccupied) {
		t.Errorf("Restore over something = %v, want ErrOccupied", err)
	}
	if !maps.Equal(before, content(t, there.store)) {
		t.Fatal("the refused restore changed the store")
	}
	done, err := storage.Restore(t.Context(), from, there.store, storage.RestoreOptions{Force: true})
	if err != nil {
		t.Fatal(err)
	}
	has, want := content(t, there.store), content(t, from)
	for key, body := range before {
		if has[done.Aside+key] != body {
			t.Errorf("%s is not under %s", key, done.Aside)
		}
		if _, still := has[key]; still && has[key] != want[key] {
			t.Errorf("%s stayed where it was", key)
		}
	}
	for key, body := range want {
		if has[key] != body {
			t.Errorf("%s was not restored", key)
		}
	}
	if audit, err := storage.Inspect(t.Context(), there.store, 0); err != nil || len(audit.Faults) > 0 {
		t.Errorf("audit %+v, %v", audit, err)
	}
}

// TestRestoreCrashes: wherever a restore is cut short, a start finds nothing or
// the checkpoint of the backup, and running it again by force completes it.
func TestRestoreCrashes(t *testing.T) {
	t.Parallel()
	archive, report := backup(t, lived(t).store)
	from := scratch(t)
	if _, _, err := unpack(t, archive, from); err != nil {
		t.Fatal(err)
	}
	points := 0
	for survived := false; !survived; points++ {
		to := setup(t)
		left := points
		store := storetest.NewFaulty(to.store, func(string) error {
			if left--; left < 0 {
				return storetest.ErrCrash
			}
			return nil
		})
		_, err := storage.Restore(t.Context(), from, store, storage.RestoreOptions{Parallel: 1})
		if survived = err == nil; !survived && !errors.Is(err, storetest.ErrCrash) {
			t.Fatalf("crash at %d: %v", points, err)
		}
		b := to.again(t)
		if m, _, err := b.checkpoints.LoadLatest(t.Context()); !errors.Is(err, storage.ErrNotFound) && m.ID != report.Checkpoint {
			t.Fatalf("crash at %d: LoadLatest = %s, %v", points, m.ID, err)
		}
		if _, err := storage.Restore(t.Context(), from, to.store, storage.RestoreOptions{Force: true}); err != nil {
			t.Fatalf("crash at %d: restore again: %v", points, err)
		}
		if m, _ := b.latest(t); m.ID != report.Checkpoint || len(b.log.errors()) > 0 {
			t.Fatalf("crash at %d: after restoring again %s is served; %q", points, m.ID, b.log.errors())
		}
	}
	if points < 20 {
		t.Errorf("only %d points of crash were seen", points)
	}
}

func FuzzUnpack(f *testing.F) {
	b := lived(f)
	archive, _ := backup(f, b.store)
	f.Add(archive[:min(len(archive), 20_000)])
	f.Add(run(f, nil, "tar", "-czf", "-", "-C", filepath.Dir(b.folder), "nexus_checkpoints"))
	f.Fuzz(func(t *testing.T, archive []byte) {
		into := &keysOnly{Store: scratch(t)}
		_, err := storage.Unpack(t.Context(), bytes.NewReader(archive), into, storage.UnpackLimits{Bytes: 8 << 20, Objects: 1000})
		if err == nil && len(into.keys) == 0 {
			t.Error("an archive of nothing is taken")
		}
		for _, key := range into.keys {
			if storage.CheckKey(key) != nil || strings.HasPrefix(key, storage.Corrupted) || strings.HasPrefix(key, storage.Replaced) {
				t.Errorf("an archive makes the key %q", key)
			}
		}
	})
}

// keysOnly notes which keys were asked for.
type keysOnly struct {
	storage.Store
	keys []string
}

func (k *keysOnly) Put(ctx context.Context, key string, body *io.SectionReader) error {
	k.keys = append(k.keys, key)
	return k.Store.Put(ctx, key, body)
}
