package jobtest_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/job/jobtest"
)

// history reads "queued:0 running:1 progress result".
func history(text string) []jobtest.Event {
	var out []jobtest.Event
	for i, word := range strings.Fields(text) {
		e := jobtest.Event{ID: strconv.Itoa(i), Type: word}
		if state, attempts, ok := strings.Cut(word, ":"); ok {
			e.Type, e.Data = "state", json.RawMessage(`{"state":"`+state+`","attempts":`+attempts+`}`)
		}
		out = append(out, e)
	}
	return out
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"queued:0 running:1 progress succeeded:1 result": "",
		"queued:0 canceled:0 result":                     "",
		"queued:0 failed:0 result":                       "",
		"succeeded:2 result":                             "",
		"queued:1 running:2 succeeded:2 result":          "",
		"queued:1 running:3 succeeded:3 result":          "attempt 3 after 1",
		"succeeded:2":                                    "0 results",
		"queued:0 running:1 queued:0 running:1 queued:1 running:2 failed:2 result": "",
		"running:1 succeeded:1 result":                                             "begins running",
		"queued:0 succeeded:0 result":                                              "not allowed",
		"queued:0 running:1 running:2 succeeded:2 result":                          "not allowed",
		"queued:0 running:1 succeeded:1 result result":                             "after the result",
		"queued:0 running:1 succeeded:1 result queued:1":                           "after the result",
		"queued:0 running:1 result":                                                "in state",
		"queued:0 progress running:1 succeeded:1 result":                           "progress in state",
		"queued:0 running:1 succeeded:1":                                           "0 results",
		"queued:0 running:2 succeeded:2 result":                                    "attempt 2 after 0",
		"queued:0 running:1 canceled:1 succeeded:1 result":                         "not allowed",
	} {
		err := jobtest.Check(history(text))
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
