package api

import (
	"net/http"
	"testing"

	"github.com/nexus-continuum/nexus/job"
)

func TestChecksTellWhatChanged(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.teach("shop", "when do you open", "At nine.")
	b.teach("shop", "when do you close", "At five.")
	b.wantError(b.post("/api/checks/run", ""), 409, job.CodeConflict, "", "/api/checks")
	added := got[checkList](b, b.post("/api/checks", `{"checks":[
		{"topic":"shop","prompt":"when do you open","expected":"At nine."},
		{"topic":"shop","prompt":"when do you close","expected":"At six."},
		{"topic":"bank","prompt":"do you lend money","expected":null},
		{"prompt":"sing me a song","expected":null}]}`))
	if len(added.Checks) != 4 {
		t.Fatalf("added: %+v", added)
	}
	if list := got[checkList](b, b.get("/api/checks?topic=shop")); len(list.Checks) != 2 || *list.Checks[1].Expected != "At six." {
		t.Errorf("of the topic: %+v", list)
	}
	runs := got[runList](b, b.get("/api/checks/runs")).Runs
	if len(runs) != 1 || runs[0].Total != 4 || runs[0].Passed != 3 || runs[0].Why != runEdited {
		t.Fatalf("runs: %+v", runs)
	}
	b.teach("shop", "when do you open", "At ten.")
	b.teach("shop", "when do you close", "At six.")
	if run := got[checkRun](b, b.post("/api/checks/run", "")); run.Passed != 3 || len(run.Results) != 4 {
		t.Errorf("run: %+v", run)
	}
	table := got[checkChanges](b, b.get("/api/checks/changes"))
	want := map[string]string{"when do you open": "broken", "when do you close": "fixed", "sing me a song": "same", "do you lend money": "same"}
	for _, c := range table.Changes {
		if c.Change != want[c.Prompt] || c.Before == nil {
			t.Errorf("%s: %s, before %+v", c.Prompt, c.Change, c.Before)
		}
		if c.Prompt == "when do you open" && (*c.Response != "At ten." || *c.Before.Response != "At nine.") {
			t.Errorf("it was %s, now %s", *c.Before.Response, *c.Response)
		}
	}
	if shop := table.After.Topics[2]; shop.Topic != "shop" || shop.Total != 2 || shop.Passed != 1 {
		t.Errorf("by topic: %+v", table.After.Topics)
	}
	if table.Before.Passed != 3 || table.After.Passed != 3 || len(table.Changes) != 4 {
		t.Errorf("table: %+v", table)
	}
	if a := b.do(http.MethodDelete, "/api/checks/"+added.Checks[0].ID, nil); a.status != http.StatusOK {
		t.Errorf("%d %s", a.status, a.body)
	}
	b.wantError(b.do(http.MethodDelete, "/api/checks/"+added.Checks[0].ID, nil), 404, job.CodeNotFound, "")
	b.wantError(b.post("/api/checks", `{"checks":[]}`), 400, job.CodeInvalid, "checks")
	b.wantError(b.post("/api/checks", `{"checks":[{"prompt":"x"}]}`), 400, job.CodeInvalid, "expected")
	b.wantError(b.post("/api/checks", `{"checks":[{"prompt":" ","expected":null}]}`), 400, job.CodePromptEmpty, "prompt")
	b.wantError(b.get("/api/checks/changes?job=0"), 404, job.CodeNotFound, "")
}
