package queue

import (
	"encoding/json"
	"fmt"
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

func FuzzDecodeInteraction(f *testing.F) {
	f.Add(`{"p":"x","y":true,"c":0.9,"l":["l1"],"a":1795680572662}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, s string) {
		it, err := decodeLine(job.NewID(), s)
		if err != nil {
			return
		}
		if j, err := delivered(it); err == nil && j.State != job.StateSucceeded {
			t.Errorf("job is %+v", j)
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

func FuzzGroupRefusals(f *testing.F) {
	f.Add("Can I pay by card?", "can i pay by CARD", "Where is my parcel")
	f.Add("", "\xff", "日本語")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		in := []job.Interaction{{ID: "1", Prompt: a}, {ID: "2", Prompt: b}, {ID: "3", Prompt: c}, {ID: "4", Prompt: a}}
		total := 0
		l := newLedger()
		for i, it := range in {
			l.add(fmt.Sprintf("%d-0", i+1), it)
		}
		for g := range l.groups {
			total += l.show(g, nil).Count
		}
		if total != len(in) {
			t.Errorf("%d refusals became %d", len(in), total)
		}
	})
}
