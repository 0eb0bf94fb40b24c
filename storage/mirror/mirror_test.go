package mirror

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/storage/storetest"
)

// host is a folder of its own that follows the bucket, with all that stands on it.
type host struct {
	*testing.T
	*Store
	folder      storage.Store
	checkpoints *storage.Checkpoints
	datasets    *storage.Datasets
	control     *storage.ControlRecord
	log         *lines
}

// lines keeps what was logged.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newHost(t *testing.T, folder, bucket storage.Store, change func(*Options)) *host {
	t.Helper()
	h := &host{T: t, folder: folder, log: &lines{}}
	log := slog.New(slog.NewTextHandler(h.log, nil))
	opt := Options{Whole: true, Every: 5 * time.Millisecond, ListEvery: time.Nanosecond, Grace: time.Minute, Log: log}
	if change != nil {
		change(&opt)
	}
	h.Store = New(folder, bucket, opt)
	h.checkpoints = storage.NewCheckpoints(h.Store, storage.Options{Log: log})
	h.datasets = storage.NewDatasets(h.Store, storage.DatasetOptions{Log: log})
	h.control = storage.NewControl(h.Store, storage.ControlOptions{Log: log})
	return h
}

// must syncs and wants no fault.
func (h *host) must() {
	h.Helper()
	err := h.sync(h.Context())
	if h.note(h.Context(), err); err != nil {
		h.Fatal(err)
	}
}

func (h *host) teach(prompt string) string {
	h.Helper()
	w, err := h.datasets.Create(h.Context(), storage.DatasetMeta{Op: storage.OpTeach})
	if err != nil {
		h.Fatal(err)
	}
	if err := w.Add(storage.Lesson{Prompt: prompt}); err != nil {
		h.Fatal(err)
	}
	ds, err := w.Commit(h.Context())
	if err != nil {
		h.Fatal(err)
	}
	return ds.ID
}

func (h *host) save(parent string, fence int64, parts ...string) string {
	h.Helper()
	var all []storage.Part
	for _, p := range parts {
		all = append(all, storage.Part{Name: p, Data: []byte(strings.Repeat(p, 100))})
	}
	m, err := h.checkpoints.Save(h.Context(), parent, all, storage.Meta{Fence: fence})
	if err != nil {
		h.Fatal(err)
	}
	return m.ID
}

func (h *host) head() string {
	h.Helper()
	head, err := h.checkpoints.Head(h.Context())
	if err != nil {
		h.Fatal(err)
	}
	return head.Checkpoint
}

// holds wants checkpoint id whole, and said to be the latest.
func (h *host) holds(id string, parts ...string) {
	h.Helper()
	m, got, err := h.checkpoints.LoadLatest(h.Context())
	if err != nil || m.ID != id {
		h.Fatalf("loaded %s, %v; want %s", m.ID, err, id)
	}
	for i, p := range parts {
		if got[i].Name != p || string(got[i].Data) != strings.Repeat(p, 100) {
			h.Errorf("part %d is %s", i, got[i].Name)
		}
	}
}

// outage is a switch before a bucket.
type outage struct{ down atomic.Bool }

func (o *outage) step(string) error {
	if o.down.Load() {
		return fmt.Errorf("cut off: %w", storage.ErrUnavailable)
	}
	return nil
}

func (o *outage) before(s storage.Store) storage.Store { return storetest.NewFaulty(s, o.step) }

func TestOtherHostsGetWhatOneSaved(t *testing.T) {
	t.Parallel()
	bucket := newMemory()
	a, b := newHost(t, newMemory(), bucket, nil), newHost(t, newMemory(), bucket, nil)
	a.must()
	ds := a.teach("hello")
	id := a.save("", 1, "weights", "lessons")
	a.must()
	b.must()
	if b.head() != id {
		t.Fatalf("the other host's head is %s, want %s", b.head(), id)
	}
	if _, lessons, err := b.datasets.Lessons(t.Context(), ds); err != nil || len(lessons) != 1 {
		t.Errorf("the dataset on the other host: %v, %v", lessons, err)
	}
	if ids, err := b.datasets.IDs(t.Context()); err != nil || len(ids) != 1 {
		t.Errorf("datasets that the other host lists: %v, %v", ids, err)
	}
	// The head moved there only with its checkpoint: the bucket may go now.
	clear(bucket.objects)
	b.holds(id, "weights", "lessons")
}

