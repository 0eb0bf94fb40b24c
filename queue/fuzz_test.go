package queue

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/job"
)

func FuzzDecodeReply(f *testing.F) {
	id := job.NewID()
	answer, _ := json.Marshal(job.Answer{JobID: id, Response: "Open Settings."})
	f.Add(string(encodeReply(id, replyAnswer, answer)))
	f.Add(string(encodeReply(id, replyError, []byte(`{"code":"timeout","detail":"too late"}`))))
	f.Add(id + "x{}")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := parseReply(s)
		if err == nil {
			if a, err := r.decode(); (a == nil) == (err == nil) {
				t.Errorf("%q is both an answer and an error, or neither", s)
			}
		}
		if len(s) > idLength && r.id != s[:idLength] {
			t.Errorf("the id of %q was not kept: its caller could not be told", s)
		}
	})
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add("interact", "queued", `{"id":"x","kind":"interact"}`, "1", "", "", "", 1, "paused")
	f.Add("train", "failed", `{}`, "x", `{"phase":"done"}`, `{"steps":1}`, `{"code":"internal"}`, 0, "")
	f.Fuzz(func(t *testing.T, kind, state, spec, number, progress, result, fault string, position int, why string) {
		j, err := decodeRecord("id", map[string]string{
			"kind": kind, "state": state, "spec": spec, "created": number, "started": number, "finished": number,
			"attempts": number, "progress": progress, "result": result, "error": fault, "waiting": why,
		}, position, why)
		if err != nil {
			return
		}
		if !j.Kind.Valid() || !j.State.Valid() {
			t.Errorf("job is %+v", j)
		}
		if _, err := json.Marshal(j); err != nil {
			t.Errorf("job %+v cannot be shown: %v", j, err)
		}
	})
}

func FuzzStreamIDs(f *testing.F) {
	f.Add("1-0", "1-1")
	f.Add("18446744073709551615", "")
	f.Fuzz(func(t *testing.T, a, b string) {
		if newer(a, b) && newer(b, a) {
			t.Errorf("%q and %q are each newer", a, b)
		}
		if isStreamID(a) && strings.ContainsAny(a, " \r\n") {
			t.Errorf("%q is taken for a stream id", a)
		}
	})
}
