package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Compose takes four foreign images by digest. With the file that pin.sh writes, Compose takes every foreign image by its
// digest. Of the container engine only the answer of the registry is there.
func TestImagesArePinned(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	digest := "sha256:" + strings.Repeat("5", 64)
	if err := os.WriteFile(filepath.Join(dir, "docker"), []byte("#!/bin/sh\necho "+digest+"\n"), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "compose/pin.sh", filepath.Join(dir, "pinned.yml"))
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	relative, err := filepath.Rel(mustAbs(t, "compose"), filepath.Join(dir, "pinned"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"redis", "s3", "prometheus", "grafana"} {
		if image := project(t, secrets(t), "fleet", "monitoring").Services[name].Image; !regexp.MustCompile(`^[^@]+:[^@]+@sha256:[0-9a-f]{64}$`).MatchString(image) {
			t.Errorf("%s is %s without pin.sh", name, image)
		}
	}
	for name, s := range project(t, secrets(t), "fleet", "monitoring", relative).Services {
		if !strings.HasPrefix(s.Image, "nexus-continuum:") && (!strings.HasSuffix(s.Image, "@"+digest) || strings.Count(s.Image, "@") > 1) {
			t.Errorf("%s is %s", name, s.Image)
		}
	}
}