// While the bucket is away nothing waits and nothing fails; afterwards
// everything is there, also after a restart in between.
func TestOutage(t *testing.T) {
	t.Parallel()
	bucket, folder := newMemory(), newMemory()
	var cut outage
	a := newHost(t, folder, cut.before(bucket), nil)
	a.must()
	first := a.save("", 1, "weights")
	a.must()

	cut.down.Store(true)
	ds := a.teach("taught in the dark")
	second := a.save(first, 1, "weights", "more")
	if _, err := a.control.Update(t.Context(), func(c *storage.Control) { c.Paused = true }); err != nil {
		t.Fatal(err)
	}
	a.note(t.Context(), a.sync(t.Context()))
	if s := a.State(); s.Fault == "" || s.Pending < 3 || s.Since.IsZero() {
		t.Errorf("state %+v, want a fault and at least a dataset, a checkpoint and a record pending", s)
	}
	if waiting, err := a.Waiting(t.Context()); err != nil || !waiting[second] || waiting[first] {
		t.Errorf("waiting %v, %v", waiting, err)
	}
	a.holds(second, "weights", "more")
	if n := strings.Count(a.log.String(), "serving and training go on"); n != 1 {
		t.Errorf("the outage is said %d times", n)
	}

	// The process dies; its successor finds the queue in the folder.
	a = newHost(t, folder, cut.before(bucket), nil)
	a.note(t.Context(), a.sync(t.Context()))
	a.holds(second, "weights", "more")
	cut.down.Store(false)
	a.must()
	if s := a.State(); s.Fault != "" || s.Pending != 0 {
		t.Errorf("state afterwards %+v", s)
	}
	b := newHost(t, newMemory(), bucket, nil)
	b.must()
	b.holds(second, "weights", "more")
	if _, lessons, err := b.datasets.Lessons(t.Context(), ds); err != nil || lessons[0].Prompt != "taught in the dark" {
		t.Errorf("dataset %v, %v", lessons, err)
	}
	if c, err := b.control.Read(t.Context()); err != nil || !c.Paused {
		t.Errorf("control %+v, %v", c, err)
	}
}

// An upload that is cut off goes on with the parts that are missing.
func TestUploadResumes(t *testing.T) {
	t.Parallel()
	bucket := newMemory()
	left := 3
	var mu sync.Mutex
	cut := storetest.NewFaulty(bucket, func(op string) error {
		mu.Lock()
		defer mu.Unlock()
		if strings.HasPrefix(op, "put parts/") && strings.HasSuffix(op, "before") {
			if left == 0 {
				return storage.ErrUnavailable
			}
			left--
		}
		return nil
	})
	a := newHost(t, newMemory(), cut, nil)
	a.must()
	id := a.save("", 1, "a", "b", "c", "d", "e", "f")
	if err := a.sync(t.Context()); !errors.Is(err, storage.ErrUnavailable) {
		t.Fatal(err)
	}
	before := bucket.writes
	mu.Lock()
	left = 100
	mu.Unlock()
	a.must()
	parts, err := bucket.List(t.Context(), partsPrefix)
	if err != nil || len(parts) != 6 {
		t.Fatalf("%d parts, %v", len(parts), err)
	}
	// 3 parts, a manifest, the head.
	if n := bucket.writes - before; n != 5 {
		t.Errorf("%d writes to go on, want 5", n)
	}
	b := newHost(t, newMemory(), bucket, nil)
	b.must()
	b.holds(id, "a", "b", "c", "d", "e", "f")
}

// Garbage is collected in the bucket while an upload is cut off: its parts are
// old by then, and nothing names them. The checkpoint is whole all the same.
func TestUploadIsSafeFromACollectionMeanwhile(t *testing.T) {
	t.Parallel()
	bucket := newMemory()
	manifests := true
	cut := storetest.NewFaulty(bucket, func(op string) error {
		if !manifests && strings.HasPrefix(op, "swap checkpoint_") {
			return storage.ErrUnavailable
		}
		return nil
	})
	a := newHost(t, newMemory(), cut, nil)
	a.must()
	first := a.save("", 1, "base")
	a.must()
	manifests = false
	second := a.save(first, 1, "base", "new")
	if err := a.sync(t.Context()); err == nil {
		t.Fatal("the upload was not cut off")
	}
	for key, o := range bucket.objects {
		o.at = o.at.Add(-time.Hour)
		bucket.objects[key] = o
	}
	if err := bucket.Put(t.Context(), partsPrefix+"young", storage.Body(nil)); err != nil { // tells the collection what time it is
		t.Fatal(err)
	}
	if done, err := a.Bucket().Prune(t.Context(), storage.Retention{Newest: 1}); err != nil || done.Parts != 1 {
		t.Fatalf("pruned %+v, %v; want the part that nothing names yet", done, err)
	}
	manifests = true
	a.must()
	b := newHost(t, newMemory(), bucket, nil)
	b.must()
	b.holds(second, "base", "new")
}

