package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/model/pretrain"
)

func TestBaseSetting(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, dim, buckets int) string {
		data, err := (&pretrain.Base{Dim: dim, Buckets: buckets, Table: make([]float32, dim*buckets), Head: make([]float32, dim*dim)}).Encode()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	fits, other := write("fits.nxb", 128, 1<<15), write("other.nxb", 64, 1<<10)
	broken := filepath.Join(dir, "broken.nxb")
	if err := os.WriteFile(broken, []byte("no base"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		value, want string // want is part of the complaint; empty for none
		isBase      bool
	}{
		{"auto", "", true},
		{"none", "", false},
		{fits, "", true},
		{other, "NEXUS_MODEL_SIZE=small needs 32768×128", false},
		{broken, "not a base file", false},
		{filepath.Join(dir, "absent"), "must be auto, none or a file", false},
	} {
		f, err := openBase(&Settings{Base: c.value, ModelSize: "small"})
		if c.want != "" {
			if _, ok := errors.AsType[*settingError](err); !ok || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want a complaint with %q", c.value, err, c.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.value, err)
			continue
		}
		if (f.Digest() != "") != c.isBase {
			t.Errorf("%s: digest %q", c.value, f.Digest())
		}
	}
}
