package api

import (
	"sync"
	"weak"

	"github.com/nexus-continuum/nexus/api/book"
	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/telemetry/interaction"
)

// verdict is the model's result for a prompt, and the most similar lessons.
type verdict struct {
	model.Verdict
	near []nearLesson
}

// maxVerdicts limits the number of prompts whose verdicts are remembered; each takes
// about 500 bytes.
const maxVerdicts = 5000

// verdicts remembers the model's results for listed prompts. The result of one model
// for a prompt never changes, and pages are read far more often than models change.
type verdicts struct {
	mu     sync.Mutex
	by     weak.Pointer[model.Model] // whose results they are; a model that is gone is not kept for this
	cached map[model.Query]verdict
}

// of returns the results of a source for prompts. Unknown prompts are computed
// together.
func (vs *verdicts) of(known book.Source, prompts []model.Query) []verdict {
	m, ok := known.(*model.Model)
	if !ok {
		return asked(known, prompts)
	}
	out := make([]verdict, len(prompts))
	var news []model.Query
	var places []int
	vs.mu.Lock()
	if by := weak.Make(m); vs.by != by || len(vs.cached) > maxVerdicts {
		vs.by, vs.cached = by, map[model.Query]verdict{}
	}
	cached := vs.cached // of m, also when another model comes meanwhile
	for i, p := range prompts {
		v, ok := cached[p]
		if !ok {
			news, places = append(news, p), append(places, i)
		}
		out[i] = v
	}
	vs.mu.Unlock()
	fresh := asked(known, news)
	vs.mu.Lock()
	defer vs.mu.Unlock()
	for i, v := range fresh {
		out[places[i]], cached[news[i]] = v, v
	}
	return out
}

func asked(known book.Source, prompts []model.Query) []verdict {
	out := make([]verdict, len(prompts))
	for i, v := range known.Ask(prompts) {
		out[i] = verdict{Verdict: v, near: nearest(known, &v)}
	}
	return out
}

// keep turns a question about one group and its present verdict into the filter of
// interaction.Log. Without a model every group is kept. All prompts of a page are
// computed together.
func (vs *verdicts) keep(known book.Source, want func(*interaction.Refusal, *verdict) bool) interaction.Keep {
	if known == nil {
		return nil
	}
	return func(groups []interaction.Refusal) []bool {
		out := make([]bool, len(groups))
		for i, v := range vs.of(known, queriesOf(groups)) {
			out[i] = want(&groups[i], &v)
		}
		return out
	}
}

func queriesOf(groups []interaction.Refusal) []model.Query {
	out := make([]model.Query, len(groups))
	for i, g := range groups {
		out[i] = model.Query{Prompt: g.Prompt, Topic: g.Topic}
	}
	return out
}
