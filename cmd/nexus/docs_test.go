package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// A page of docs/architecture that names a file names one that exists.
func TestArchitectureNamesFilesThatExist(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../../docs/architecture/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	named := regexp.MustCompile("`((?:api|cmd|deploy|internal|job|model|queue|scheduler|storage|telemetry|topic|worker)/[a-z0-9_/]+\\.(?:go|lua))`")
	files := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range named.FindAllStringSubmatch(string(text), -1) {
			files++
			if _, err := os.Stat(filepath.Join("../..", m[1])); err != nil {
				t.Errorf("%s names %s, which does not exist", filepath.Base(page), m[1])
			}
		}
	}
	if files < 30 {
		t.Errorf("only %d files are named; the life of a prompt and of a lesson name one at each step", files)
	}
}
