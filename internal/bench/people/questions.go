package main

import (
	"embed"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"strings"
)

// heldOut are questions to two houses, written for this benchmark. No fit of a
// prior, a base or a threshold may use them.
//
//go:embed heldout/*.txt
var heldOut embed.FS

// questions are the rows of questions with their paraphrases.
func questions(o *options) (rows []row, err error) {
	if o.contrast != "" {
		t, err := readContrast(o.contrast)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row{"contrast × 1", "", func(*rand.Rand) trial { return t }})
	}
	raw, err := os.ReadFile(o.paraphrase)
	if err != nil {
		return nil, err
	}
	var paraphrases faq
	for line := range strings.Lines(string(raw)) {
		paraphrases.answers = append(paraphrases.answers, answer{fmt.Sprintf("Page %d of the handbook.", len(paraphrases.answers)), strings.Split(strings.TrimSpace(line), " | ")})
	}
	rows = append(rows, paraphrases.row("paraphrases", 1))
	files, err := heldOut.ReadDir("heldout")
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		raw, err := heldOut.ReadFile("heldout/" + file.Name())
		if err != nil {
			return nil, err
		}
		set, err := readFAQ(string(raw))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file.Name(), err)
		}
		name := strings.TrimSuffix(file.Name(), path.Ext(file.Name()))
		rows = append(rows, set.row(name, 1), set.row(name, 3))
	}
	return rows, nil
}

// faq is answers with phrasings of their question, of which some are taught.
type faq struct {
	answers []answer
	changed []string
	foreign []string
}

type answer struct {
	response  string
	phrasings []string
}

// readFAQ reads an answer a line, as `phrasing | phrasing … => answer`, lines
// `changed: prompt` and `foreign: prompt`, and remarks after #.
func readFAQ(text string) (set faq, err error) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if prompt, ok := strings.CutPrefix(line, "changed: "); ok {
			set.changed = append(set.changed, prompt)
		} else if prompt, ok := strings.CutPrefix(line, "foreign: "); ok {
			set.foreign = append(set.foreign, prompt)
		} else if phrasings, response, ok := strings.Cut(line, " => "); ok {
			set.answers = append(set.answers, answer{response, strings.Split(phrasings, " | ")})
		} else {
			return set, fmt.Errorf("%q is neither an answer nor a prompt", line)
		}
	}
	return set, nil
}

// row teaches the first n phrasings of each answer and asks the others.
func (set faq) row(name string, n int) row {
	var t trial
	for _, a := range set.answers {
		for i, prompt := range a.phrasings {
			if l := (lesson{prompt, a.response}); i < n {
				t.lessons = append(t.lessons, l)
			} else {
				t.asked = append(t.asked, l)
			}
		}
	}
	t.changed, t.foreign = set.changed, set.foreign
	return row{fmt.Sprintf("%s × %d", name, n), name, func(*rand.Rand) trial { return t }}
}

// readContrast reads {"lessons": [[prompt, answer]…], "answer": the same, to be
// asked, "refuse": [prompt…], "foreign": [prompt…]}.
func readContrast(file string) (t trial, err error) {
	var in struct {
		Lessons, Answer [][2]string
		Refuse, Foreign []string
	}
	if err := readJSON(file, &in); err != nil {
		return t, err
	}
	pairs := func(all [][2]string) (out []lesson) {
		for _, p := range all {
			out = append(out, lesson{p[0], p[1]})
		}
		return out
	}
	return trial{lessons: pairs(in.Lessons), asked: pairs(in.Answer), changed: in.Refuse, foreign: in.Foreign}, nil
}
