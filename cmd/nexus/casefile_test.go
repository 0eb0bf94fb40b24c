package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// mostLines is how long a case may be, without blank lines and remarks. A longer
// one tells two things.
const mostLines = 15

// step is one line of a case: teach, ask, expect and so on, as the README of the
// folder describes them.
type step struct {
	line int
	verb string
	rest string
	want string // after =>
}

// readCase reads the lines of a case.
func readCase(file string) (steps []step, err error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for i, line := range strings.Split(string(raw), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		s := step{line: i + 1}
		s.verb, s.rest, _ = strings.Cut(line, " ")
		s.rest, s.want, _ = strings.Cut(s.rest, " => ")
		s.rest, s.want = strings.TrimSpace(s.rest), strings.TrimSpace(s.want)
		if !knownVerbs[s.verb] {
			return nil, fmt.Errorf("%s:%d: %q is not among the verbs that README.md lists", filepath.Base(file), s.line, s.verb)
		}
		steps = append(steps, s)
	}
	if len(steps) > mostLines {
		return nil, fmt.Errorf("%s has %d lines; a case has at most %d", filepath.Base(file), len(steps), mostLines)
	}
	return steps, nil
}

var knownVerbs = map[string]bool{
	"lessons": true, "teach": true, "ask": true, "expect": true, "score": true, "feedback": true, "forget": true, "wait": true,
	"restart": true, "kill": true, "fresh": true, "checkpoint": true, "rollback": true, "import": true, "upload": true, "get": true, "header": true,
}

// topicOf cuts a leading @topic off.
func topicOf(s string) (topic, rest string) {
	if !strings.HasPrefix(s, "@") {
		return "", s
	}
	topic, rest, _ = strings.Cut(s[1:], " ")
	return topic, strings.TrimSpace(rest)
}

var choice = regexp.MustCompile(`\[([^][]*\|[^][]*|\d+\.\.\d+)\]`)

// expand writes out every choice: [a|b] is a and b, [1..3] is 1, 2 and 3. In what
// belongs to it, $1 is what was chosen first, $2 what was chosen second.
func expand(text, belongs string) (out [][2]string) {
	return expandFrom(text, belongs, 1)
}

func expandFrom(text, belongs string, n int) (out [][2]string) {
	at := choice.FindStringSubmatchIndex(text)
	if at == nil {
		return [][2]string{{strings.Join(strings.Fields(text), " "), belongs}}
	}
	for _, chosen := range choices(text[at[2]:at[3]]) {
		next := text[:at[0]] + chosen + text[at[1]:]
		out = append(out, expandFrom(next, strings.ReplaceAll(belongs, "$"+strconv.Itoa(n), chosen), n+1)...)
	}
	return out
}

func choices(of string) (out []string) {
	from, to, isRange := strings.Cut(of, "..")
	low, err1 := strconv.Atoi(from)
	high, err2 := strconv.Atoi(to)
	if !isRange || err1 != nil || err2 != nil {
		return strings.Split(of, "|")
	}
	for i := low; i <= high; i++ {
		out = append(out, strconv.Itoa(i))
	}
	return out
}

// readList reads lines of a file as they are, without blank ones and remarks.
func readList(t *testing.T, file string) (out []string) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	return out
}
