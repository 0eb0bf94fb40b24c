package main

import (
	"slices"
	"strings"
	"sync"
	"testing"
)

// judgeWithGaps returns what fails a test by its faults, unless gaps.txt names it;
// then having none fails it.
func judgeWithGaps(t *testing.T) func(t *testing.T, name string, faults []string) {
	t.Helper()
	gaps := readList(t, casesDir+"/gaps.txt")
	return func(t *testing.T, name string, faults []string) {
		t.Helper()
		switch known := slices.Contains(gaps, name); {
		case known && len(faults) == 0:
			t.Errorf("%s passes now: delete its line in %s/gaps.txt", name, casesDir)
		case known:
			t.Logf("known gap: %s", strings.Join(faults, "\n"))
		case len(faults) > 0:
			t.Error(strings.Join(faults, "\n"))
		}
	}
}

// scoreboard counts what the cases that share a score met.
type scoreboard struct {
	mu     sync.Mutex
	met    map[string]int
	asked  map[string]int
	missed map[string][]string
}

func (b *scoreboard) add(name, fault string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.met == nil {
		b.met, b.asked, b.missed = map[string]int{}, map[string]int{}, map[string][]string{}
	}
	b.asked[name]++
	if fault == "" {
		b.met[name]++
	} else {
		b.missed[name] = append(b.missed[name], fault)
	}
}

func (b *scoreboard) of(name string) (met, asked int, missed []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.met[name], b.asked[name], b.missed[name]
}
