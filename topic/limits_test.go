package topic

import (
	"strings"
	"testing"
	"testing/fstest"
)

// The limits of a pack hold over all its files together.
func TestLimits(t *testing.T) {
	t.Parallel()
	fsys := fstest.MapFS{
		"p/a.pack": {Data: []byte("title: T\n= A\n? one\n? two\n")},
		"p/b.pack": {Data: []byte("= B\n? three\n")},
	}
	for name, c := range map[string]struct {
		limits limits
		want   string
	}{
		"enough":       {limits{bytes: 37, lessons: 3}, ""},
		"bytes":        {limits{bytes: 36, lessons: 3}, "p/b.pack:2: the pack is larger than 36 bytes"},
		"lessons":      {limits{bytes: 37, lessons: 2}, "p/b.pack:2: the pack has more than 2 lessons"},
		"in the first": {limits{bytes: 37, lessons: 1}, "p/a.pack:4: the pack has more than 1 lessons"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := readFolder(fsys, c.limits)
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}
