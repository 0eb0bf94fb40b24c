package main

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// nexus upgrade --check tells what a start will do with the data beside it, and
// refuses data of a newer version; it changes nothing.
func TestUpgradeCheck(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := start(t, dir, []string{"serve"})
	p.finished(p.teach("support", lesson{"How do I reset my password?", "Open Settings."}).ID)
	p.stop()
	tree := func() (names string) {
		_ = filepath.WalkDir(filepath.Join(dir, "nexus_checkpoints"), func(path string, d fs.DirEntry, _ error) error {
			if i, err := d.Info(); err == nil && !d.IsDir() {
				names += path + i.ModTime().String() + "\n"
			}
			return nil
		})
		return names
	}
	before := tree()
	check := func(env ...string) (out string, code int) {
		t.Helper()
		p := launch(t, dir, []string{"upgrade", "--check"}, env...)
		<-p.done
		return p.out.String(), p.cmd.ProcessState.ExitCode()
	}
	out, code := check()
	if code != exitOK || !strings.Contains(out, "with 1 lessons at once") || !strings.Contains(out, "converts nothing") || !strings.Contains(out, "put small learned datasets together") {
		t.Errorf("%d: %s", code, out)
	}
	if out, code := check("NEXUS_MODEL_SIZE=base"); code != exitOK || !strings.Contains(out, "train a model flowing base") {
		t.Errorf("with another size %d: %s", code, out)
	}
	if after := tree(); after != before {
		t.Errorf("the check changed the data:\n%s\n%s", before, after)
	}

	control := filepath.Join(dir, "nexus_checkpoints", "control.json")
	newer := `{"format":99,"kind":"control","sha256":"","body":{}}` + "\n"
	if err := os.WriteFile(control, []byte(newer), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := check(); code != exitFailure || !strings.Contains(out, "cannot read the control record") {
		t.Errorf("of newer data %d: %s", code, out)
	}
}

// Scripts can read the version, and the manual page names every command.
func TestVersionAndManual(t *testing.T) {
	t.Parallel()
	p := launch(t, t.TempDir(), []string{"version", "--json"})
	<-p.done
	var b build
	if err := json.Unmarshal([]byte(p.out.String()), &b); err != nil || b.Version == "" || b.Arch == "" {
		t.Errorf("%+v, %v: %s", b, err, p.out)
	}
	p = launch(t, t.TempDir(), []string{"man"})
	<-p.done
	for _, want := range []string{".TH NEXUS 1", `.B nexus backup`, `NEXUS_TARGET_ERROR`} {
		if !strings.Contains(p.out.String(), want) {
			t.Errorf("the manual page lacks %q", want)
		}
	}
}
