package api

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/telemetry/interaction"
)

// Reasons for a run.
const (
	runAsked      = "asked"      // by a person
	runEdited     = "edited"     // the checks changed
	runCheckpoint = "checkpoint" // another checkpoint serves
)

// checkRun holds the results of all checks at one moment.
type checkRun struct {
	ID         string        `json:"id"`
	At         *job.Time     `json:"at"`
	Checkpoint string        `json:"checkpoint"` // empty: nothing was learned yet
	Why        string        `json:"why"`
	Total      int           `json:"total"`
	Passed     int           `json:"passed"`
	Topics     []topicRun    `json:"topics"`
	Results    []checkResult `json:"results,omitempty"`
}

// topicRun is how many checks of a topic passed.
type topicRun struct {
	Topic  string `json:"topic"`
	Total  int    `json:"total"`
	Passed int    `json:"passed"`
}

type checkResult struct {
	CheckID    string  `json:"check_id"`
	Topic      string  `json:"topic"`
	Prompt     string  `json:"prompt"`
	Expected   *string `json:"expected"`
	Response   *string `json:"response"` // null: refused
	Reason     *string `json:"reason"`   // of a refusal
	Confidence float64 `json:"confidence"`
	Passed     bool    `json:"passed"`
}

const (
	// checkLook is how often the server checks whether another checkpoint serves.
	checkLook = time.Second
	// runResponse is how many bytes of a response a run keeps.
	runResponse = 300
)

// runChecks asks all checks and stores the results. It returns nil if there are no
// checks.
func (s *Server) runChecks(ctx context.Context, why string) (*checkRun, error) {
	checks, err := s.opt.Checks.List(ctx)
	if err != nil {
		return nil, stored("read the checks", err)
	}
	if len(checks) == 0 {
		return nil, nil //nolint:nilnil // no checks make no run
	}
	known, err := s.opt.Known(ctx)
	if err != nil {
		return nil, err
	}
	head, err := s.checkpoints.Head(ctx)
	if err != nil {
		return nil, stored("read the head", err)
	}
	queries := make([]model.Query, len(checks))
	for i, c := range checks {
		queries[i] = model.Query{Prompt: c.Prompt, Topic: c.Topic}
	}
	run := checkRun{ID: job.NewID(), At: job.At(s.now()), Checkpoint: head.Checkpoint, Why: why, Total: len(checks), Results: make([]checkResult, len(checks))}
	for i, v := range known.Ask(queries) {
		c := checks[i]
		r := checkResult{CheckID: c.ID, Topic: c.Topic, Prompt: c.Prompt, Expected: c.Expected, Confidence: v.Confidence}
		if v.Responded {
			r.Response = &v.Response
			r.Passed = c.Expected != nil && *c.Expected == v.Response
		} else {
			r.Reason = &v.Reason
			r.Passed = c.Expected == nil
		}
		if r.Passed {
			run.Passed++
		}
		run.Results[i] = r
	}
	run.Topics = byTopic(run.Results)
	return &run, s.keepRun(ctx, run)
}

func byTopic(results []checkResult) []topicRun {
	by := map[string]*topicRun{}
	out := []topicRun{}
	for _, r := range results {
		if by[r.Topic] == nil {
			by[r.Topic] = &topicRun{Topic: r.Topic}
		}
		by[r.Topic].Total++
		if r.Passed {
			by[r.Topic].Passed++
		}
	}
	for _, name := range slices.Sorted(maps.Keys(by)) {
		out = append(out, *by[name])
	}
	return out
}

func (s *Server) keepRun(ctx context.Context, run checkRun) error {
	short := run
	short.Results = make([]checkResult, len(run.Results))
	for i, r := range run.Results {
		for _, text := range []**string{&r.Response, &r.Expected} {
			if *text != nil {
				clipped := job.Clip(**text, runResponse)
				*text = &clipped
			}
		}
		short.Results[i] = r
	}
	b, err := json.Marshal(short)
	if err != nil {
		return err //nolint:wrapcheck // plain values
	}
	pipe := s.opt.Redis.Pipeline()
	pipe.LPush(ctx, s.interactions.RunsKey(), b)
	pipe.LTrim(ctx, s.interactions.RunsKey(), 0, interaction.RunsKept-1)
	if _, err := pipe.Exec(ctx); err != nil {
		return job.Errorf(job.CodeUnavailable, "the run of the checks could not be kept; try again").After(time.Second).Because(err)
	}
	return nil
}

// runs returns the stored runs, newest first.
func (s *Server) runs(ctx context.Context) ([]checkRun, error) {
	list, err := s.opt.Redis.LRange(ctx, s.interactions.RunsKey(), 0, -1).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, job.Errorf(job.CodeUnavailable, "the runs of the checks cannot be read just now; try again").After(time.Second).Because(err)
	}
	out := make([]checkRun, 0, len(list))
	for _, v := range list {
		var r checkRun
		if json.Unmarshal([]byte(v), &r) == nil {
			r.Topics = byTopic(r.Results)
			out = append(out, r)
		}
	}
	return out, nil
}