// Two hosts save onto the same head, cut off from one another. The newer
// trainer's branch holds, the other host follows it, and what only the loser
// had learned is still there to be learned again.
func TestTwoWriters(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name             string
		fenceA, fenceB   int64
		bWins            bool
		why, lossMessage string
	}{
		{"the first in the bucket holds", 1, 1, false, "", "the bucket's holds"},
		{"the newer trainer holds", 1, 2, true, "", "this host's is the later one"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			bucket := newMemory()
			a, b := newHost(t, newMemory(), bucket, nil), newHost(t, newMemory(), bucket, nil)
			a.must()
			root := a.save("", 1, "root")
			a.must()
			b.must()
			fromA := a.save(root, c.fenceA, "root", "a")
			ds := b.teach("only b knows")
			fromB := b.save(root, c.fenceB, "root", "b")
			a.must()
			b.must()
			a.must()
			winner := fromA
			if c.bWins {
				winner = fromB
			}
			if a.head() != winner || b.head() != winner {
				t.Fatalf("heads %s and %s, want %s", a.head(), b.head(), winner)
			}
			if !strings.Contains(b.log.String(), c.lossMessage) {
				t.Errorf("the log says %s", b.log)
			}
			// The loser's trainer notices at its next save.
			loser, loserHost := fromB, b
			if c.bWins {
				loser, loserHost = fromA, a
			}
			_, err := loserHost.checkpoints.Save(t.Context(), loser, nil, storage.Meta{Fence: 2})
			if !errors.Is(err, storage.ErrConflict) {
				t.Errorf("a save onto the branch that was left: %v", err)
			}
			if _, _, err := a.datasets.Lessons(t.Context(), ds); err != nil {
				t.Errorf("what only one branch had learned is gone: %v", err)
			}
		})
	}
}

