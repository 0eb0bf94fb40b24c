package queue

import (
	"encoding/json"
	"testing"
)

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
