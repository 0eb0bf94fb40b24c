package mirror

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nexus-continuum/nexus/storage"
)

// memory is a store in memory, for tests with thousands of lives.
type memory struct {
	mu      sync.Mutex
	objects map[string]object
	writes  int
}

type object struct {
	body []byte
	at   time.Time
	n    int // its version
}

func newMemory() *memory { return &memory{objects: map[string]object{}} }

func (*memory) String() string { return "memory" }

func missing(key string) error { return fmt.Errorf("%s: %w", key, storage.ErrNotFound) }

func (m *memory) put(key string, b []byte) storage.Version {
	m.writes++
	m.objects[key] = object{body: bytes.Clone(b), at: time.Now(), n: m.writes}
	return m.version(key)
}

func (m *memory) version(key string) storage.Version {
	if o, ok := m.objects[key]; ok {
		return storage.Version(fmt.Sprint(o.n))
	}
	return storage.Absent
}

func (m *memory) Put(ctx context.Context, key string, body *io.SectionReader) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b, err := io.ReadAll(io.NewSectionReader(body, 0, body.Size()))
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.put(key, b)
	return nil
}

func (m *memory) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	b, _, err := m.Read(ctx, key)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

func (m *memory) Stat(ctx context.Context, key string) (storage.Info, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.objects[key]
	if !ok {
		return storage.Info{}, missing(key)
	}
	return storage.Info{Key: key, Size: int64(len(o.body)), ModTime: o.at}, ctx.Err()
}

func (m *memory) List(ctx context.Context, prefix string) ([]storage.Info, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []storage.Info
	for key, o := range m.objects {
		if strings.HasPrefix(key, prefix) {
			out = append(out, storage.Info{Key: key, Size: int64(len(o.body)), ModTime: o.at})
		}
	}
	slices.SortFunc(out, func(a, b storage.Info) int { return strings.Compare(a.Key, b.Key) })
	return out, ctx.Err()
}

func (m *memory) Delete(ctx context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, key)
	return ctx.Err()
}

func (m *memory) Move(ctx context.Context, from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.objects[from]
	if !ok {
		return missing(from)
	}
	delete(m.objects, from)
	m.put(to, o.body)
	return ctx.Err()
}

func (m *memory) Read(ctx context.Context, key string) ([]byte, storage.Version, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.objects[key]
	if !ok {
		return nil, storage.Absent, missing(key)
	}
	return bytes.Clone(o.body), m.version(key), ctx.Err()
}

func (m *memory) Swap(ctx context.Context, key string, old storage.Version, body []byte) (storage.Version, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.version(key) != old {
		return storage.Absent, fmt.Errorf("swap %s: %w", key, storage.ErrConflict)
	}
	return m.put(key, body), ctx.Err()
}
