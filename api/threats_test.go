package api

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every line of the threats in SECURITY.md names what shows it, and every test that
// it names is there.
func TestThreatsNameTheirTests(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	err = filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		code, err := os.ReadFile(path)
		for _, m := range declared.FindAllStringSubmatch(string(code), -1) {
			there[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	lines, named := 0, regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark)[A-Z]\w+`)
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 || strings.HasPrefix(line, "| who") || strings.HasPrefix(line, "|---") {
			continue
		}
		lines++
		names := named.FindAllString(cells[4], -1)
		if len(names) == 0 && !strings.Contains(cells[4], "tests") {
			t.Errorf("no test shows that %s may not %s", cells[1], cells[2])
		}
		for _, name := range names {
			if !there[name] {
				t.Errorf("SECURITY.md names %s, which is no test", name)
			}
		}
	}
	if lines < 25 {
		t.Errorf("only %d threats were read", lines)
	}
}
