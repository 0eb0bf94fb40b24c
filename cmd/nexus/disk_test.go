package main

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// mount puts a file system in memory on a folder. Where that is not allowed the
// test ends: the same faults are injected in package storage/dir.
func mount(t *testing.T, folder, options string) {
	t.Helper()
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, options); err != nil {
		t.Skipf("no file system can be mounted here (%v); package storage/dir injects these faults", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(folder, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
}

// refusedToTeach teaches and returns the detail of the refusal; a teaching that
// was taken fails the test.
func (p *process) refusedToTeach(prompt string) string {
	p.t.Helper()
	var fault struct{ Detail, Code string }
	code, h := p.call("POST", "/api/lessons", map[string]any{"topic": "faults", "lessons": []lesson{{prompt, "No."}}}, &fault)
	if code != http.StatusServiceUnavailable || fault.Code != "unavailable" || h.Get("Retry-After") == "" {
		p.t.Fatalf("teaching into a storage that takes nothing: %d %+v, Retry-After %q", code, fault, h.Get("Retry-After"))
	}
	return fault.Detail
}

// teaches reports whether a lesson is taken again, and waits until it answers.
func (p *process) teachesAgain(prompt, response string) {
	p.t.Helper()
	p.eventually("it can be taught again", func() bool {
		code, _ := p.call("POST", "/api/lessons", map[string]any{"topic": "faults", "lessons": []lesson{{prompt, response}}}, nil)
		return code == http.StatusAccepted
	})
	p.answers(prompt, response)
}

// answers waits until a prompt has its answer.
func (p *process) answers(prompt, response string) {
	p.t.Helper()
	p.eventually("an answer to "+prompt, func() bool {
		var a reply
		code, _ := p.call("POST", "/api/interact", map[string]string{"prompt": prompt}, &a)
		return code == http.StatusOK && a.Responded && a.Response == response
	})
}

// saysOfStorage waits until the health names a fault of the storage.
func (p *process) saysOfStorage(words ...string) {
	p.t.Helper()
	p.eventually("the health says why the storage takes no writes", func() bool {
		said := p.issues()
		return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(said, w) })
	})
}

func (p *process) saysNothingOfStorage() {
	p.t.Helper()
	p.eventually("the health says nothing of the storage any more", func() bool { return !strings.Contains(p.issues(), "storage") })
}

// fill leaves no byte on the disk of a folder.
func fill(t *testing.T, folder string) (filler string) {
	t.Helper()
	filler = filepath.Join(folder, "filler")
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := 1 << 20; block > 0; block /= 16 {
		for err = nil; err == nil; {
			_, err = io.Copy(f, bytes.NewReader(make([]byte, block)))
		}
	}
	return filler
}

// TestFullDisk: the disk of the whole data folder is full, that of the queue too.
// What is taught is refused with the reason; serving goes on; with room again all
// is well without a restart, and nothing acknowledged is lost.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mount(t, dir, "size=160m")
	p := start(t, dir, []string{"serve"})
	p.teach("faults", lesson{"Where is the mop?", "In the cupboard."})
	p.answers("Where is the mop?", "In the cupboard.")

	filler := fill(t, dir)
	// In the moment in which Redis finds out, a caller may be told to come again.
	p.eventually("the full disk is found", func() bool {
		p.call("POST", "/api/interact", map[string]string{"prompt": "Where is the mop?"}, nil)
		return strings.Contains(p.out.String(), "the disk takes no writes")
	})
	p.answers("Where is the mop?", "In the cupboard.")
	for range 30 {
		if a := p.ask("where is the mop"); !a.Responded {
			t.Fatalf("with a full disk: %+v", a)
		}
	}
	if detail := p.refusedToTeach("Where is the broom?"); !strings.Contains(detail, "full") {
		t.Errorf("the refusal does not say why: %q", detail)
	}
	p.saysOfStorage("takes no writes", "full")

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	p.teachesAgain("Where is the bucket?", "Beside the door.")
	p.saysNothingOfStorage()
	p.kill()
	p = start(t, dir, []string{"serve"})
	p.answers("Where is the mop?", "In the cupboard.")
	p.answers("Where is the bucket?", "Beside the door.")
}

// TestReadOnlyFolder: the storage folder takes no writes for a while, also over
// a restart.
func TestReadOnlyFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	folder := filepath.Join(dir, "nexus_checkpoints")
	mount(t, folder, "size=160m")
	p := start(t, dir, []string{"serve"})
	p.teach("faults", lesson{"Where is the mop?", "In the cupboard."})
	p.answers("Where is the mop?", "In the cupboard.")

	remount := func(flags uintptr) {
		t.Helper()
		p.eventually("remounted", func() bool { return syscall.Mount("tmpfs", folder, "tmpfs", syscall.MS_REMOUNT|flags, "") == nil })
	}
	remount(syscall.MS_RDONLY)
	if detail := p.refusedToTeach("Where is the broom?"); !strings.Contains(detail, "read-only") {
		t.Errorf("the refusal does not say why: %q", detail)
	}
	p.answers("where is the mop", "In the cupboard.")
	p.saysOfStorage("takes no writes", "read-only")
	p.stop()
	p = start(t, dir, []string{"serve"})
	p.answers("where is the mop", "In the cupboard.")
	p.saysOfStorage("takes no writes", "read-only")
	remount(0)
	p.teachesAgain("Where is the bucket?", "Beside the door.")
	p.saysNothingOfStorage()
}
