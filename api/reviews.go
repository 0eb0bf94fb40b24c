package api

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/telemetry/interaction"
)

// reviewGroup is a group of prompts whose answer a person should check.
type reviewGroup struct {
	interaction.Refusal
	Kind interaction.List `json:"kind"`
	// Response, Confidence and Threshold belong to the latest answer.
	Response   string       `json:"response"`
	Confidence float64      `json:"confidence"`
	Threshold  float64      `json:"threshold"`
	Nearest    []nearLesson `json:"nearest"`
}

type reviewPage struct {
	Reviews []reviewGroup `json:"reviews"`
	Next    *string       `json:"next_cursor"`
}

// reviewList reads ?kind=.
func reviewList(c echo.Context) (interaction.List, error) {
	switch k := interaction.List(c.QueryParam("kind")); k {
	case interaction.ListWrong, interaction.ListUnsure:
		return k, nil
	case "":
		return "", job.Errorf(job.CodeInvalid, "kind is missing; it may be wrong (answers that people called wrong) or unsure (answers given with little confidence)").On("kind")
	default:
		return "", job.Errorf(job.CodeInvalid, "kind is %q; it may be wrong or unsure", job.Clip(string(k), 40)).On("kind")
	}
}

// reviews is GET /api/reviews. A group that is settled by the present answers is not
// shown, and is dropped.
func (s *Server) reviews(c echo.Context) (reviewPage, error) {
	kind, err := reviewList(c)
	if err != nil {
		return reviewPage{}, err
	}
	ctx := c.Request().Context()
	known, err := s.opt.Known(ctx)
	if err != nil {
		known = nil // the list is worth showing without a model too
	}
	near := map[string][]nearLesson{}
	var settled []string
	list, next, err := s.interactions.Grouped(ctx, kind, onlyOwner(c), c.QueryParam("cursor"), s.verdicts.keep(known, func(g *interaction.Refusal, v *verdict) bool {
		if reviewed(kind, g, v) {
			settled = append(settled, g.ID)
			return false
		}
		near[g.ID] = v.near
		return true
	}))
	if err != nil {
		return reviewPage{}, err
	}
	if len(settled) > 0 {
		if _, err := s.interactions.DropGroups(ctx, kind, onlyOwner(c), settled...); err != nil {
			s.log.Debug("answers that need no review by now could not be dropped", "error", err)
		}
	}
	page := reviewPage{Reviews: make([]reviewGroup, len(list)), Next: optional(next)}
	for i, g := range list {
		page.Reviews[i] = reviewGroup{
			Refusal: g, Kind: kind, Response: g.Last.Response, Confidence: g.Last.Confidence, Threshold: g.Last.Threshold, Nearest: some(near[g.ID]),
		}
	}
	return page, nil
}

// reviewed reports whether the model's present verdict settles a group: another answer
// instead of a wrong one, confidence instead of doubt, or an intended refusal. A wrong
// answer that is merely withheld still waits for a right one.
func reviewed(kind interaction.List, g *interaction.Refusal, v *verdict) bool {
	if v.Reason == job.ReasonTaughtRefusal {
		return true
	}
	if kind == interaction.ListWrong {
		return v.Responded && v.Response != g.Last.Response
	}
	return !v.Responded || !interaction.Unsure(v.Confidence, v.Threshold)
}

// dropReview is DELETE /api/reviews/{id}?kind=.
func (s *Server) dropReview(c echo.Context) (dropped, error) {
	kind, err := reviewList(c)
	if err != nil {
		return dropped{}, err
	}
	id := c.Param("id")
	n, err := s.interactions.DropGroups(c.Request().Context(), kind, onlyOwner(c), id)
	if err == nil && n == 0 {
		err = job.Errorf(job.CodeNotFound, "no answers to review have the id %q; GET /api/reviews lists them", job.Clip(id, 80))
	}
	return dropped{Status: "dismissed", ID: id}, err
}

// suggestion is an answer that is the most similar one to several groups of refused
// prompts.
type suggestion struct {
	AnswerID string   `json:"answer_id"`
	Response string   `json:"response"`
	Topic    string   `json:"topic"`
	Count    int      `json:"count"` // how often they were asked
	Groups   []likely `json:"groups"`
}

type likely struct {
	ID         string   `json:"id"`
	Prompt     string   `json:"prompt"`
	Variants   []string `json:"variants"`
	Count      int      `json:"count"`
	Similarity float64  `json:"similarity"`
}

type suggestionList struct {
	Suggestions []suggestion `json:"suggestions"`
}

const (
	// suggestionMin is how many groups make a suggestion unless ?min= says otherwise.
	suggestionMin = 2
	// likeness is the similarity from which a refused prompt may be a phrasing of
	// an answer.
	likeness = 0.6
	// suggestionGroups limits how many groups are compared, most frequent first.
	suggestionGroups = 1000
)

// suggestions is GET /api/suggestions: refused prompts, grouped by the answer that was
// most likely meant.
func (s *Server) suggestions(c echo.Context) (suggestionList, error) {
	least := suggestionMin
	if v := c.QueryParam("min"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > 100 {
			return suggestionList{}, job.Errorf(job.CodeInvalid, "min is %q; it must be a number from 1 to 100", job.Clip(v, 40)).On("min")
		}
		least = n
	}
	ctx := c.Request().Context()
	known, err := s.opt.Known(ctx)
	if err != nil {
		return suggestionList{}, err
	}
	groups, err := s.topRefusals(ctx, onlyOwner(c))
	if err != nil {
		return suggestionList{}, err
	}
	by := likeliest(groups, s.verdicts.of(known, queriesOf(groups)))
	out := suggestionList{Suggestions: []suggestion{}}
	for _, one := range by {
		if len(one.Groups) >= least {
			out.Suggestions = append(out.Suggestions, *one)
		}
	}
	slices.SortFunc(out.Suggestions, func(a, b suggestion) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.AnswerID, b.AnswerID))
	})
	return out, nil
}

func likeliest(groups []interaction.Refusal, verdicts []verdict) map[[2]string]*suggestion {
	by := map[[2]string]*suggestion{}
	for i := range groups {
		g, v := &groups[i], &verdicts[i]
		if v.Responded || v.Reason == job.ReasonTaughtRefusal {
			continue // the list of refusals drops it
		}
		near := v.near
		if len(near) == 0 || near[0].Response == nil || near[0].Similarity < likeness {
			continue
		}
		n := near[0]
		key := [2]string{n.Topic, *n.Response}
		one := by[key]
		if one == nil {
			one = &suggestion{AnswerID: n.LessonID, Response: *n.Response, Topic: n.Topic}
			by[key] = one
		}
		one.Count += g.Count
		one.Groups = append(one.Groups, likely{ID: g.ID, Prompt: g.Prompt, Variants: g.Variants, Count: g.Count, Similarity: n.Similarity})
	}
	return by
}

// topRefusals returns the most frequent groups of refused prompts.
func (s *Server) topRefusals(ctx context.Context, owner *string) ([]interaction.Refusal, error) {
	var groups []interaction.Refusal
	for cursor := ""; ; {
		page, next, err := s.interactions.Refusals(ctx, owner, cursor, nil)
		if err != nil {
			return nil, err
		}
		groups = append(groups, page...)
		if next == "" || len(groups) >= suggestionGroups {
			return groups, nil
		}
		cursor = next
	}
}
