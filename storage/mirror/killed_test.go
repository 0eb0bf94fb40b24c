package mirror

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/storage/dir"
	"github.com/nexus-continuum/nexus/storage/s3"
	"github.com/nexus-continuum/nexus/storage/storetest"
)

var (
	kills    = flag.Int("mirror.kills", 5, "how often TestKilledOverABucket kills a process")
	killSeed = flag.Uint64("mirror.seed", 0, "seed of TestKilledOverABucket; 0 takes one from the clock")
)

// childEnv makes the test binary a process that saves, promotes, uploads and
// prunes until it is killed: folder, S3 server, seed.
const childEnv = "NEXUS_TEST_MIRRORED"

func TestMain(m *testing.M) {
	if task, ok := os.LookupEnv(childEnv); ok {
		var folder, server string
		var seed uint64
		_, err := fmt.Sscan(task, &folder, &server, &seed)
		if err == nil {
			err = toil(context.Background(), folder, server, seed)
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func bucketAt(ctx context.Context, server string) (*s3.Store, error) {
	b, err := s3.Open(s3.Options{
		Endpoint: server, Bucket: "nexus", Region: "us-east-1", Insecure: true, AccessKey: storetest.S3AccessKey, SecretKey: storetest.S3SecretKey, CreateBucket: true,
	})
	if err != nil {
		return nil, err
	}
	return b, b.Prepare(ctx)
}

// toil works until it is killed, and prints each dataset that it was promised
// to be kept.
func toil(ctx context.Context, folder, server string, seed uint64) error {
	rng := rand.New(rand.NewPCG(seed, 0))
	local, err := dir.Open(folder)
	if err != nil {
		return err
	}
	bucket, err := bucketAt(ctx, server)
	if err != nil {
		return err
	}
	m := New(local, bucket, Options{Whole: true, Every: 5 * time.Millisecond, ListEvery: 50 * time.Millisecond, Grace: time.Minute})
	if err := m.Start(ctx); err != nil {
		return err
	}
	shelf, datasets := storage.NewCheckpoints(m, storage.Options{Grace: time.Minute}), storage.NewDatasets(m, storage.DatasetOptions{})
	for {
		if err := toilOnce(ctx, m, shelf, datasets, rng); err != nil && !errors.Is(err, storage.ErrConflict) && !errors.Is(err, storage.ErrNotFound) {
			return err
		}
	}
}

func toilOnce(ctx context.Context, m *Store, shelf *storage.Checkpoints, datasets *storage.Datasets, rng *rand.Rand) error {
	w, err := datasets.Create(ctx, storage.DatasetMeta{Op: storage.OpTeach})
	if err != nil {
		return err
	}
	if err := w.Add(storage.Lesson{Prompt: "what?"}); err != nil {
		return err
	}
	ds, err := w.Commit(ctx)
	if err != nil {
		return err
	}
	fmt.Println(ds.ID)
	latest, parts, err := shelf.LoadLatest(ctx)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	parts = append(parts[max(0, len(parts)-8):], storage.Part{Name: "lessons/" + ds.ID, Data: []byte(strings.Repeat(ds.ID, 1+rng.IntN(500)))})
	if _, err := shelf.Save(ctx, latest.ID, parts, storage.Meta{Learned: []string{ds.ID}}); err != nil {
		return err
	}
	if rng.IntN(3) == 0 {
		if _, err := m.Bucket().Prune(ctx, storage.Retention{Newest: 3}); err != nil {
			return err
		}
	}
	if all, err := shelf.List(ctx); err == nil && rng.IntN(4) == 0 {
		_, err = shelf.Promote(ctx, all[rng.IntN(len(all))].ID)
		return err
	}
	return nil
}

// age makes every part two minutes older than the grace period asks for, so that the next
// process may collect those that no checkpoint names.
func age(t *testing.T, folders ...string) {
	t.Helper()
	old := time.Now().Add(-3 * time.Minute)
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() && filepath.Base(filepath.Dir(path)) == "parts" {
				err = os.Chtimes(path, old, old)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestKilledOverABucket kills, at random moments, real processes that save,
// promote, upload to a real S3 server, and collect garbage there. After each
// kill a whole checkpoint and every acknowledged dataset are in the folder, and
// after the next sync also in the bucket.
func TestKilledOverABucket(t *testing.T) {
	t.Parallel()
	seed := *killSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-mirror.seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	server := storetest.NewS3Server(t)
	server.Start()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	var acknowledged []string
	for range *kills {
		acknowledged = append(acknowledged, killed(t, rng, self, folder, server.Address)...)
		checkBoth(t, folder, server.Address, acknowledged)
		age(t, folder, server.Folder)
	}
	if len(acknowledged) < *kills {
		t.Errorf("%d kills hit no work: %d datasets were acknowledged", *kills, len(acknowledged))
	}
	t.Logf("%d kills, %d datasets", *kills, len(acknowledged))
}

// killed runs a process until after a few datasets, and a moment more.
func killed(t *testing.T, rng *rand.Rand, self, folder, server string) (acknowledged []string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %d", childEnv, folder, server, rng.Uint64()))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var fault strings.Builder
	cmd.Stderr = &fault
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for range 2 + rng.IntN(12) {
		if !lines.Scan() {
			break
		}
		acknowledged = append(acknowledged, lines.Text())
	}
	// The moment within an operation is random, not waited for.
	time.AfterFunc(time.Duration(rng.IntN(30_000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
	for lines.Scan() {
		acknowledged = append(acknowledged, lines.Text())
	}
	if err := cmd.Wait(); err == nil || fault.Len() > 0 {
		t.Errorf("the process ended by itself: %v %s", err, fault.String())
	}
	return acknowledged
}

// checkBoth looks at what a start finds in the folder, has it synced, and looks
// at what a host finds that has nothing but the bucket.
func checkBoth(t *testing.T, folder, server string, acknowledged []string) {
	t.Helper()
	local, err := dir.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	bucket, err := bucketAt(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	alone := &host{T: t, checkpoints: storage.NewCheckpoints(local, storage.Options{}), datasets: storage.NewDatasets(local, storage.DatasetOptions{}), log: &lines{}}
	alone.whole("the folder", acknowledged)
	long := func(o *Options) { o.Timeout = time.Minute }
	h := newHost(t, local, bucket, long)
	h.must()
	h.must() // what the first found out about the head
	if n := h.State().Pending; n > 0 {
		t.Errorf("%d objects wait after a sync", n)
	}
	h.whole("folder and bucket", acknowledged)
	fresh, err := dir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	other := newHost(t, fresh, bucket, long)
	other.must()
	other.whole("the bucket", acknowledged)
	if here, there := h.head(), other.head(); here != there {
		t.Errorf("the folder's head is %s, the bucket's %s", here, there)
	}
}

// whole wants a whole checkpoint, nothing damaged, and every dataset.
func (h *host) whole(where string, acknowledged []string) {
	h.Helper()
	if _, _, err := h.checkpoints.LoadLatest(h.Context()); err != nil {
		h.Errorf("%s: load the latest: %v", where, err)
	}
	all, err := h.checkpoints.List(h.Context())
	if err != nil {
		h.Fatal(err)
	}
	for _, m := range all {
		if err := h.checkpoints.Verify(h.Context(), m.ID); err != nil {
			h.Errorf("%s: checkpoint %s: %v", where, m.ID, err)
		}
	}
	ids, err := h.datasets.IDs(h.Context())
	if err != nil {
		h.Fatal(err)
	}
	for _, id := range acknowledged {
		if !slices.Contains(ids, id) {
			h.Errorf("%s: acknowledged dataset %s is lost", where, id)
		}
	}
}
