package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/nexus-continuum/nexus/model/text"
)

// synset is one meaning of WordNet's and the words that have it.
type synset struct {
	words    []string
	pointers []pointer
}

// pointer leads from one word of a synset to one of another.
type pointer struct {
	kind, offset string
	from, to     int // 1 + the place of the word; 0 for the whole synset
}

// relate writes the opposites and synonyms of WordNet's data files in folder.
func relate(out, folder string) error {
	opposites, same := map[[2]string]bool{}, map[[2]string]bool{}
	for _, part := range []string{"noun", "verb", "adj", "adv"} {
		synsets, err := readSynsets(filepath.Join(folder, "data."+part))
		if err != nil {
			return err
		}
		for _, s := range synsets {
			pairsOf(s, synsets, opposites, same)
		}
	}
	data := text.BuildRelations(sorted(opposites), sorted(same))
	fmt.Printf("%d pairs of opposites, %d of synonyms, %d bytes\n", len(opposites), len(same), len(data))
	if err := os.WriteFile(out, data, 0o644); err != nil {
		return fmt.Errorf("write relations: %w", err)
	}
	return nil
}

func pairsOf(s *synset, all map[string]*synset, opposites, same map[[2]string]bool) {
	for _, p := range s.pointers {
		if other := all[p.offset]; p.kind == "!" && other != nil && p.from > 0 && p.to > 0 && p.to <= len(other.words) {
			put(opposites, s.words[p.from-1], other.words[p.to-1])
		}
	}
	for i, a := range s.words {
		for _, b := range s.words[i+1:] {
			put(same, a, b)
		}
	}
}

// put adds a pair of two single words.
func put(pairs map[[2]string]bool, a, b string) {
	if a != b && !strings.ContainsAny(a+b, "_-'./0123456789 ") {
		pairs[[2]string{min(a, b), max(a, b)}] = true
	}
}

func sorted(pairs map[[2]string]bool) (out [][2]string) {
	for p := range pairs {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b [2]string) int { return strings.Compare(a[0]+" "+a[1], b[0]+" "+b[1]) })
	return out
}

// readSynsets reads a data file of WordNet, as wndb(5WN) describes it.
func readSynsets(name string) (map[string]*synset, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open WordNet: %w", err)
	}
	defer file.Close()
	out := map[string]*synset{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if line := lines.Text(); !strings.HasPrefix(line, "  ") {
			fields := strings.Fields(line)
			s, err := readSynset(fields)
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", name, err)
			}
			out[fields[0]] = s
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return out, nil
}

func readSynset(fields []string) (*synset, error) {
	s := &synset{}
	count, err := strconv.ParseInt(fields[3], 16, 32)
	if err != nil {
		return nil, fmt.Errorf("number of words: %w", err)
	}
	at := 4
	for range count {
		word, _, _ := strings.Cut(strings.ToLower(fields[at]), "(")
		s.words = append(s.words, word)
		at += 2
	}
	pointers, err := strconv.Atoi(fields[at])
	if err != nil {
		return nil, fmt.Errorf("number of pointers: %w", err)
	}
	at++
	for range pointers {
		places, err := strconv.ParseInt(fields[at+3], 16, 32)
		if err != nil {
			return nil, fmt.Errorf("places of a pointer: %w", err)
		}
		s.pointers = append(s.pointers, pointer{fields[at], fields[at+1], int(places >> 8), int(places & 0xff)})
		at += 4
	}
	return s, nil
}
