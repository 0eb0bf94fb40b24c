package queue

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/job"
)

func TestSubmitRunsAndKeepsTheResult(t *testing.T) {
	eachMode(t, func(t *bundle) {
		g := newGate()
		t.serve(t.q, job.LaneTrain, 1, g.handle)
		j := t.submit(job.Spec{Kind: job.KindTrain, Topic: "support", Dataset: "d1"})
		if j.State != job.StateQueued || j.Topic != "support" || j.Links.Self != "/api/jobs/"+j.ID {
			t.Errorf("submitted %+v", j)
		}
		task := <-g.started
		if task.Spec.Dataset != "d1" || task.Attempt != 1 || task.Spec.ReplyTo != "" {
			t.Errorf("task is %+v", task.Spec)
		}
		j = t.untilState(j.ID, job.StateRunning)
		if j.Attempts != 1 || j.StartedAt == nil || j.FinishedAt != nil || j.QueuePosition != nil {
			t.Errorf("running job is %+v", j)
		}
		want := job.Progress{Phase: job.PhaseMemorising, Done: 3, Total: 9, Message: "three"}
		if err := task.Progress(t.ctx, want); err != nil {
			t.Fatal(err)
		}
		if j, err := t.q.Job(t.ctx, j.ID); err != nil || j.Progress != want {
			t.Errorf("progress is %+v, %v", j.Progress, err)
		}
		// This one is held back by the throttle, and must not be lost.
		want.Done = 9
		if err := task.Progress(t.ctx, want); err != nil {
			t.Fatal(err)
		}
		g.let <- job.Trained{Dataset: "d1", Steps: 12}
		j = t.untilState(j.ID, job.StateSucceeded)
		if j.Progress != want || j.FinishedAt == nil || j.FinishedAt.Before(j.StartedAt.Time) {
			t.Errorf("ended job is %+v", j)
		}
		if string(j.Result) == "" || !slices.Contains([]byte(j.Result), '1') {
			t.Errorf("result is %s", j.Result)
		}
	})
}

func TestSubmitTwiceIsOneJob(t *testing.T) {
	eachMode(t, func(t *bundle) {
		spec := interact("once")
		spec.ID = job.NewID()
		t.submit(spec)
		t.submit(spec)
		if n := t.lane(job.LaneBatch).Pending; n != 1 {
			t.Errorf("%d jobs wait", n)
		}
	})
}

func TestSubmitRefusesWhatCannotRun(t *testing.T) {
	eachMode(t, func(t *bundle) {
		for _, spec := range []job.Spec{{Kind: "dance"}, {Kind: job.KindTrain, ID: "me"}} {
			_, err := t.q.Submit(t.ctx, spec)
			wantCode(t.T, err, job.CodeInvalid)
		}
	})
}

func TestQueuePositions(t *testing.T) {
	eachMode(t, func(t *bundle) {
		for i := range 3 {
			j := t.submit(interact("x"))
			if j.QueuePosition == nil || *j.QueuePosition != i+1 {
				t.Errorf("job %d stands at %v", i, j.QueuePosition)
			}
			read, err := t.q.Job(t.ctx, j.ID)
			if err != nil || read.QueuePosition == nil || *read.QueuePosition != i+1 {
				t.Errorf("job %d reads at %v, %v", i, read.QueuePosition, err)
			}
		}
	})
}

func TestUnknownJobs(t *testing.T) {
	eachMode(t, func(t *bundle) {
		for _, id := range []string{"", "x", job.NewID(), "00000000-0000-4000-8000-000000000000"} {
			_, err := t.q.Job(t.ctx, id)
			wantCode(t.T, err, job.CodeNotFound)
			_, err = t.q.Cancel(t.ctx, id)
			wantCode(t.T, err, job.CodeNotFound)
			_, err = t.q.Follow(t.ctx, id, "")
			wantCode(t.T, err, job.CodeNotFound)
		}
	})
}

func TestFailuresAndRetries(t *testing.T) {
	eachMode(t, func(t *bundle) {
		runs := make(chan int, 10)
		t.serve(t.q, job.LaneBatch, 4, func(_ context.Context, task *Task) (any, error) {
			switch task.Spec.Prompt {
			case "panic":
				panic("boom")
			case "flaky":
				runs <- task.Attempt
				if task.Attempt < 2 {
					return nil, Retryable(errors.New("not yet"))
				}
				return job.Answer{Response: "now"}, nil
			case "hopeless":
				return nil, errors.New("secret cause")
			}
			return nil, job.Errorf(job.CodeUnknownTopic, "no such topic")
		})
		for prompt, code := range map[string]string{"panic": job.CodeInternal, "hopeless": job.CodeInternal, "coded": job.CodeUnknownTopic} {
			j := t.untilState(t.submit(interact(prompt)).ID, job.StateFailed)
			if j.Error == nil || j.Error.Code != code {
				t.Errorf("%s failed with %+v", prompt, j.Error)
			}
		}
		j := t.submit(interact("flaky"))
		if first := <-runs; first != 1 {
			t.Errorf("first run is attempt %d", first)
		}
		done := t.untilState(j.ID, job.StateSucceeded)
		if done.Attempts != 2 {
			t.Errorf("%d attempts", done.Attempts)
		}
	})
}

