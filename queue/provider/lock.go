package provider

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

var errLocked = errors.New("another process has locked it")

// lockDir takes the lock of a data folder. It is held until every copy of the
// file, also a child's, is closed.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return f, nil
	}
	_ = f.Close() // nothing was written
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, errLocked
	}
	return nil, fmt.Errorf("lock %s: %w", path, err)
}

// maxSocketPath is below the 108 bytes, with the final zero, that Linux keeps
// for the path of a socket (104 elsewhere).
const maxSocketPath = 100

// socketPath is the same for every process on a data folder: in it, or, where
// that path is too long, in a private folder for temporary files.
func socketPath(dir string) (string, error) {
	path := filepath.Join(dir, "redis.sock")
	if len(path) <= maxSocketPath {
		return path, nil
	}
	sum := sha256.Sum256([]byte(dir))
	name := "nexus-" + strconv.Itoa(os.Getuid()) + "-" + hex.EncodeToString(sum[:8])
	for _, base := range []string{os.TempDir(), "/tmp"} {
		folder := filepath.Join(base, name)
		path := filepath.Join(folder, "redis.sock")
		if len(path) > maxSocketPath {
			continue
		}
		if err := makePrivate(folder); err != nil {
			return "", err
		}
		return path, nil
	}
	return "", fmt.Errorf("no folder with a path short enough for a socket was found beside %s; set TMPDIR to a short path", dir)
}

// makePrivate makes a folder that nobody else can enter, and refuses one that
// somebody else made.
func makePrivate(folder string) error {
	if err := os.Mkdir(folder, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make a folder for the socket: %w", err)
	}
	info, err := os.Lstat(folder)
	if err != nil {
		return fmt.Errorf("look at %s: %w", folder, err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || info.Mode().Perm() != 0o700 || int(stat.Uid) != os.Getuid() {
		return fmt.Errorf("%s exists and is not a private folder of this user; remove it", folder)
	}
	return nil
}
