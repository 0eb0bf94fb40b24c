package chaos

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// mountSmall mounts a folder that has room for little.
func mountSmall(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=24m,mode=0700")
}

func unmount(dir string) { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }

// fill writes until nothing more can be written.
func fill(f *fleet, dir string) {
	f.Helper()
	file, err := os.Create(filepath.Join(dir, "ballast"))
	if err != nil {
		f.Fatal(err)
	}
	defer file.Close()
	for size := 1 << 20; size > 0; {
		if _, err := file.Write(make([]byte, size)); err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				f.Fatal(err)
			}
			size /= 4
		}
	}
}

func empty(f *fleet, dir string) {
	f.Helper()
	if err := os.Remove(filepath.Join(dir, "ballast")); err != nil {
		f.Fatal(err)
	}
}