func TestPromotionReachesAHostThatSavesMeanwhile(t *testing.T) {
	t.Parallel()
	bucket := newMemory()
	a, b := newHost(t, newMemory(), bucket, nil), newHost(t, newMemory(), bucket, nil)
	a.must()
	good := a.save("", 1, "good")
	bad := a.save(good, 1, "bad")
	a.must()
	b.must()
	if _, err := b.checkpoints.Promote(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	b.must()
	a.save(bad, 1, "worse") // before it heard
	a.must()
	if a.head() != good || b.head() != good {
		t.Errorf("heads %s and %s, want what was promoted: %s", a.head(), b.head(), good)
	}
}

// Two operators on two hosts change the control record: neither change is lost.
func TestControlOnTwoHosts(t *testing.T) {
	t.Parallel()
	bucket := newMemory()
	a, b := newHost(t, newMemory(), bucket, nil), newHost(t, newMemory(), bucket, nil)
	var all sync.WaitGroup
	for i, h := range []*host{a, b, a, b} {
		all.Go(func() {
			for range 5 {
				_, err := h.control.Update(t.Context(), func(c *storage.Control) {
					if i%2 == 0 {
						c.Paused = !c.Paused
					} else {
						c.Training = !c.Training
					}
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	a.must()
	b.must()
	ca, errA := a.control.Read(t.Context())
	cb, errB := b.control.Read(t.Context())
	if errA != nil || errB != nil || ca != cb || ca.Version != 20 {
		t.Errorf("control %+v, %v and %+v, %v; want version 20 on both", ca, errA, cb, errB)
	}
}

// A folder that has nothing and a bucket that cannot be asked are no fresh start.
func TestNoFreshStartWithoutTheBucket(t *testing.T) {
	t.Parallel()
	bucket := newMemory()
	var cut outage
	cut.down.Store(true)
	a := newHost(t, newMemory(), cut.before(bucket), nil)
	a.note(t.Context(), a.sync(t.Context()))
	if _, _, err := a.checkpoints.LoadLatest(t.Context()); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("LoadLatest without a bucket = %v", err)
	}
	cut.down.Store(false)
	a.must()
	if _, _, err := a.checkpoints.LoadLatest(t.Context()); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("LoadLatest from an empty bucket = %v", err)
	}
}

func TestStrict(t *testing.T) {
	t.Parallel()
	var cut outage
	cut.down.Store(true)
	a := newHost(t, newMemory(), cut.before(newMemory()), func(o *Options) { o.Strict = true })
	err := a.Put(t.Context(), "datasets/x", storage.Body([]byte("x")))
	if !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("Put = %v", err)
	}
	if all, err := a.folder.List(t.Context(), ""); err != nil || len(all) != 0 {
		t.Errorf("what was refused is kept: %v, %v", all, err)
	}
}

// A folder that was used alone until now fills the bucket that it is given, and
// one that was emptied.
func TestABucketIsFilled(t *testing.T) {
	t.Parallel()
	folder, bucket := newMemory(), newMemory()
	alone := storage.NewCheckpoints(folder, storage.Options{})
	m, err := alone.Save(t.Context(), "", []storage.Part{{Name: "p", Data: []byte(strings.Repeat("p", 100))}}, storage.Meta{})
	if err != nil {
		t.Fatal(err)
	}
	a := newHost(t, folder, bucket, nil)
	ds := a.teach("before the bucket was met")
	a.must()
	for range 2 {
		b := newHost(t, newMemory(), bucket, nil)
		b.must()
		b.holds(m.ID, "p")
		if _, _, err := b.datasets.Lessons(t.Context(), ds); err != nil {
			t.Error(err)
		}
		clear(bucket.objects)
		if err := a.sync(t.Context()); !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("an emptied bucket: %v", err)
		}
		a.must()
	}
	if !strings.Contains(a.log.String(), "the bucket was emptied") {
		t.Error("the log does not say so")
	}
}

// The folder stays within its bound, and what was dropped is still served from
// the bucket.
func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	folder, bucket := newMemory(), newMemory()
	a := newHost(t, folder, bucket, func(o *Options) { o.CacheBytes, o.Grace = 20_000, time.Nanosecond })
	a.must()
	var saved []string
	parent := ""
	for i := range 20 {
		name := fmt.Sprintf("part-%02d", i)
		parent = a.save(parent, 1, name, strings.Repeat("x", 40))
		saved = append(saved, parent)
		a.must()
	}
	a.must()
	a.must()
	var size int64
	all, err := folder.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		size += i.Size
	}
	if size > 22_000 {
		t.Errorf("the folder holds %d bytes", size)
	}
	if _, _, err := a.checkpoints.Load(t.Context(), saved[0]); err != nil {
		t.Errorf("an old checkpoint from the bucket: %v", err)
	}
	a.holds(parent, "part-19")
}

// What was pruned in the bucket goes here too, and a dataset that was deleted
// there is not learned from again.
func TestFoldersFollowDeletions(t *testing.T) {
	t.Parallel()
	folder, bucket := newMemory(), newMemory()
	a, b := newHost(t, folder, bucket, nil), newHost(t, newMemory(), bucket, nil)
	a.must()
	ds := a.teach("canceled")
	parent := ""
	for range 5 {
		parent = a.save(parent, 1, "p")
	}
	a.must()
	b.must()
	if _, err := b.Bucket().Prune(t.Context(), storage.Retention{Newest: 2}); err != nil {
		t.Fatal(err)
	}
	if err := b.datasets.Delete(t.Context(), ds); err != nil {
		t.Fatal(err)
	}
	a.must()
	if list, err := a.checkpoints.List(t.Context()); err != nil || len(list) != 2 {
		t.Errorf("%d checkpoints, %v", len(list), err)
	}
	if ids, err := a.datasets.IDs(t.Context()); err != nil || len(ids) != 0 {
		t.Errorf("datasets %v, %v", ids, err)
	}
	a.must()
	if ids, err := b.datasets.IDs(t.Context()); err != nil || len(ids) != 0 {
		t.Errorf("the dataset came back: %v, %v", ids, err)
	}
}

// Whichever of the two copies of an object is damaged, it is repaired from the
// other: by who reads it, or by the scrub before anybody does.
func TestRepair(t *testing.T) {
	t.Parallel()
	folder, bucket := newMemory(), newMemory()
	a := newHost(t, folder, bucket, nil)
	a.must()
	ds := a.teach("lesson")
	id := a.save("", 1, "weights", "vectors")
	a.must()
	spoil := func(m *memory, key string) {
		o := m.objects[key]
		o.body[len(o.body)/2] ^= 1
		m.objects[key] = o
	}
	m, err := a.checkpoints.Manifest(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	part := m.Parts[0].Stored.Key()

	spoil(folder, part)
	spoil(folder, datasetsPrefix+ds)
	spoil(folder, manifestPrefix+id+manifestSuffix)
	a.holds(id, "weights", "vectors")
	if _, _, err := a.datasets.Lessons(t.Context(), ds); err != nil {
		t.Error(err)
	}

	spoil(bucket, part)
	spoil(folder, m.Parts[1].Stored.Key())
	spoil(bucket, datasetsPrefix+ds)
	done, err := a.checkpoints.Scrub(t.Context())
	if err != nil || done.Checkpoints != 1 || done.Datasets != 1 || len(done.Repaired) != 3 || len(done.Damaged) != 0 {
		t.Errorf("scrub %+v, %v", done, err)
	}
	if again, err := a.checkpoints.Scrub(t.Context()); err != nil || len(again.Repaired) != 0 {
		t.Errorf("second scrub %+v, %v", again, err)
	}
	r, err := a.checkpoints.Registry(t.Context())
	if err != nil || r.Verified[id].IsZero() {
		t.Errorf("registry %+v, %v", r, err)
	}

	spoil(bucket, part)
	spoil(folder, part)
	if done, err := a.checkpoints.Scrub(t.Context()); err != nil || done.Checkpoints != 0 || len(done.Damaged) != 1 {
		t.Errorf("scrub of what no place has: %+v, %v", done, err)
	}
}

// hanging is a bucket that takes a request and never answers.
type hanging struct{ storage.Store }

func (h hanging) Put(ctx context.Context, _ string, _ *io.SectionReader) error {
	<-ctx.Done()
	return ctx.Err()
}

func (h hanging) Read(ctx context.Context, _ string) ([]byte, storage.Version, error) {
	<-ctx.Done()
	return nil, storage.Absent, ctx.Err()
}

func (h hanging) Get(ctx context.Context, _ string) (io.ReadCloser, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// A bucket that hangs costs the first writer its timeout and the others nothing.
func TestAHangingBucketIsWaitedForOnce(t *testing.T) {
	t.Parallel()
	a := newHost(t, newMemory(), hanging{newMemory()}, func(o *Options) { o.Timeout = 50 * time.Millisecond })
	began := time.Now()
	for range 200 {
		if err := a.Put(t.Context(), "datasets/x", storage.Body([]byte("x"))); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("200 writes took %s", took)
	}
	if err := a.sync(t.Context()); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("sync with a bucket that hangs = %v", err)
	}
}

func TestLifecycle(t *testing.T) {
	t.Parallel()
	bucket := newMemory()
	changed := make(chan string, 100)
	a := newHost(t, newMemory(), bucket, func(o *Options) { o.Pushed = func(key string) { changed <- key } })
	if err := a.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := a.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	a.save("", 1, "p")
	select {
	case key := <-changed:
		if key != headKey {
			t.Errorf("changed %s", key)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the head did not reach the bucket")
	}
	for range 2 {
		if err := a.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := bucket.Read(t.Context(), headKey); err != nil {
		t.Error(err)
	}
}

// The folder can be used without the bucket again, as it is.
func TestTheFolderStandsAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	a := newHost(t, openDir(t, path), newMemory(), nil)
	a.must()
	id := a.save("", 1, "p")
	a.must()
	if _, err := os.Stat(filepath.Join(path, "checkpoint_"+id+".json")); err != nil {
		t.Error(err)
	}
	m, _, err := storage.NewCheckpoints(openDir(t, path), storage.Options{}).LoadLatest(t.Context())
	if err != nil || m.ID != id {
		t.Errorf("loaded %s, %v", m.ID, err)
	}
}
