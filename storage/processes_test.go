package storage_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/storage/dir"
	"github.com/nexus-continuum/nexus/storage/storetest"
)

// saverEnv makes the test binary a process that only saves: folder and count.
const saverEnv = "NEXUS_TEST_SAVER"

func TestMain(m *testing.M) {
	if job, ok := os.LookupEnv(saverEnv); ok {
		folder, count, _ := strings.Cut(job, " ")
		n, err := strconv.Atoi(count)
		if err == nil {
			err = saveMany(context.Background(), folder, n)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// saveMany learns n datasets, one a checkpoint, each printed after it was
// saved; whoever was faster is built upon.
func saveMany(ctx context.Context, folder string, n int) error {
	store, err := dir.Open(folder)
	if err != nil {
		return err
	}
	c := storage.NewCheckpoints(store, storage.Options{})
	for n > 0 {
		m, parts, err := c.LoadLatest(ctx)
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return err
		}
		id := job.NewID()
		parts = append(parts, storage.Part{Name: "lessons/" + id, Data: []byte(id)})
		if _, err := c.Save(ctx, m.ID, parts, storage.Meta{Learned: []string{id}}); errors.Is(err, storage.ErrConflict) {
			continue
		} else if err != nil {
			return err
		}
		fmt.Println(id)
		n--
	}
	return nil
}

func saver(t *testing.T, folder string, n int) (*exec.Cmd, *strings.Builder) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d", saverEnv, folder, n))
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	return cmd, &out
}

func TestTwoProcessesSave(t *testing.T) {
	t.Parallel()
	const each = 20
	folder := storetest.MemoryDir(t)
	a, outA := saver(t, folder, each)
	b, outB := saver(t, folder, each)
	if err := errors.Join(a.Start(), b.Start()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(a.Wait(), b.Wait()); err != nil {
		t.Fatal(err)
	}
	checkAcknowledged(t, folder, strings.Fields(outA.String()+outB.String()), 2*each)
}

// TestKilledWhileSaving kills a saver with SIGKILL at whatever it is doing.
func TestKilledWhileSaving(t *testing.T) {
	t.Parallel()
	for round := range 10 {
		folder := storetest.MemoryDir(t)
		cmd, _ := saver(t, folder, 1_000_000)
		pipe := &signalWriter{after: 2 + 3*round, reached: make(chan struct{})}
		cmd.Stdout = pipe
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-pipe.reached
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		lines := strings.Fields(pipe.text.String())
		checkAcknowledged(t, folder, lines, len(lines))
	}
}

// signalWriter tells when a number of lines was written.
type signalWriter struct {
	text    strings.Builder
	after   int
	reached chan struct{}
}

func (w *signalWriter) Write(p []byte) (int, error) {
	for range strings.Count(string(p), "\n") {
		if w.after--; w.after == 0 {
			close(w.reached)
		}
	}
	return w.text.Write(p)
}

// checkAcknowledged looks whether every acknowledged dataset is in lineage and
// parts of what is served now.
func checkAcknowledged(t *testing.T, folder string, ids []string, want int) {
	t.Helper()
	if len(ids) != want {
		t.Fatalf("%d saves were acknowledged, want %d", len(ids), want)
	}
	b := setupAt(t, folder)
	m, parts := b.latest(t)
	lineage, err := b.checkpoints.Lineage(t.Context(), m.ID)
	if err != nil {
		t.Fatal(err)
	}
	if missing := lineage.Missing(ids); len(missing) > 0 {
		t.Errorf("%d of %d acknowledged saves are lost", len(missing), len(ids))
	}
	if len(parts) != len(lineage) {
		t.Errorf("%d parts for a lineage of %d", len(parts), len(lineage))
	}
	if lines := b.log.errors(); len(lines) > 0 {
		t.Errorf("something counts as damaged: %q", lines)
	}
}
