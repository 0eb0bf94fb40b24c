//go:build linux && cgo

// Package cudatest builds a library that stands in for the NVIDIA driver: it runs the
// kernels of package cuda on the host. Tests use it to go the whole way without a card, and
// to have every call fail.
package cudatest

import (
	"embed"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/ebitengine/purego"

	"github.com/nexus-continuum/nexus/model/cuda/device"
)

//go:embed testdata/driver.c
var source embed.FS

// Driver is one copy of the library, with a state of its own.
type Driver struct {
	// Path is what to open in place of libcuda.so.1.
	Path string

	// Fail makes calls fail: the nth from now on, and as many as times says from there.
	Fail func(nth, times int64, code int32)
	// Lose makes every call fail with a code until it is called with 0.
	Lose func(code int32)
	// Memory sets how much memory a card has and how much of it others use.
	Memory func(total, others uint64)
	// Devices sets how many cards there are; 1 at the start.
	Devices func(n int32)
	// Calls, Launches and Graphs count the calls, the kernels that ran and the graphs that
	// were launched.
	Calls, Launches, Graphs func() int64
	// Used is how much memory is allocated, in bytes.
	Used func() uint64
}

// Codes of failures.
const (
	OutOfMemory = 2
	Uncorrected = 214 // an uncorrectable error of the memory
	LaunchFails = 719
)

// built is the library, compiled once for a test binary.
var built = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "nexus-cudatest-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	for _, files := range []fs.FS{source, device.Source} {
		if err := os.CopyFS(dir, files); err != nil {
			return nil, err
		}
	}
	out := filepath.Join(dir, "libcuda.so.1")
	cmd := exec.Command("gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-x", "c", "-I", dir, //nolint:noctx // it ends by itself
		"-o", out, filepath.Join(dir, "testdata", "driver.c"), "-lm", "-lpthread")
	if output, err := cmd.CombinedOutput(); err != nil {
		return nil, &buildError{err, output}
	}
	return os.ReadFile(out)
})

type buildError struct {
	err    error
	output []byte
}

func (e *buildError) Error() string { return e.err.Error() + "\n" + string(e.output) }

// New gives a test a driver of its own. It needs gcc.
func New(t testing.TB) *Driver {
	t.Helper()
	lib, err := built()
	if err != nil {
		t.Fatalf("build the library that stands in for the driver: %v", err)
	}
	d := &Driver{Path: filepath.Join(t.TempDir(), "libcuda.so.1")}
	if err := os.WriteFile(d.Path, lib, 0o700); err != nil {
		t.Fatal(err)
	}
	handle, err := purego.Dlopen(d.Path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]any{
		"standin_fail": &d.Fail, "standin_lose": &d.Lose, "standin_memory": &d.Memory, "standin_devices": &d.Devices,
		"standin_calls": &d.Calls, "standin_launches": &d.Launches, "standin_graphs": &d.Graphs, "standin_used": &d.Used,
	} {
		purego.RegisterLibFunc(f, handle, name)
	}
	return d
}
