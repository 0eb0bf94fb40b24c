package api

import (
	"net/http"
	"testing"

	"github.com/nexus-continuum/nexus/job"
)

func TestRefusalsGo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ask := func(prompt string) string {
		t.Helper()
		return b.post("/api/interact", `{"prompt":"`+prompt+`"}`).text(t, "interaction_id")
	}
	listed := func() map[string]refusedGroup {
		t.Helper()
		out := map[string]refusedGroup{}
		for _, r := range got[refusalPage](b, b.get("/api/refusals")).Refusals {
			out[r.Prompt] = r
		}
		return out
	}
	ask("where is my parcel")
	ask("where is my parcel")
	ask("Where is my parcel?")
	wrong := ask("what is the meaning of life")
	ask("how do I pay")
	ask("do you sell bread")
	groups := listed()
	if len(groups) != 4 || groups["Where is my parcel?"].Count != 3 || groups["Where is my parcel?"].ID == "" || groups["how do I pay"].Nearest == nil {
		t.Fatalf("listed: %+v", groups)
	}

	// Dismissed: it is gone until it is asked again.
	bread := groups["do you sell bread"].ID
	if a := b.do(http.MethodDelete, "/api/refusals/"+bread, nil); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	b.wantError(b.do(http.MethodDelete, "/api/refusals/"+bread, nil), 404, job.CodeNotFound, "", "/api/refusals")
	if _, there := listed()["do you sell bread"]; there {
		t.Error("a dismissed group is still there")
	}
	ask("do you sell bread")
	if again := listed()["do you sell bread"]; again.Count != 1 || again.ID != bread {
		t.Errorf("asked again: %+v", again)
	}

	// Refusing was right: it is gone for good.
	if a := b.post("/api/interactions/"+wrong+"/feedback", `{"correct":true}`); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	ask("what is the meaning of life")
	if _, there := listed()["what is the meaning of life"]; there {
		t.Error("a refusal that was right is listed")
	}

	// Answered by now.
	b.teach("", "how do I pay", "By card.")
	if _, there := listed()["how do I pay"]; there {
		t.Error("a prompt that is answered is listed as refused")
	}
	if left := listed(); len(left) != 2 {
		t.Errorf("left: %+v", left)
	}
}
