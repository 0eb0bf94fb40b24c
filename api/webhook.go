package api

import (
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue"
)

// hook holds the webhook settings of a request.
type hook struct {
	url    string
	events []string
}

// fields returns others, followed by the members of a hook in a JSON body.
func (h *hook) fields(others ...field) []field {
	return append(others, field{name: "webhook", into: &h.url}, field{name: "webhook_events", into: &h.events})
}

// queryHook reads a hook from the query, for requests whose body is an upload.
func (s *Server) queryHook(c echo.Context) (hook, error) {
	h := hook{url: c.QueryParam("webhook")}
	if v := c.QueryParam("webhook_events"); v != "" {
		h.events = strings.Split(v, ",")
	}
	return h, s.checkHook(h)
}

func (s *Server) checkHook(h hook) error {
	if h.url == "" {
		if len(h.events) > 0 {
			return job.Errorf(job.CodeInvalid, "webhook_events without a webhook").On("webhook_events")
		}
		return nil
	}
	if err := s.opt.CheckWebhook(h.url); err != nil {
		return err
	}
	known := []string{queue.EventState, queue.EventProgress, queue.EventResult}
	for _, e := range h.events {
		if !slices.Contains(known, e) {
			return job.Errorf(job.CodeInvalid, "the webhook event %q is unknown; known: %s", job.Clip(e, 40), strings.Join(known, ", ")).On("webhook_events")
		}
	}
	return nil
}

// onlyHTTPS is the default check of a webhook URL.
func onlyHTTPS(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || len(raw) > 2048 {
		return job.Errorf(job.CodeInvalid, "the webhook must be an https URL of at most 2048 characters, without user or password").On("webhook")
	}
	return nil
}
