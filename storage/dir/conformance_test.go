package dir_test

import (
	"path/filepath"
	"sync"
	"testing"

	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/storage/dir"
	"github.com/nexus-continuum/nexus/storage/storetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	var mu sync.Mutex
	roots := make(map[string]string)
	storetest.Run(t, func(t *testing.T, root string) storage.Store {
		mu.Lock()
		defer mu.Unlock()
		if roots[root] == "" {
			roots[root] = filepath.Join(base, "root", string(rune('a'+len(roots))))
		}
		s, err := dir.Open(roots[root])
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}
