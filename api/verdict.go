package api

import (
	"github.com/nexus-continuum/nexus/api/book"
	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/queue"
)

// verdict is what a model says of a prompt, and the lessons nearest to it.
type verdict struct {
	model.Verdict
	near []nearLesson
}

// byVerdict makes the question of queue.Refusals of one about each group and what
// the model of now says of it; without a model every group is kept. All prompts of
// a page are computed together.
func byVerdict(known book.Source, want func(*queue.Refusal, *verdict) bool) queue.Keep {
	if known == nil {
		return nil
	}
	return func(groups []queue.Refusal) []bool {
		prompts := make([]model.Query, len(groups))
		for i, g := range groups {
			prompts[i] = model.Query{Prompt: g.Prompt, Topic: g.Topic}
		}
		out := make([]bool, len(groups))
		for i, v := range known.Ask(prompts) {
			out[i] = want(&groups[i], &verdict{Verdict: v, near: nearest(known, &v)})
		}
		return out
	}
}
