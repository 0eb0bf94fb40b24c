package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const casesDir = "testdata/cases"

// TestCases runs every case of testdata/cases against the built program. What
// gaps.txt names must fail, so that a gap that is closed is noticed.
func TestCases(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(casesDir + "/*/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases in %s: %v", casesDir, err)
	}
	judge := judgeWithGaps(t)
	var (
		board scoreboard
		mu    sync.Mutex
		ran   int
	)
	t.Run("of", func(t *testing.T) {
		for _, file := range files {
			rel, _ := filepath.Rel(casesDir, file)
			name := strings.TrimSuffix(filepath.ToSlash(rel), ".txt")
			if strings.HasPrefix(name, "lessons/") {
				continue
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				steps, err := readCase(file)
				if err != nil {
					t.Fatal(err)
				}
				run := caseRun{t: t, board: &board, name: filepath.Base(file)}
				run.fresh()
				for _, s := range steps {
					run.do(s)
				}
				judge(t, name, run.faults)
				mu.Lock()
				ran++
				mu.Unlock()
			})
		}
	})
	all := 0
	for _, f := range files {
		if !strings.Contains(f, "/lessons/") {
			all++
		}
	}
	if ran < all {
		return // only some were asked for, or one could not be read
	}
	for _, line := range readList(t, casesDir+"/scores.txt") {
		var name string
		var least, of int
		if _, err := fmt.Sscanf(line, "%s %d of %d", &name, &least, &of); err != nil {
			t.Fatalf("scores.txt: %q is not `name least of all`: %v", line, err)
		}
		met, asked, missed := board.of(name)
		var faults []string
		if met < least || asked != of {
			faults = append(faults, fmt.Sprintf("score %s: %d of %d as expected, want %d of %d\n%s", name, met, asked, least, of, strings.Join(missed, "\n")))
		}
		t.Logf("score %s: %d of %d", name, met, asked)
		judge(t, "score "+name, faults)
	}
}

// caseRun is a case under way.
type caseRun struct {
	t      *testing.T
	p      *process
	name   string
	faults []string

	board *scoreboard
	score string // counts what is asked from here on, instead of failing

	taught  map[string][]string // prompts of each answer, in lower case
	pending []batch             // teach lines in a row are one upload
	header  []string            // of the next request

	prompt      string // the last
	status      int
	body        any
	reply       reply
	interaction string
	job         string
	checkpoint  string
}

type batch struct {
	topic   string
	lessons []map[string]any
}

func (c *caseRun) fault(s step, format string, args ...any) {
	c.faults = append(c.faults, fmt.Sprintf("%s:%d: ", c.name, s.line)+fmt.Sprintf(format, args...))
}

// fresh starts over with nothing taught.
func (c *caseRun) fresh() {
	if c.p != nil {
		c.p.stop()
	}
	c.taught = map[string][]string{}
	c.p = start(c.t, c.t.TempDir(), []string{"serve"})
}

func (c *caseRun) do(s step) {
	if s.verb != "teach" && s.verb != "lessons" {
		c.flush(s)
	}
	switch s.verb {
	case "lessons":
		for _, line := range readList(c.t, filepath.Join(casesDir, "lessons", s.rest)) {
			prompt, answer, _ := strings.Cut(line, " => ")
			c.teach(prompt, answer)
		}
		c.flush(s)
	case "teach":
		c.teach(s.rest, s.want)
	case "ask":
		c.ask(s)
	case "expect":
		c.expect(s)
	case "score":
		c.score = s.rest
	case "feedback":
		c.feedback(s)
	case "forget":
		c.forget(s)
	case "wait":
		c.wait()
	case "restart", "kill":
		if s.verb == "kill" {
			c.p.kill()
		} else {
			c.p.stop()
		}
		c.p = start(c.t, c.p.dir, []string{"serve"})
	case "fresh":
		c.fresh()
	case "checkpoint":
		c.checkpoint, _ = at(c.body, "checkpoint").(string)
	case "rollback":
		c.rollback(s)
	case "import":
		query, text := c.unquote(s)
		c.send(s, "/api/import?"+query, text, "application/octet-stream")
	case "upload":
		kind, text := c.unquote(s)
		c.send(s, "/api/lessons", text, kind)
	case "get":
		if s.rest == "job" {
			c.wait()
			s.rest = "/api/jobs/" + c.job
		}
		c.body = nil
		c.status, _ = c.p.call(http.MethodGet, s.rest, nil, &c.body)
	case "header":
		name, value, _ := strings.Cut(s.rest, ": ")
		c.header = append(c.header, name, value)
	}
}

// unquote reads `words "text"`.
func (c *caseRun) unquote(s step) (words, text string) {
	at := strings.IndexByte(s.rest, '"')
	if at < 0 {
		c.t.Fatalf("%s:%d: no quoted text", c.name, s.line)
	}
	text, err := strconv.Unquote(s.rest[at:])
	if err != nil {
		c.t.Fatalf("%s:%d: %v", c.name, s.line, err)
	}
	return strings.TrimSpace(s.rest[:at]), text
}

