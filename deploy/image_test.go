package deploy

import (
	"archive/tar"
	"compress/gzip"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// counter counts what is written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// The steps of the Dockerfile that make the root file system, in a folder: both
// programs start with the libraries that lie there, and the image stays small.
func TestTheImage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	nexus, root, instead := filepath.Join(dir, "nexus"), filepath.Join(dir, "root"), filepath.Join(dir, "instead")
	program(t, nexus)
	for _, args := range [][]string{{"image/libsystemd.sh", instead}, {"image/root.sh", root, nexus, instead}} {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil { //nolint:gosec // our own scripts
			t.Fatalf("%s: %v\n%s", args[0], err, out)
		}
	}
	// The image has no loader's cache: only its own folders count.
	loader, err := filepath.Glob(filepath.Join(root, "lib*/ld-linux-*"))
	if err != nil || len(loader) != 1 {
		t.Fatalf("loaders in the image: %v %v", loader, err)
	}
	folders, err := filepath.Glob(filepath.Join(root, "lib/*-linux-gnu"))
	if err != nil || len(folders) != 1 {
		t.Fatalf("folders of libraries in the image: %v %v", folders, err)
	}
	redis := exec.CommandContext(t.Context(), loader[0], "--inhibit-cache", "--library-path", folders[0]+":"+filepath.Join(root, "usr/lib"), //nolint:gosec // our own
		filepath.Join(root, "usr/bin/redis-server"), "--version")
	redis.Env = []string{"LD_BIND_NOW=1"}
	if out, err := redis.CombinedOutput(); err != nil {
		t.Errorf("redis-server with the libraries of the image: %v\n%s", err, out)
	}
	if out, err := exec.CommandContext(t.Context(), filepath.Join(root, "usr/local/bin/nexus"), "version").CombinedOutput(); err != nil { //nolint:gosec // our own
		t.Errorf("nexus of the image: %v\n%s", err, out)
	}
	for _, name := range []string{"bin/sh", "usr/bin/apt", "usr/bin/dpkg"} {
		if _, err := os.Stat(filepath.Join(root, name)); err == nil {
			t.Errorf("the image has %s", name)
		}
	}

	var size counter
	zipped := gzip.NewWriter(&size)
	packed := tar.NewWriter(zipped)
	if err := packed.AddFS(os.DirFS(root)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []io.Closer{packed, zipped} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if size > 40e6 {
		t.Errorf("the image has %.1f MB compressed; the limit is 40", float64(size)/1e6)
	}
	t.Logf("%.1f MB compressed", float64(size)/1e6)
}
