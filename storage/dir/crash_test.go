package dir

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/storage/storetest"
)

// TestCrashes stops before each change of the file system in turn.
func TestCrashes(t *testing.T) {
	t.Parallel()
	base := storetest.MemoryDir(t)
	storetest.Crashes(t, func(t *testing.T, root string, step func(string) error) storage.Store {
		s, err := Open(filepath.Join(base, root))
		if err != nil {
			t.Fatal(err)
		}
		s.step = step
		return s
	})
}

// TestCrashesOfOperations stops before and after each operation of the store.
func TestCrashesOfOperations(t *testing.T) {
	t.Parallel()
	base := storetest.MemoryDir(t)
	storetest.Crashes(t, func(t *testing.T, root string, step func(string) error) storage.Store {
		s, err := Open(filepath.Join(base, root))
		if err != nil {
			t.Fatal(err)
		}
		return storetest.NewFaulty(s, step)
	})
}

func TestOpenSweepsUnfinishedWrites(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s, err := Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	root, err := s.open(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	held, name, err := s.createTemp(root)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = held.Close() }()
	left := filepath.Join(folder, tempDir, "left-by-a-crash")
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(folder); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("the unfinished write of a dead process is still there: %v", err)
	}
	if _, err := os.Stat(filepath.Join(folder, name)); err != nil {
		t.Errorf("the unfinished write of a living process was swept: %v", err)
	}
}