// followChecks runs the checks whenever another checkpoint serves. Only one of several
// API processes does so.
func (s *Server) followChecks(ctx context.Context) {
	tick := time.NewTicker(checkLook)
	defer tick.Stop()
	seen, ran := "", ""
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		head, err := s.checkpoints.Head(ctx)
		if err != nil || head.Checkpoint == ran {
			continue
		}
		if head.Checkpoint != seen { // its model may still be loading here
			seen = head.Checkpoint
			continue
		}
		ran = head.Checkpoint
		if err := s.runOnce(ctx, ran); err != nil && ctx.Err() == nil {
			s.log.Warn("the checks could not be run on the checkpoint that serves now", "checkpoint", ran, "error", err)
		}
	}
}

// runOnce runs the checks on a checkpoint, unless this process or another has done so
// or is doing so.
func (s *Server) runOnce(ctx context.Context, checkpoint string) error {
	checks, err := s.opt.Checks.List(ctx)
	if err != nil || len(checks) == 0 {
		return err //nolint:wrapcheck // it says what was tried
	}
	mine, err := s.opt.Redis.SetNX(ctx, s.interactions.RunsKey()+":"+checkpoint, 1, time.Hour).Result()
	if err != nil || !mine {
		return err //nolint:wrapcheck // Redis says what is wrong
	}
	_, err = s.runChecks(ctx, runCheckpoint)
	return err
}

// askChecks is POST /api/checks/run.
func (s *Server) askChecks(c echo.Context) (reply, error) {
	run, err := s.runChecks(c.Request().Context(), runAsked)
	if err != nil {
		return reply{}, err
	}
	if run == nil {
		return reply{}, job.Errorf(job.CodeConflict, "there are no checks yet; POST /api/checks adds some")
	}
	return reply{status: http.StatusOK, body: run}, nil
}

type runList struct {
	Runs []checkRun `json:"runs"`
}

// listRuns is GET /api/checks/runs, newest first and without results.
func (s *Server) listRuns(c echo.Context) (runList, error) {
	all, err := s.runs(c.Request().Context())
	for i := range all {
		all[i].Results = nil
	}
	return runList{Runs: some(all)}, err
}

// checkChange says how the result of a check changed from one run to another.
type checkChange struct {
	checkResult
	Before *checkResult `json:"before"` // null: it was not there before
	Change string       `json:"change"` // fixed, broken, changed, new or same
}

type checkChanges struct {
	Before  *checkRun     `json:"before"`
	After   *checkRun     `json:"after"`
	Changes []checkChange `json:"changes"`
}

// compareRuns is GET /api/checks/changes. With ?job= it compares the run before the job
// with the run after it, with ?after= that run with the one before it, and otherwise
// the last two.
func (s *Server) compareRuns(c echo.Context) (checkChanges, error) {
	ctx := c.Request().Context()
	runs, err := s.runs(ctx)
	if err != nil {
		return checkChanges{}, err
	}
	var before, after int
	switch id, run := c.QueryParam("job"), c.QueryParam("after"); {
	case id != "":
		j, err := s.queue.Job(ctx, id)
		if err == nil && !owns(c, j.Owner) {
			err = job.Errorf(job.CodeNotFound, "no job %q is known; ended jobs are kept for a limited time", job.Clip(id, 80))
		}
		if err != nil {
			return checkChanges{}, err
		}
		before, after = around(runs, j)
	default:
		for i := range runs {
			if runs[i].ID == run {
				after = i
			}
		}
		before = after + 1
	}
	out := checkChanges{Changes: []checkChange{}}
	if after < 0 || after >= len(runs) {
		return out, nil
	}
	old := map[string]*checkResult{}
	if before >= 0 && before < len(runs) {
		for i := range runs[before].Results {
			r := &runs[before].Results[i]
			old[r.CheckID] = r
		}
		out.Before = summary(runs[before])
	}
	for _, r := range runs[after].Results {
		out.Changes = append(out.Changes, checkChange{checkResult: r, Before: old[r.CheckID], Change: changed(old[r.CheckID], &r)})
	}
	out.After = summary(runs[after])
	return out, nil
}

func summary(r checkRun) *checkRun {
	r.Results = nil
	return &r
}

// around returns the indexes of the last run before a job began and of the last run on
// the checkpoint that it made; -1 if there is none.
func around(runs []checkRun, j job.Job) (before, after int) {
	before, after = -1, -1
	var made struct{ Checkpoint string }
	_ = json.Unmarshal(j.Result, &made) // a job without a result has made none
	for i, r := range runs {            // newest first
		if after < 0 && made.Checkpoint != "" && r.Checkpoint == made.Checkpoint {
			after = i
		}
		if before < 0 && j.StartedAt != nil && r.At.Before(j.StartedAt.Time) {
			before = i
		}
	}
	return before, after
}

// changed names in one word how the result of a check changed.
func changed(before, now *checkResult) string {
	switch {
	case before == nil:
		return "new"
	case now.Passed && !before.Passed:
		return "fixed"
	case before.Passed && !now.Passed:
		return "broken"
	case !sameResponse(before.Response, now.Response):
		return "changed"
	}
	return "same"
}
