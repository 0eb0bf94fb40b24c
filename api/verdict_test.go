package api

import (
	"testing"

	"github.com/nexus-continuum/nexus/model"
)

// What is remembered of one model is not said for the next.
func TestVerdictsFollowTheModel(t *testing.T) {
	t.Parallel()
	untaught, err := model.New(model.Config{})
	if err != nil {
		t.Fatal(err)
	}
	taught, _ := untaught.Memorise([]model.Lesson{{ID: "a", Prompt: "how do I pay", Response: "By card."}})
	prompts := []model.Query{{Prompt: "how do I pay"}, {Prompt: "do you sell bread"}}
	var vs verdicts
	for range 2 {
		for _, m := range []*model.Model{untaught, taught, taught} {
			got := vs.of(m, prompts)
			if want := m == taught; got[0].Responded != want || got[1].Responded || want && (got[0].Response != "By card." || len(got[0].near) == 0 || got[0].near[0].Prompt != "how do I pay") {
				t.Errorf("taught %v: %+v", want, got)
			}
		}
	}
	if len(vs.cached) != len(prompts) {
		t.Errorf("%d verdicts are remembered, want those of the last model alone", len(vs.cached))
	}
}
