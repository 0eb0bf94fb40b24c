package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
)

// lesson is a prompt and the answer that is right for it.
type lesson struct {
	Prompt   string `json:"prompt"`
	Response string `json:"response"`
}

// trial is one deployment: what it is taught and what it is asked.
type trial struct {
	lessons []lesson
	asked   []lesson // in scope, each with the answer that is right
	changed []string // near to a lesson, and its answer is wrong for them
	foreign []string // about nothing that was taught

	// practice is asked first, where it is given; the first complaints of it that
	// were refused although the best candidate was right get feedback.
	practice   []lesson
	complaints int
}

// row is one line of the table. Rows of one series differ by the number of
// lessons for each answer, which grows.
type row struct {
	name   string
	series string
	draw   func(*rand.Rand) trial
}

// atOncePrompts is how many prompts are asked before the job of the lessons has ended.
const atOncePrompts = 300

// run teaches and asks a fresh deployment.
func (t *trial) run(ctx context.Context, o *options) (f figures, err error) {
	s, err := serve(ctx, o.binary)
	if err != nil {
		return f, err
	}
	defer s.stop()
	j, err := s.teach(ctx, t.lessons)
	if err != nil {
		return f, fmt.Errorf("teach: %w", err)
	}
	once := kept{math.NaN(), math.NaN()}
	if o.atOnce {
		if once, err = t.once(ctx, s, &j, o.callers); err != nil {
			return f, err
		}
	}
	if err := s.await(ctx, &j, state.ended); err != nil {
		return f, err
	}
	if err := t.complain(ctx, s, o); err != nil {
		return f, err
	}
	replies, err := s.askAll(ctx, prompts(t.asked), o.callers)
	if err != nil {
		return f, err
	}
	f = t.score(t.asked, replies)
	f.once = once
	changed, err := s.askAll(ctx, t.changed, o.callers)
	if err != nil {
		return f, err
	}
	foreign, err := s.askAll(ctx, t.foreign, o.callers)
	if err != nil {
		return f, err
	}
	f.apart(replies, changed, foreign)
	return f, nil
}

// once asks between the moment when the lessons answer and the end of their job.
// It is not known (NaN) where the job ended before the last reply.
func (t *trial) once(ctx context.Context, s *served, j *state, callers int) (kept, error) {
	unknown := kept{math.NaN(), math.NaN()}
	if err := s.await(ctx, j, state.memorised); err != nil || j.ended() {
		return unknown, err
	}
	sample := some(t.asked, atOncePrompts, rand.New(rand.NewPCG(7, 7)))
	replies, err := s.askAll(ctx, prompts(sample), callers)
	if err != nil {
		return unknown, err
	}
	if err := s.await(ctx, j, func(state) bool { return true }); err != nil || j.ended() {
		return unknown, err
	}
	return t.score(sample, replies).kept, nil
}

// complain gives feedback on prompts of the practice that were refused although
// the best candidate was right.
func (t *trial) complain(ctx context.Context, s *served, o *options) error {
	if t.complaints == 0 {
		return nil
	}
	replies, err := s.askAll(ctx, prompts(t.practice), o.callers)
	if err != nil {
		return err
	}
	best := t.answers()
	given := 0
	for i, r := range replies {
		if right := t.practice[i].Response; !r.Responded && best.of(r) == right && given < t.complaints {
			path := "/api/interactions/" + r.Interaction + "/feedback"
			if _, err := s.call(ctx, http.MethodPost, path, map[string]any{"correct": false, "response": right}, nil); err != nil {
				return err
			}
			given++
		}
	}
	return s.quiet(ctx)
}

// answers finds the best candidate of a reply.
type answers map[string]string

func (t *trial) answers() answers {
	out := answers{}
	for _, l := range t.lessons {
		out[l.Prompt] = l.Response // as the program does: what was taught last holds
	}
	for _, l := range t.practice { // became lessons by feedback
		if _, taught := out[l.Prompt]; !taught {
			out[l.Prompt] = l.Response
		}
	}
	return out
}

// of returns the answer given, or that of the nearest lesson where none was.
func (a answers) of(r reply) string {
	switch {
	case r.Responded:
		return r.Response
	case len(r.Sources) > 0:
		return a[r.Sources[0].Prompt]
	}
	return ""
}

func prompts(all []lesson) []string {
	out := make([]string, len(all))
	for i, l := range all {
		out[i] = l.Prompt
	}
	return out
}