func (c *caseRun) teach(prompt, answer string) {
	topic, prompt := topicOf(prompt)
	topic = cmp.Or(topic, "faq")
	if n := len(c.pending); n == 0 || c.pending[n-1].topic != topic {
		c.pending = append(c.pending, batch{topic: topic})
	}
	to := &c.pending[len(c.pending)-1]
	for _, pair := range expand(prompt, answer) {
		l := map[string]any{"prompt": pair[0], "response": pair[1]}
		if answer == "" {
			l["response"] = nil // a refusal is taught
		}
		to.lessons = append(to.lessons, l)
		c.taught[pair[1]] = append(c.taught[pair[1]], strings.ToLower(pair[0]))
	}
}

// flush sends what was taught and waits until it answers.
func (c *caseRun) flush(s step) {
	for _, b := range c.pending {
		raw, err := json.Marshal(map[string]any{"topic": b.topic, "lessons": b.lessons})
		if err != nil {
			c.t.Fatal(err)
		}
		if c.send(s, "/api/lessons", string(raw), "application/json"); c.status != http.StatusAccepted {
			c.t.Fatalf("%s:%d: teach: %d %v", c.name, s.line, c.status, c.body)
		}
	}
	c.pending = nil
}

// send posts a text; lessons that it brings answer when it returns.
func (c *caseRun) send(s step, path, text, contentType string) {
	c.body = nil
	c.status, _ = c.p.call(http.MethodPost, path, text, &c.body, append(c.takeHeader(), "Content-Type", contentType)...)
	if id, ok := at(c.body, "id").(string); ok && c.status == http.StatusAccepted {
		c.job = id
		c.p.eventually("lessons answer", func() bool {
			j := c.p.job(id)
			if j.State == "failed" || j.State == "canceled" {
				c.fault(s, "the job %s: %v", j.State, j.Error)
			}
			return slices.Contains([]string{"memorised", "consolidating", "judging", "done"}, j.Progress.Phase) ||
				slices.Contains([]string{"succeeded", "failed", "canceled"}, j.State)
		})
	}
}

func (c *caseRun) takeHeader() []string {
	h := c.header
	c.header = nil
	return h
}

func (c *caseRun) ask(s step) {
	topic, prompt := topicOf(s.rest)
	for _, pair := range expand(prompt, s.want) {
		body := map[string]string{"prompt": pair[0]}
		if topic != "" {
			body["topic"] = topic
		}
		var raw json.RawMessage
		c.prompt, c.reply, c.body = pair[0], reply{}, nil
		c.status, _ = c.p.call(http.MethodPost, "/api/interact", body, &raw, c.takeHeader()...)
		if json.Unmarshal(raw, &c.body) != nil || json.Unmarshal(raw, &c.reply) != nil {
			c.t.Fatalf("%s:%d: the reply to %q is no JSON: %s", c.name, s.line, pair[0], raw)
		}
		c.interaction, _ = at(c.body, "interaction_id").(string)
		if pair[1] == "" {
			continue
		}
		fault := c.mismatch(pair[1])
		if fault == "" {
			fault = c.unsupported()
		}
		switch {
		case c.score != "":
			c.board.add(c.score, fault)
		case fault != "":
			c.fault(s, "%s", fault)
		}
	}
}

func (c *caseRun) feedback(s step) {
	body := map[string]any{"correct": s.rest == "right"}
	if s.want != "" {
		body["response"] = s.want
		c.taught[s.want] = append(c.taught[s.want], strings.ToLower(c.prompt))
	}
	c.body = nil
	if c.status, _ = c.p.call(http.MethodPost, "/api/interactions/"+c.interaction+"/feedback", body, &c.body); c.status >= 300 {
		c.fault(s, "feedback: %d %v", c.status, c.body)
	}
	c.wait()
}

// forget unlearns a topic, or every lesson of a prompt.
func (c *caseRun) forget(s step) {
	topic, prompt := topicOf(s.rest)
	paths := []string{"/api/lessons?topic=" + url.QueryEscape(topic)}
	if topic == "" {
		var page struct {
			Lessons []struct{ ID, Prompt string }
		}
		c.p.call(http.MethodGet, "/api/lessons?limit=500", nil, &page)
		paths = nil
		for _, l := range page.Lessons {
			if strings.EqualFold(l.Prompt, prompt) {
				paths = append(paths, "/api/lessons/"+l.ID)
			}
		}
	}
	if len(paths) == 0 {
		c.fault(s, "no lesson %q to forget", prompt)
	}
	for _, path := range paths {
		c.body = nil
		if c.status, _ = c.p.call(http.MethodDelete, path, nil, &c.body); c.status >= 300 {
			c.fault(s, "forget: %d %v", c.status, c.body)
		}
	}
	c.wait()
}

// wait returns when no job learns any more.
func (c *caseRun) wait() {
	c.p.eventually("no job learns any more", func() bool {
		for _, state := range []string{"queued", "running"} {
			var page struct{ Jobs []task }
			if c.p.call(http.MethodGet, "/api/jobs?kind=train&state="+state, nil, &page); len(page.Jobs) > 0 {
				return false
			}
		}
		return true
	})
}

// rollback goes back to the checkpoint that was remembered.
func (c *caseRun) rollback(s step) {
	body := map[string]string{"action": "rollback", "checkpoint": c.checkpoint}
	c.body = nil
	if c.status, _ = c.p.call(http.MethodPost, "/api/control", body, &c.body); c.status >= 300 {
		c.fault(s, "rollback to %q: %d %v", c.checkpoint, c.status, c.body)
	}
	c.wait()
}
