// Command slim prepares the smaller build of nexus. It copies kong and asynqmon
// into a folder below the module, changes a few lines of them, and writes a go.mod
// that uses the copies. It prints its name, for `go build -modfile`.
//
// The linker drops methods that nothing calls, but only while no reachable code
// looks up methods by names that it cannot know. kong and html/template are the
// last two that do so here, and they keep some 16 MB of unused methods. The other
// changes leave out what nexus does not use and the linker cannot know.
package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: slim FOLDER, which lies below the module")
		os.Exit(2)
	}
	name, err := prepare(context.Background(), filepath.Clean(os.Args[1]))
	if err != nil {
		fmt.Fprintln(os.Stderr, "slim:", err)
		os.Exit(1)
	}
	fmt.Println(name)
}

// prepare writes the changed copies and the go.mod that uses them.
func prepare(ctx context.Context, folder string) (string, error) {
	if err := os.RemoveAll(folder); err != nil { //nolint:gosec // the folder that the caller names
		return "", fmt.Errorf("clear the folder: %w", err)
	}
	args := []string{"mod", "edit"}
	for _, module := range modules {
		out, err := exec.CommandContext(ctx, "go", "mod", "download", "-json", module).Output()
		if err != nil {
			return "", fmt.Errorf("download %s: %w", module, err)
		}
		var m struct{ Dir string }
		if err := json.Unmarshal(out, &m); err != nil {
			return "", fmt.Errorf("find %s: %w", module, err)
		}
		copied := filepath.Join(folder, filepath.Base(module))
		if err := clone(copied, m.Dir); err != nil {
			return "", fmt.Errorf("copy %s: %w", module, err)
		}
		args = append(args, "-replace="+module+"=./"+filepath.ToSlash(copied))
	}
	for _, e := range edits {
		if err := e.apply(filepath.Join(folder, filepath.Base(e.module), e.file)); err != nil {
			return "", err
		}
	}
	for _, c := range cuts {
		if err := c.apply(filepath.Join(folder, filepath.Base(c.module))); err != nil {
			return "", err
		}
	}
	for _, ext := range []string{".mod", ".sum"} {
		if err := copyFile(filepath.Join(folder, "slim"+ext), "go"+ext); err != nil {
			return "", fmt.Errorf("copy go%s: %w", ext, err)
		}
	}
	mod := filepath.Join(folder, "slim.mod")
	if out, err := exec.CommandContext(ctx, "go", append(args, mod)...).CombinedOutput(); err != nil { //nolint:gosec // our own arguments
		return "", fmt.Errorf("write %s: %w: %s", mod, err, out)
	}
	return mod, nil
}

// clone copies a module. Files of the module cache are read-only, copies are not.
func clone(to, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error { //nolint:wrapcheck // wrapped by the caller
		if err != nil || d.IsDir() || needless(path) {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err //nolint:wrapcheck // wrapped by the caller
		}
		if squeezed(path) {
			return zipFile(filepath.Join(to, name)+".gz", path)
		}
		return copyFile(filepath.Join(to, name), path)
	})
}

func copyFile(to, from string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err //nolint:wrapcheck // wrapped by the caller
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil { //nolint:gosec // source code
		return err //nolint:wrapcheck // wrapped by the caller
	}
	return os.WriteFile(to, content, 0o644) //nolint:gosec,wrapcheck // source code; wrapped by the caller
}

// zipFile writes a compressed copy, always with the same bytes.
func zipFile(to, from string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err //nolint:wrapcheck // wrapped by the caller
	}
	var buf bytes.Buffer
	z, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err == nil {
		_, err = z.Write(content)
	}
	if err == nil {
		err = z.Close()
	}
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o755) //nolint:gosec // source code
	}
	if err == nil {
		err = os.WriteFile(to, buf.Bytes(), 0o644) //nolint:gosec // source code
	}
	return err //nolint:wrapcheck // wrapped by the caller
}
