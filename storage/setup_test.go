package storage_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
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

// bundle is a store in a folder with all that lies on it.
type bundle struct {
	folder      string
	store       storage.Store
	checkpoints *storage.Checkpoints
	datasets    *storage.Datasets
	control     *storage.ControlRecord
	log         *logLines
	clock       *clock
}

func setup(t testing.TB) *bundle {
	return setupAt(t, filepath.Join(storetest.MemoryDir(t), "nexus_checkpoints"))
}

// setupAt is a start of the service on folder.
func setupAt(t testing.TB, folder string) *bundle {
	t.Helper()
	store, err := dir.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{folder: folder, store: store, log: &logLines{}, clock: &clock{now: time.Now()}}
	log := slog.New(slog.NewTextHandler(b.log, nil))
	b.checkpoints = storage.NewCheckpoints(store, storage.Options{Log: log, Now: b.clock.Now})
	b.datasets = storage.NewDatasets(store, storage.DatasetOptions{Log: log, Now: b.clock.Now, Spool: t.TempDir()})
	b.control = storage.NewControl(store, storage.ControlOptions{Log: log, Now: b.clock.Now})
	return b
}

// again is a restart of the service on the same folder.
func (b *bundle) again(t testing.TB) *bundle { return setupAt(t, b.folder) }

func (b *bundle) save(t testing.TB, parent string, meta storage.Meta, parts ...storage.Part) storage.Manifest {
	t.Helper()
	m, err := b.checkpoints.Save(t.Context(), parent, parts, meta)
	if err != nil {
		t.Fatalf("Save: %v", err)
	}
	return m
}

// chain saves n checkpoints, each upon the one before, which differ in "state".
func (b *bundle) chain(t testing.TB, n int) []storage.Manifest {
	t.Helper()
	var saved []storage.Manifest
	parent := ""
	for i := range n {
		m := b.save(t, parent, storage.Meta{Lessons: i}, part("weights", "the same in all"), part("state", fmt.Sprintf("state %d", i)))
		saved, parent = append(saved, m), m.ID
	}
	return saved
}

func (b *bundle) latest(t testing.TB) (storage.Manifest, []storage.Part) {
	t.Helper()
	m, parts, err := b.checkpoints.LoadLatest(t.Context())
	if err != nil {
		t.Fatalf("LoadLatest: %v", err)
	}
	return m, parts
}

func (b *bundle) path(key string) string { return filepath.Join(b.folder, filepath.FromSlash(key)) }

func (b *bundle) manifest(id string) string { return b.path("checkpoint_" + id + ".json") }

// stored is where the part of that name lies.
func (b *bundle) stored(t testing.TB, m storage.Manifest, name string) string {
	t.Helper()
	i := slices.IndexFunc(m.Parts, func(p storage.PartRef) bool { return p.Name == name })
	if i < 0 {
		t.Fatalf("checkpoint %s has no part %s", m.ID, name)
	}
	return b.path("parts/" + m.Parts[i].Stored.SHA256)
}

// files lists what lies in the folder, without hidden files.
func (b *bundle) files(t testing.TB, under string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(b.path(under), func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && !strings.Contains(p, "/.") {
			rel, _ := filepath.Rel(b.folder, p)
			found = append(found, rel)
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return found
}

func part(name, data string) storage.Part { return storage.Part{Name: name, Data: []byte(data)} }

func flip(t testing.TB, file string, bit int) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[bit/8] ^= 1 << (bit % 8)
	write(t, file, b)
}

func write(t testing.TB, file string, b []byte) {
	t.Helper()
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func sameParts(a, b []storage.Part) bool {
	return slices.EqualFunc(a, b, func(a, b storage.Part) bool { return a.Name == b.Name && bytes.Equal(a.Data, b.Data) })
}

// logLines takes the log.
type logLines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// errors returns the lines at level ERROR.
func (l *logLines) errors() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for line := range strings.Lines(l.buf.String()) {
		if strings.Contains(line, "level=ERROR") {
			out = append(out, line)
		}
	}
	return out
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
