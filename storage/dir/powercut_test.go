package dir

import (
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/storage/storetest"
)

// disk remembers what a power cut leaves of a folder: the content that a file
// had when it was last synced, and the names that a folder had then.
type disk struct {
	mu      sync.Mutex
	content map[uint64][]byte            // by inode
	names   map[uint64]map[string]uint64 // by inode of the folder
	folders map[uint64]bool
}

func newDisk() *disk {
	return &disk{content: map[uint64][]byte{}, names: map[uint64]map[string]uint64{}, folders: map[uint64]bool{}}
}

func inode(i fs.FileInfo) uint64 {
	return i.Sys().(*syscall.Stat_t).Ino //nolint:forcetypeassert // what os gives on Linux
}

// sync stands in for fsync.
func (d *disk) sync(f *os.File) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	i, err := f.Stat()
	if err != nil {
		return err
	}
	if !i.IsDir() {
		d.content[inode(i)], err = os.ReadFile(f.Name())
		return err
	}
	entries, err := os.ReadDir(f.Name())
	if err != nil {
		return err
	}
	names := map[string]uint64{}
	for _, e := range entries {
		i, err := e.Info()
		if err != nil {
			return err
		}
		names[e.Name()] = inode(i)
		if e.IsDir() {
			d.folders[inode(i)] = true
		}
	}
	d.names[inode(i)] = names
	return nil
}

// left writes what is left of folder after a power cut to another one.
func (d *disk) left(t *testing.T, folder, to string) {
	t.Helper()
	i, err := os.Stat(folder)
	if err != nil {
		t.Fatal(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.write(t, inode(i), to)
}

func (d *disk) write(t *testing.T, folder uint64, to string) {
	t.Helper()
	if err := os.MkdirAll(to, dirMode); err != nil {
		t.Fatal(err)
	}
	for name, at := range d.names[folder] {
		path := filepath.Join(to, name)
		if d.folders[at] {
			d.write(t, at, path)
			continue
		}
		// A file that was never synced has a name and no content.
		if err := os.WriteFile(path, d.content[at], fileMode); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPowerCuts loses, at each change of the file system in turn, all that was
// not synced by then.
func TestPowerCuts(t *testing.T) {
	t.Parallel()
	base := storetest.MemoryDir(t)
	disks, opened := map[string]*disk{}, map[string]int{}
	storetest.Crashes(t, func(t *testing.T, root string, step func(string) error) storage.Store {
		t.Helper()
		folder := filepath.Join(base, root)
		if disks[root] == nil {
			disks[root] = newDisk()
		}
		// The third to open it is the start after the cut.
		if opened[root]++; opened[root] == 3 {
			cut := folder + "-cut"
			disks[root].left(t, folder, cut)
			folder = cut
		}
		s, err := Open(folder)
		if err != nil {
			t.Fatal(err)
		}
		s.step, s.sync = step, disks[root].sync
		return s
	})
}

// Nobody but the owner reads what is stored, whatever the umask is.
func TestModes(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "above", "store")
	s, err := Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := fill(t, s, "datasets/a", 3); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Swap(t.Context(), "head.json", storage.Absent, []byte("x")); err != nil {
		t.Fatal(err)
	}
	seen := 0
	err = filepath.WalkDir(filepath.Dir(folder), func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		i, err := e.Info()
		if err != nil {
			return err
		}
		seen++
		if i.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has the mode %v", path, i.Mode())
		}
		return nil
	})
	if err != nil || seen < 6 {
		t.Errorf("%d files and folders, %v", seen, err)
	}
	// A folder of an earlier version is closed to others at the next start.
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(folder); err != nil {
		t.Fatal(err)
	}
	if i, err := os.Stat(folder); err != nil || i.Mode().Perm() != 0o750 {
		t.Errorf("an open folder has the mode %v after a start, %v", i.Mode(), err)
	}
}
