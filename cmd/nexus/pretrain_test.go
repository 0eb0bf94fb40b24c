package main

import (
	"bytes"
	bytewise "encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/model/pretrain"
)

// A base is made from a folder of text and a teacher's vectors by one command,
// and tells what it was made from; vectors that do not fit their texts are
// refused with what is wrong.
func TestPretrainWithTeacher(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("a.group.tsv", []byte("greet\thello there\ngreet\tgood day\nbye\tsee you later\nbye\tgood bye\n"))
	texts := "hello there\ngood day\nsee you later\n"
	vectors, err := bytewise.Append(nil, bytewise.LittleEndian, []float32{1, 0, 0, 1, 1, 1})
	if err != nil {
		t.Fatal(err)
	}
	taught := write("strong.f32", vectors)
	out := filepath.Join(dir, "my.nxb")
	run := func() (code int, fault string) {
		var stdout, stderr bytes.Buffer
		m := Main{Stdout: &stdout, Stderr: &stderr, Environ: []string{"NEXUS_DATA_DIR=" + dir, "NEXUS_MODEL_SIZE=small"}}
		code = m.Run(t.Context(), []string{"pretrain", dir, "-o", out, "--steps", "2", "--batch", "2", "--teacher", taught})
		return code, stderr.String()
	}
	if code, fault := run(); code != exitFailure || !strings.Contains(fault, "strong.txt") {
		t.Errorf("without the texts: code %d, %s", code, fault)
	}
	write("strong.txt", []byte(texts+"one more\n"))
	if code, fault := run(); code != exitFailure || !strings.Contains(fault, "24 bytes for 4 lines") {
		t.Errorf("with a text too many: code %d, %s", code, fault)
	}
	write("strong.txt", []byte(texts))
	if code, fault := run(); code != exitOK {
		t.Fatalf("code %d, %s", code, fault)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	b, err := pretrain.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if r := b.Recipe.Teacher; r == nil || r.Name != "strong.f32" || r.Lines != 3 || len(r.SHA256) != 64 {
		t.Errorf("the base tells of the teacher %+v", r)
	}
}
