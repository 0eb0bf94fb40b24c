package main

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// dataset is prompts by intent, in a part to teach and one to ask.
type dataset struct {
	name    string
	train   map[string][]string
	test    map[string][]string
	foreign []string            // what belongs to no intent
	domains map[string][]string // intents that are near each other
	named   bool                // an answer is the name of its intent
}

// intents returns all of them in order.
func (d *dataset) intents() []string { return slices.Sorted(maps.Keys(d.train)) }

// answer is what is taught for an intent. Unless names are wanted it tells
// nothing of the intent, for neither does the answer of many a bot.
func (d *dataset) answer(intent string) string {
	if d.named {
		return strings.ReplaceAll(intent, "_", " ")
	}
	i, _ := slices.BinarySearch(d.intents(), intent)
	return fmt.Sprintf("A%03d", i)
}

// teach draws n phrasings of each intent; those of a smaller n are among them.
// n of 0 is all.
func (d *dataset) teach(intents []string, n int, rng *rand.Rand) (lessons, rest []lesson) {
	for _, intent := range intents {
		answer := d.answer(intent)
		all := d.train[intent]
		for i, k := range rng.Perm(len(all)) {
			l := lesson{all[k], answer}
			if n == 0 || i < n {
				lessons = append(lessons, l)
			} else {
				rest = append(rest, l)
			}
		}
	}
	return lessons, rest
}

// ask returns every prompt of the test part.
func (d *dataset) ask(intents []string) (out []lesson) {
	for _, intent := range intents {
		answer := d.answer(intent)
		for _, prompt := range d.test[intent] {
			out = append(out, lesson{prompt, answer})
		}
	}
	return out
}

// others are prompts of the intents that are not among those given.
func (d *dataset) others(intents []string) (out []string) {
	for _, intent := range d.intents() {
		if !slices.Contains(intents, intent) {
			out = append(out, d.test[intent]...)
		}
	}
	return out
}

func readCLINC(dir string) (*dataset, error) {
	var parts map[string][][2]string
	if err := readJSON(filepath.Join(dir, "clinc150", "data_full.json"), &parts); err != nil {
		return nil, err
	}
	d := &dataset{name: "CLINC150", train: map[string][]string{}, test: map[string][]string{}}
	for _, p := range parts["train"] {
		d.train[p[1]] = append(d.train[p[1]], p[0])
	}
	for _, p := range parts["test"] {
		d.test[p[1]] = append(d.test[p[1]], p[0])
	}
	for _, p := range parts["oos_test"] {
		d.foreign = append(d.foreign, p[0])
	}
	return d, readJSON(filepath.Join(dir, "clinc150", "domains.json"), &d.domains)
}

func readHWU(dir string) (*dataset, error) {
	d := &dataset{name: "HWU64"}
	var err error
	if d.train, err = readTSV(filepath.Join(dir, "hwu64", "train.tsv")); err != nil {
		return nil, err
	}
	d.test, err = readTSV(filepath.Join(dir, "hwu64", "test.tsv"))
	return d, err
}

// readSNIPS returns nil where the data is not there. It comes in one part: every
// fifth line, of at most 600 an intent, is asked.
func readSNIPS(dir string) (*dataset, error) {
	all, err := readTSV(filepath.Join(dir, "base", "snips.group.tsv.gz"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	d := &dataset{name: "SNIPS", train: map[string][]string{}, test: map[string][]string{}}
	for intent, prompts := range all {
		for i, p := range prompts[:min(len(prompts), 600)] {
			if i%5 == 0 {
				d.test[intent] = append(d.test[intent], p)
			} else {
				d.train[intent] = append(d.train[intent], p)
			}
		}
	}
	return d, err
}

func readJSON(file string, out any) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	return nil
}

// readTSV reads lines of intent, tab, prompt.
func readTSV(file string) (map[string][]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(file, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
	}
	out := map[string][]string{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		intent, prompt, ok := strings.Cut(lines.Text(), "\t")
		if !ok {
			return nil, fmt.Errorf("read %s: no tab in %q", file, lines.Text())
		}
		out[intent] = append(out[intent], prompt)
	}
	return out, lines.Err()
}