func TestDeadlineIsKeptToTheMillisecond(t *testing.T) {
	eachMode(t, func(t *bundle) {
		causes := make(chan error, 1)
		took := make(chan time.Duration, 1)
		t.serve(t.q, job.LaneBatch, 1, func(ctx context.Context, task *Task) (any, error) {
			<-ctx.Done()
			took <- time.Since(task.Spec.Deadline)
			causes <- context.Cause(ctx)
			return nil, ctx.Err()
		})
		// On a busy machine a job may not begin before its deadline; it has then
		// failed without a run, and the next one gets longer.
		for within := 350 * time.Millisecond; ; within *= 2 {
			spec := interact("x")
			spec.Deadline = time.Now().Add(within)
			j := t.submit(spec)
			if got := t.untilState(j.ID, job.StateFailed); got.Error.Code != job.CodeTimeout {
				t.Errorf("error is %+v", got.Error)
			}
			select {
			case late := <-took:
				if late < -2*time.Millisecond || late > 250*time.Millisecond {
					t.Errorf("ended %v after the deadline", late)
				}
			default:
				if within > 10*time.Second {
					t.Fatal("no job began before its deadline")
				}
				continue
			}
			if cause := <-causes; !errors.Is(cause, ErrDeadline) {
				t.Errorf("cause is %v", cause)
			}
			return
		}
	})
}

func TestJobsListsNewestFirst(t *testing.T) {
	eachMode(t, func(t *bundle) {
		var ids []string
		for i := range 7 {
			spec := interact("x")
			if i%2 == 1 {
				spec = job.Spec{Kind: job.KindTrain}
			}
			ids = append(ids, t.submit(spec).ID)
		}
		slices.Reverse(ids)
		var got []string
		for cursor, page := "", 0; page == 0 || cursor != ""; page++ {
			jobs, next, err := t.q.Jobs(t.ctx, Filter{Limit: 3, Cursor: cursor})
			if err != nil {
				t.Fatal(err)
			}
			for _, j := range jobs {
				got = append(got, j.ID)
			}
			cursor = next
		}
		if !slices.Equal(got, ids) {
			t.Errorf("listed %v, want %v", got, ids)
		}
		trains, _, err := t.q.Jobs(t.ctx, Filter{Kind: job.KindTrain})
		if err != nil || len(trains) != 3 {
			t.Errorf("%d train jobs, %v", len(trains), err)
		}
		if _, err := t.q.Cancel(t.ctx, ids[2]); err != nil {
			t.Fatal(err)
		}
		canceled, _, err := t.q.Jobs(t.ctx, Filter{State: job.StateCanceled})
		if err != nil || len(canceled) != 1 || canceled[0].ID != ids[2] {
			t.Errorf("canceled jobs are %v, %v", canceled, err)
		}
		for _, f := range []Filter{{Kind: "x"}, {State: "x"}, {Cursor: "x"}, {Limit: -1}, {Limit: 501}} {
			_, _, err := t.q.Jobs(t.ctx, f)
			wantCode(t.T, err, job.CodeInvalid)
		}
	})
}

func TestEndedJobsFade(t *testing.T) {
	eachMode(t, func(t *bundle) {
		q := t.open(Options{ResultRetention: time.Second})
		t.serve(q, job.LaneBatch, 1, echo)
		id := t.submit(interact("x")).ID
		t.until("the record has faded", func() bool {
			_, err := t.q.Job(t.ctx, id)
			return err != nil && job.AsError(err).Code == job.CodeNotFound
		})
		t.until("the indexes forget it", func() bool {
			n, err := t.q.redis.ZCard(t.ctx, t.q.keys(job.LaneBatch).ended(job.StateSucceeded)).Result()
			return err == nil && n == 0
		})
	})
}

// The Lua side allows exactly the steps that job.State allows.
func TestRecordsFollowTheStateMachine(t *testing.T) {
	eachMode(t, func(t *bundle) {
		states := []job.State{job.StateQueued, job.StateRunning, job.StateSucceeded, job.StateFailed, job.StateCanceled}
		k := t.q.keys(job.LaneBatch)
		script := bounds(200) + source("shared/clock") + transitions() + source("shared/record") + "\nif move(ARGV[1], ARGV[2], ARGV[3]) then return 1 end return 0"
		for _, from := range states {
			if from.Final() {
				continue // such jobs have no record that could be moved
			}
			for _, to := range states {
				id := job.NewID()
				if err := t.q.redis.HSet(t.ctx, k.record(id), "state", string(from)).Err(); err != nil {
					t.Fatal(err)
				}
				moved, err := t.q.redis.Eval(t.ctx, script, []string{k.record(id)}, k.own, id, string(to)).Bool()
				if err != nil || moved != from.Allows(to) {
					t.Errorf("%s to %s: moved %v, %v", from, to, moved, err)
				}
			}
		}
	})
}

// The lessons that are to come are those whose jobs have not ended, the older ones
// alone.
func TestLessonsThatAreToCome(t *testing.T) {
	eachMode(t, func(t *bundle) {
		train := func() string {
			id := job.NewID()
			t.submit(job.Spec{ID: id, Kind: job.KindTrain, Dataset: id})
			return id
		}
		g := newGate()
		done, running := train(), train()
		t.submit(job.Spec{Kind: job.KindTrain}) // consolidates what is known: no lessons come
		s := t.serve(t.open(Options{}), job.LaneTrain, 1, g.handle)
		<-g.started
		g.let <- job.Trained{}
		t.untilState(done, job.StateSucceeded)
		<-g.started
		if err := s.Pause(t.ctx, "the test looks"); err != nil {
			t.Fatal(err)
		}
		waits := train()
		asking, younger := train(), train()
		got, err := t.q.UnfinishedDatasets(t.ctx, asking)
		slices.Sort(got)
		if want := []string{running, waits}; err != nil || !slices.Equal(got, want) {
			t.Errorf("to come are %v, %v; want %v and not %s", got, err, want, younger)
		}
		if err := s.Pause(t.ctx, ""); err != nil {
			t.Fatal(err)
		}
		g.let <- job.Trained{}
		for range 4 {
			<-g.started
			g.let <- job.Trained{}
		}
		t.untilState(younger, job.StateSucceeded)
	})
}
