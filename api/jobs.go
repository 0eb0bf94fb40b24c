package api

import (
	"cmp"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue"
)

// maxTimeout limits timeout_ms.
const maxTimeout = 7 * 24 * time.Hour

// jobRequest is the body of POST /api/jobs.
type jobRequest struct {
	kind, prompt, topic string
	timeoutMS           int64
	hasTimeout          bool
	hook                hook
}

// submit is POST /api/jobs.
func (s *Server) submit(c echo.Context) (reply, error) {
	began := s.now()
	var r jobRequest
	err := jsonBody(c, r.hook.fields(
		field{name: "kind", into: &r.kind}, field{name: "prompt", into: &r.prompt}, field{name: "topic", into: &r.topic},
		field{name: "timeout_ms", into: &r.timeoutMS, set: &r.hasTimeout})...)
	if err != nil {
		return reply{}, err
	}
	spec := job.Spec{
		ID: newID(c), Owner: ownerOf(c), Kind: job.Kind(r.kind), Prompt: r.prompt, Topic: r.topic, CreatedAt: began.UTC(),
		Webhook: r.hook.url, WebhookEvents: r.hook.events,
	}
	if err := r.check(); err != nil {
		return reply{}, err
	}
	if spec.Kind == job.KindTrain && !may(c, ScopeTeach) {
		return reply{}, lacks(identityOf(c), ScopeTeach)
	}
	if err := s.checkHook(r.hook); err != nil {
		return reply{}, err
	}
	if r.hasTimeout {
		spec.Deadline = spec.CreatedAt.Add(time.Duration(r.timeoutMS) * time.Millisecond)
	}
	c.Set(jobKey, spec.ID)
	if spec.Kind == job.KindInteract {
		c.Set(promptsKey, true)
		return s.put(c.Request().Context(), spec, began)
	}
	return s.submitTrain(c, spec)
}

func (r *jobRequest) check() error {
	switch job.Kind(r.kind) {
	case job.KindInteract:
		if err := checkAsk(r.prompt, r.topic); err != nil {
			return err
		}
	case job.KindTrain:
		if r.prompt != "" {
			return job.Errorf(job.CodeInvalid, "a train job has no prompt; lessons come through POST /api/lessons").On("prompt")
		}
		if err := checkTopic(r.topic); err != nil {
			return err
		}
	case "":
		return job.Errorf(job.CodeInvalid, "the kind is missing; it is %s or %s", job.KindInteract, job.KindTrain).On("kind")
	default:
		return job.Errorf(job.CodeInvalid, "the kind %q is unknown; it is %s or %s", job.Clip(r.kind, 40), job.KindInteract, job.KindTrain).On("kind")
	}
	if r.hasTimeout && (r.timeoutMS < 1 || r.timeoutMS > maxTimeout.Milliseconds()) {
		return job.Errorf(job.CodeInvalid, "timeout_ms is %d; it must be from 1 to %d", r.timeoutMS, maxTimeout.Milliseconds()).On("timeout_ms")
	}
	return nil
}

// submitTrain makes a train job. With a topic, it learns the topic's pack or what the
// teacher writes. Without a topic, it consolidates what is known.
func (s *Server) submitTrain(c echo.Context, spec job.Spec) (reply, error) {
	ctx := c.Request().Context()
	spec.Lane = job.LaneTrain
	var err error
	if spec.Dataset, spec.Teacher, err = s.lessonsAbout(ctx, spec.Topic, spec.Owner); err != nil {
		return reply{}, err
	}
	spec.ID = cmp.Or(spec.Dataset, spec.ID) // as in train
	c.Set(jobKey, spec.ID)
	j, err := s.queue.Submit(ctx, spec)
	if err != nil {
		s.dropDataset(ctx, spec.Dataset)
		return reply{}, err
	}
	return accepted(j), nil
}

// oneJob is GET /api/jobs/{id}.
func (s *Server) oneJob(c echo.Context) (job.Job, error) {
	return s.ownJob(c)
}

// ownJob finds a job that the caller may see. A job of another caller counts as not
// found.
func (s *Server) ownJob(c echo.Context) (job.Job, error) {
	id := c.Param("id")
	j, err := s.queue.Job(c.Request().Context(), id)
	if err == nil && !owns(c, j.Owner) {
		return job.Job{}, job.Errorf(job.CodeNotFound, "no job %q is known; ended jobs are kept for a limited time", id)
	}
	return j, err
}

// cancelJob is DELETE /api/jobs/{id}.
func (s *Server) cancelJob(c echo.Context) (job.Job, error) {
	if _, err := s.ownJob(c); err != nil {
		return job.Job{}, err
	}
	return s.queue.Cancel(c.Request().Context(), c.Param("id"))
}

type jobPage struct {
	Jobs []job.Job `json:"jobs"`
	Next *string   `json:"next_cursor"`
}

// listJobs is GET /api/jobs.
func (s *Server) listJobs(c echo.Context) (jobPage, error) {
	limit, err := limitOf(c)
	if err != nil {
		return jobPage{}, err
	}
	f := queue.Filter{
		Kind: job.Kind(c.QueryParam("kind")), State: job.State(c.QueryParam("state")), Owner: onlyOwner(c),
		Cursor: c.QueryParam("cursor"), Limit: limit,
	}
	if f.Kind != "" && !f.Kind.Valid() {
		return jobPage{}, job.Errorf(job.CodeInvalid, "the kind %q is unknown; it is %s or %s", job.Clip(string(f.Kind), 40), job.KindInteract, job.KindTrain).On("kind")
	}
	if f.State != "" && !f.State.Valid() {
		return jobPage{}, job.Errorf(job.CodeInvalid, "the state %q is unknown; it is queued, running, succeeded, failed or canceled", job.Clip(string(f.State), 40)).On("state")
	}
	jobs, next, err := s.queue.Jobs(c.Request().Context(), f)
	return jobPage{Jobs: some(jobs), Next: optional(next)}, err
}
