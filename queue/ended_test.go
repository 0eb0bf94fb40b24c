package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue/provider"
)

// fullAnswer is an answer as a model gives it: 13 bytes, three sources.
func fullAnswer(_ context.Context, t *Task) (any, error) {
	topic, checkpoint := "geography", job.NewID()
	a := job.Answer{
		JobID: t.Spec.ID, InteractionID: t.Spec.ID, Response: "Paris, France", Responded: true, Topic: &topic, Checkpoint: &checkpoint,
		Confidence: 0.973421337, Threshold: 0.712345678,
		Flow: job.Flow{Depth: 11, Converged: true, Residual: 0.0000812341}, Timing: job.Timing{QueueMS: 0.412, ComputeMS: 0.917, TotalMS: 1.329},
	}
	for i := range 3 {
		a.Sources = append(a.Sources, job.Source{LessonID: job.NewID(), Prompt: "what is the capital of France", Similarity: 0.93123412 - float64(i)/10})
	}
	return a, nil
}

// What is kept of an ended job with a short answer is at most 500 bytes, all told.
func TestEndedJobsAreSmall(t *testing.T) {
	t.Parallel()
	b := setup(t, provider.Child, Options{MaxQueue: 100_000})
	b.serve(b.q, job.LaneBatch, 16, fullAnswer)
	used := func() (n int64) {
		info, err := b.q.redis.InfoMap(b.ctx, "memory").Result()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Sscan(info["Memory"]["used_memory"], &n)
		return n
	}
	run := func(jobs int) {
		for range jobs {
			b.submit(job.Spec{Kind: job.KindInteract, Prompt: "what is the capital of france?", Topic: "geography"})
		}
		b.until("all have ended", func() bool {
			s := b.lane(job.LaneBatch)
			return s.Pending+s.Active == 0
		})
	}
	run(500) // what does not grow with them
	before := used()
	const jobs = 4000
	run(jobs)
	// Buffers of connections and of the append-only file go by themselves.
	b.until("an ended job keeps at most 500 bytes", func() bool { return (used()-before)/jobs <= 500 })
	t.Logf("an ended job keeps %d bytes", (used()-before)/jobs)
	said, err := b.q.EndedBytes(b.ctx)
	if err != nil || said < 300*jobs || said > 700*jobs {
		t.Errorf("%d bytes are counted, %v", said, err)
	}
}

// Whatever a job ended with is read as it was.
func TestEndedJobsAreReadAsTheyWere(t *testing.T) {
	eachMode(t, func(t *bundle) {
		results := map[string]any{
			"short":   job.Answer{Response: "x"},
			"unicode": job.Answer{Response: "Größe ≠ \n 尺寸\u2028", Responded: true},
			"long":    job.Answer{Response: strings.Repeat("lorem ipsum ", 2000)},
			"train":   job.Trained{Steps: 7, Why: "better", Skipped: []job.Fault{{Line: 1, Code: "x", Detail: "{\n"}}},
		}
		t.serve(t.q, job.LaneBatch, 4, func(_ context.Context, task *Task) (any, error) {
			if r, ok := results[task.Spec.Prompt]; ok {
				return r, nil
			}
			return nil, job.Errorf(job.CodeInvalid, "no %q\n", task.Spec.Prompt)
		})
		var ids []string
		for name, r := range results {
			want, _ := json.Marshal(r)
			spec := interact(name)
			spec.Topic, spec.Owner = "a topic", "a key"
			j := t.untilState(t.submit(spec).ID, job.StateSucceeded)
			if string(j.Result) != string(want) {
				t.Errorf("%s: result is %s, want %s", name, j.Result, want)
			}
			if j.Kind != job.KindInteract || j.Topic != "a topic" || j.Owner != "a key" || j.Attempts != 1 || j.StartedAt == nil || j.FinishedAt == nil || j.Error != nil {
				t.Errorf("%s: job is %+v", name, j)
			}
			ids = append(ids, j.ID)
		}
		j := t.untilState(t.submit(interact("nothing")).ID, job.StateFailed)
		if j.Error == nil || j.Error.Detail != "no \"nothing\"\n" || j.Result != nil {
			t.Errorf("failed job is %+v", j)
		}
		ids = append(ids, j.ID)
		slices.Reverse(ids)
		listed, _, err := t.q.Jobs(t.ctx, Filter{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, j := range listed {
			got = append(got, j.ID)
		}
		if !slices.Equal(got, ids) {
			t.Errorf("listed %v, want %v", got, ids)
		}
		// A repeat of an ended job's submission makes no second one.
		again := interact("short")
		again.ID = ids[0]
		if _, err := t.q.Submit(t.ctx, again); err != nil {
			t.Fatal(err)
		}
		if got, err := t.q.Job(t.ctx, ids[0]); err != nil || got.State != job.StateFailed {
			t.Errorf("after a repeat the job is %+v, %v", got, err)
		}
	})
}

// The records of ended jobs keep to their bytes: the oldest go, and are counted.
func TestEndedJobsKeepToTheirBytes(t *testing.T) {
	eachMode(t, func(t *bundle) {
		q := t.open(Options{ResultBytes: 8000})
		t.serve(q, job.LaneBatch, 1, fullAnswer)
		var ids []string
		for range 60 {
			ids = append(ids, t.submit(interact("x")).ID)
		}
		t.until("the oldest are gone", func() bool {
			n, err := q.EndedBytes(t.ctx)
			if err != nil {
				t.Fatal(err)
			}
			s := t.lane(job.LaneBatch)
			return s.Pending+s.Active == 0 && n > 0 && n <= 8000
		})
		_, err := t.q.Job(t.ctx, ids[0])
		wantCode(t.T, err, job.CodeNotFound)
		if j, err := t.q.Job(t.ctx, ids[len(ids)-1]); err != nil || j.State != job.StateSucceeded {
			t.Errorf("the newest job is %+v, %v", j, err)
		}
		left, _, err := t.q.Jobs(t.ctx, Filter{Limit: 500})
		if err != nil {
			t.Fatal(err)
		}
		dropped, err := t.q.Dropped(t.ctx)
		if err != nil || dropped[DroppedJobs] != int64(len(ids)-len(left)) {
			t.Errorf("%d of %d jobs are left, %d are counted as dropped, %v", len(left), len(ids), dropped[DroppedJobs], err)
		}
	})
}

// A client that was told 200 sees the job end canceled, however late it came; one
// that came too late is told 409.
func TestCancelIsKept(t *testing.T) {
	eachMode(t, func(t *bundle) {
		t.serve(t.open(Options{}), job.LaneBatch, 4, func(ctx context.Context, task *Task) (any, error) {
			// A handler that ends just when it is told to stop.
			select {
			case <-ctx.Done():
			case <-time.After(time.Millisecond):
			}
			return job.Answer{Response: "x"}, nil
		})
		told, late := 0, 0
		for i := range 200 {
			id := t.submit(interact("x")).ID
			for range i % 8 { // so that it comes at every moment of the job
				_ = t.q.Ping(t.ctx)
			}
			j, err := t.q.Cancel(t.ctx, id)
			if err != nil {
				wantCode(t.T, err, job.CodeJobEnded)
				late++
				continue
			}
			told++
			if j.State == job.StateSucceeded {
				t.Fatal("a cancellation was answered with a job that succeeded")
			}
			t.untilState(id, job.StateCanceled)
		}
		t.Logf("%d were canceled, %d came too late", told, late)
	})
}
