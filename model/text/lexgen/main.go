// Command lexgen makes lexicon.bin, what package text knows of common language:
// which words there are, and which of them are so frequent that they tell
// nothing. It reads plain text, one file after the other, gzipped or not:
//
//	go run ./model/text/lexgen -out model/text/lexicon.bin -words wn.syn.tsv.gz,wn.gloss.tsv.gz -text cv.para.txt.gz,docs.para.txt.gz
//
// With -wordnet it makes relations.bin, the opposites and synonyms of WordNet:
//
//	go run ./model/text/lexgen -out model/text/relations.bin -wordnet /usr/share/wordnet
//
// Every first column of the files under -words is a word; so is every word that
// the files under -text hold often enough. Each file under -text counts the
// same, so that talk weighs as much as prose.
package main

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"flag"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/nexus-continuum/nexus/model/text"
)

const (
	oftenEnough = 6    // times in the text, to count as a word
	frequent    = 6000 // words whose frequency is kept
)

func main() {
	out := flag.String("out", "lexicon.bin", "file to write")
	lists := flag.String("words", "", "files whose first column are words, separated by commas")
	texts := flag.String("text", "", "files of running text, separated by commas")
	wordnet := flag.String("wordnet", "", "folder of WordNet's data files; makes the relations of words instead of the lexicon")
	flag.Parse()
	if *wordnet != "" {
		if err := relate(*out, *wordnet); err != nil {
			fmt.Fprintln(os.Stderr, "lexgen:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(*out, *lists, *texts); err != nil {
		fmt.Fprintln(os.Stderr, "lexgen:", err)
		os.Exit(1)
	}
}

func run(out, lists, texts string) error {
	known := map[string]bool{}
	err := lines(lists, func(f *text.Form, line string) {
		term, _, _ := strings.Cut(line, "\t")
		if f.Read(term); f.Words() == 1 {
			known[string(f.Word(0))] = true
		}
	})
	if err != nil {
		return err
	}
	share, files := map[string]float64{}, 0.0
	for name := range strings.SplitSeq(texts, ",") {
		counts, total := map[string]int{}, 0.0
		err = lines(name, func(f *text.Form, line string) {
			f.Read(line)
			for t := range f.Words() {
				counts[string(f.Word(t))]++
				total++
			}
		})
		if err != nil {
			return err
		}
		for w, n := range counts {
			if n >= oftenEnough {
				known[w] = true
			}
			share[w] += float64(n) / total
		}
		files++
	}
	ranked := slices.SortedFunc(maps.Keys(share), func(a, b string) int {
		return cmp.Or(cmp.Compare(share[b], share[a]), strings.Compare(a, b))
	})
	bits := map[string]float64{}
	for _, w := range ranked[:min(frequent, len(ranked))] {
		bits[w] = math.Log2(files / share[w])
	}
	words := make([]string, 0, len(known))
	for w := range known {
		words = append(words, w)
	}
	slices.Sort(words)
	data := text.BuildLexicon(words, bits)
	fmt.Printf("%d words, %d frequent ones, %d bytes\n", len(words), len(bits), len(data))
	if err := os.WriteFile(out, data, 0o644); err != nil {
		return fmt.Errorf("write lexicon: %w", err)
	}
	return nil
}

// lines calls each with every line of the files.
func lines(names string, each func(*text.Form, string)) error {
	var f text.Form
	for name := range strings.SplitSeq(names, ",") {
		if name == "" {
			continue
		}
		file, err := os.Open(name)
		if err != nil {
			return fmt.Errorf("open text: %w", err)
		}
		defer file.Close()
		var r io.Reader = file
		if strings.HasSuffix(name, ".gz") {
			if r, err = gzip.NewReader(file); err != nil {
				return fmt.Errorf("unzip %s: %w", name, err)
			}
		}
		s := bufio.NewScanner(r)
		s.Buffer(nil, 1<<20)
		for s.Scan() {
			each(&f, s.Text())
		}
		if err := s.Err(); err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
	}
	return nil
}
