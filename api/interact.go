package api

import (
	"context"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
)

// interact is POST /api/interact: it asks and waits for the answer.
func (s *Server) interact(c echo.Context) (reply, error) {
	began := s.now()
	var prompt, topic string
	var h hook
	if err := jsonBody(c, h.fields(field{name: "prompt", into: &prompt}, field{name: "topic", into: &topic})...); err != nil {
		return reply{}, err
	}
	if err := checkAsk(prompt, topic); err != nil {
		return reply{}, err
	}
	if err := s.checkHook(h); err != nil {
		return reply{}, err
	}
	spec := job.Spec{
		ID: newID(c), Owner: ownerOf(c), Kind: job.KindInteract, Lane: job.LaneInteractive,
		Prompt: prompt, Topic: topic, CreatedAt: began.UTC(), Webhook: h.url, WebhookEvents: h.events,
	}
	wait, applied := preferredWait(c.Request().Header, defaultWait)
	if applied != "" {
		c.Response().Header().Set("Preference-Applied", applied)
	}
	c.Set(jobKey, spec.ID)
	if wait == 0 {
		return s.put(c.Request().Context(), spec, began)
	}
	return s.wait(c.Request().Context(), spec, began, wait)
}

// put submits an interact whose caller does not wait.
func (s *Server) put(ctx context.Context, spec job.Spec, began time.Time) (reply, error) {
	spec.Lane = job.LaneBatch
	j, err := s.queue.Submit(ctx, spec)
	if err != nil {
		s.unserved(err, began)
		return reply{}, err
	}
	s.tally.Accepted()
	s.metrics.interacted(outcomeAccepted, 0)
	return accepted(j), nil
}

// wait asks and waits. When the wait ends, the job continues.
func (s *Server) wait(ctx context.Context, spec job.Spec, began time.Time, wait time.Duration) (reply, error) {
	answer, j, err := s.queue.Ask(ctx, spec, wait)
	took := s.now().Sub(began)
	switch {
	case err != nil:
		s.unserved(err, began)
		return reply{}, err
	case j != nil:
		s.tally.Accepted()
		s.metrics.interacted(outcomeAccepted, took)
		return accepted(*j), nil
	}
	answer.Timing.TotalMS = float64(took.Microseconds()) / 1000
	if answer.Sources == nil {
		answer.Sources = []job.Source{}
	}
	s.tally.Served(took)
	s.metrics.interacted(outcomeOf(answer), took)
	return reply{status: http.StatusOK, body: answer}, nil
}

// unserved counts a failure of this service. A caller that leaves is not a failure.
func (s *Server) unserved(err error, began time.Time) {
	if statusOf(job.AsError(err).Code) >= http.StatusInternalServerError && !isGone(err) {
		s.tally.Unserved(s.now().Sub(began))
		s.metrics.interacted(outcomeFailed, s.now().Sub(began))
	}
}

func checkAsk(prompt, topic string) error {
	if err := checkPrompt(prompt); err != nil {
		return err
	}
	if err := checkTopic(topic); err != nil {
		return err
	}
	return nil
}
