package dir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nexus-continuum/nexus/storage"
)

// childEnv makes the test binary a process without privileges that tries the
// folder named by it: root ignores permissions.
const childEnv = "NEXUS_TEST_DENIED"

func TestMain(m *testing.M) {
	if folder, ok := os.LookupEnv(childEnv); ok {
		fmt.Println(tryDenied(folder))
		return
	}
	os.Exit(m.Run())
}

func fill(t *testing.T, s *Store, key string, size int) error {
	t.Helper()
	return s.Put(t.Context(), key, storage.Body(bytes.Repeat([]byte("x"), size)))
}

// mount puts a small file system on a folder, or says that this is not allowed.
func mount(t *testing.T, flags uintptr, options string) (string, bool) {
	t.Helper()
	folder := t.TempDir()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", flags, options); err != nil {
		t.Logf("no file system can be mounted (%v); the error is injected instead", err)
		return folder, false
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(folder, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return folder, true
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	folder, mounted := mount(t, 0, "size=1m")
	s, err := Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := fill(t, s, "parts/a", 100_000); err != nil {
		t.Fatal(err)
	}
	if !mounted {
		s.step = func(op string) error {
			if op == "write" {
				return syscall.ENOSPC
			}
			return nil
		}
	}
	if err := fill(t, s, "parts/a", 5<<20); !errors.Is(err, storage.ErrFull) || !strings.Contains(err.Error(), "parts/a") {
		t.Errorf("Put on a full disk = %v, want ErrFull with the name", err)
	}
	if i, err := s.Stat(t.Context(), "parts/a"); err != nil || i.Size != 100_000 {
		t.Errorf("the old object is now %+v, %v", i, err)
	}
	if left, err := os.ReadDir(filepath.Join(folder, tempDir)); err != nil || len(left) > 0 {
		t.Errorf("a failed write left %v, %v: it fills the disk for good", left, err)
	}
	// It heals by itself when there is space again.
	s.step = func(string) error { return nil }
	if err := errors.Join(s.Delete(t.Context(), "parts/a"), fill(t, s, "parts/b", 300_000)); err != nil {
		t.Errorf("after space was made: %v", err)
	}
}

func TestReadOnly(t *testing.T) {
	t.Parallel()
	folder, mounted := mount(t, 0, "size=1m")
	s, err := Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	version, err := s.Swap(t.Context(), "head.json", storage.Absent, []byte("one"))
	if err != nil {
		t.Fatal(err)
	}
	if mounted {
		if err := syscall.Mount("tmpfs", folder, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
		if s, err = Open(folder); err != nil {
			t.Fatalf("Open of a read-only folder = %v, want a store to serve from", err)
		}
	} else {
		s.step = func(string) error { return syscall.EROFS }
	}
	_, err = s.Swap(t.Context(), "head.json", version, []byte("two"))
	for what, err := range map[string]error{
		"Put": fill(t, s, "a", 1), "Swap": err, "Delete": s.Delete(t.Context(), "head.json"),
		"Move": s.Move(t.Context(), "head.json", "corrupted/head.json"),
	} {
		if !errors.Is(err, storage.ErrReadOnly) {
			t.Errorf("%s on a read-only folder = %v, want ErrReadOnly", what, err)
		}
	}
	if b, _, err := s.Read(t.Context(), "head.json"); err != nil || string(b) != "one" {
		t.Errorf("reading on: %q, %v", b, err)
	}
}

func TestNoPermission(t *testing.T) {
	t.Parallel()
	// Not below t.TempDir, which only its owner may enter.
	folder, err := os.MkdirTemp("", "nexus-denied-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	s, err := Open(filepath.Join(folder, "root"))
	if err != nil {
		t.Fatal(err)
	}
	if err := fill(t, s, "open", 3); err != nil {
		t.Fatal(err)
	}
	if err := fill(t, s, "secret", 3); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]os.FileMode{"": 0o755, "root/open": 0o644, "root/secret": 0, "root/.tmp": 0o555, "root": 0o555} {
		if err := os.Chmod(filepath.Join(folder, path), mode); err != nil {
			t.Fatal(err)
		}
	}
	defer func() { _ = os.Chmod(filepath.Join(folder, "root"), 0o755) }()
	if os.Getuid() != 0 {
		if got := tryDenied(filepath.Join(folder, "root")); got != "ok" {
			t.Error(got)
		}
		return
	}
	// The copy of the test binary lies where the other user can reach it.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(folder, "test")
	if err := os.WriteFile(copied, binary, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), copied)
	cmd.Env = append(os.Environ(), childEnv+"="+filepath.Join(folder, "root"))
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "ok" {
		t.Errorf("another user: %v\n%s", err, out)
	}
}

// tryDenied returns "ok" if a folder that may only be read says so.
func tryDenied(folder string) string {
	ctx := context.Background()
	s, err := Open(folder)
	if err != nil {
		return fmt.Sprintf("Open = %v, want a store to serve from", err)
	}
	if r, err := s.Get(ctx, "open"); err != nil {
		return fmt.Sprintf("Get = %v", err)
	} else if b, err := io.ReadAll(r); err != nil || string(b) != "xxx" || r.Close() != nil {
		return fmt.Sprintf("read %q, %v", b, err)
	}
	_, err = s.Get(ctx, "secret")
	_, swap := s.Swap(ctx, "a", storage.Absent, nil)
	for what, err := range map[string]error{
		"Get of a secret": err, "Put": s.Put(ctx, "a", storage.Body(nil)), "Swap": swap,
		"Delete": s.Delete(ctx, "open"), "Move": s.Move(ctx, "open", "b"),
	} {
		if !errors.Is(err, storage.ErrDenied) {
			return fmt.Sprintf("%s = %v, want ErrDenied", what, err)
		}
	}
	return "ok"
}

func TestLinksDoNotLeadOut(t *testing.T) {
	t.Parallel()
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	s, err := Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Symlink(outside, filepath.Join(folder, "parts")), os.Symlink(filepath.Join(outside, "secret"), filepath.Join(folder, "link"))); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"parts/secret", "link"} {
		if r, err := s.Get(t.Context(), key); err == nil {
			b, _ := io.ReadAll(r)
			t.Errorf("Get(%s) reads %q from outside the folder", key, b)
		}
	}
	if err := fill(t, s, "parts/new", 1); err == nil {
		t.Error("Put through a link writes outside the folder")
	}
	if infos, err := s.List(t.Context(), ""); err != nil || len(infos) > 0 {
		t.Errorf("List shows %v, %v", infos, err)
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 1 {
		t.Errorf("outside there is now %v, %v", entries, err)
	}
}

func TestMediumError(t *testing.T) {
	t.Parallel()
	if err := failRead("parts/a", syscall.EIO); !errors.Is(err, storage.ErrCorrupt) || errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("a medium that gives up its bytes = %v, want ErrCorrupt", err)
	}
	if err := fail("write", "parts/a", syscall.EIO); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("a medium that takes no bytes = %v, want ErrUnavailable", err)
	}
}
