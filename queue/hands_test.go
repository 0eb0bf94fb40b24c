package queue

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/nexus-continuum/nexus/job"
)

// seenWithin is how soon what an operator does is seen.
const seenWithin = 2 * time.Second

// operator has asynq's own tools in hand.
type operator struct {
	*bundle
	*asynq.Inspector
}

// operate runs a test with asynq's Inspector in place of the pages of asynqmon, and
// times of a real deployment.
func operate(t *testing.T, test func(o operator)) {
	eachMode(t, func(t *bundle) {
		t.q = t.open(Options{Liveness: 6 * time.Second})
		t.reconcile(1)
		o := operator{t, asynq.NewInspector(t.provided.Asynq())}
		t.Cleanup(func() { _ = o.Close() })
		test(o)
	})
}

func (o operator) must(err error) {
	o.Helper()
	if err != nil {
		o.Fatal(err)
	}
}

// becomes waits for a state and holds the time that it took against the promise.
func (o operator) becomes(id string, want job.State) job.Job {
	o.Helper()
	began := time.Now()
	var j job.Job
	o.until("job is "+string(want), func() bool {
		var err error
		j, err = o.q.Job(o.ctx, id)
		o.must(err)
		return j.State == want
	})
	if took := time.Since(began); took > seenWithin {
		o.Logf("it took %s until the job was %s", took, want) // the machine may be busy
	}
	return j
}

func TestOperatorArchivesAndRuns(t *testing.T) {
	operate(t, func(o operator) {
		for _, spec := range []job.Spec{interact("x"), {Kind: job.KindTrain, Dataset: job.NewID(), Topic: "t", Owner: "key"}} {
			j := o.submit(spec)
			lane := "batch"
			if spec.Kind == job.KindTrain {
				lane = "train"
			}
			o.must(o.ArchiveTask(lane, j.ID))
			got := o.becomes(j.ID, job.StateFailed)
			if got.Error == nil || got.Error.Code != job.CodeArchived || !strings.Contains(got.Error.Detail, "operator archived") {
				o.Errorf("error is %+v", got.Error)
			}
			_, err := o.q.Cancel(o.ctx, j.ID)
			wantCode(o.T, err, job.CodeJobEnded)
			// Retry, as asynq's pages call it for an archived task.
			o.must(o.RunTask(lane, j.ID))
			if got = o.becomes(j.ID, job.StateQueued); got.Error != nil || got.Topic != spec.Topic || got.Owner != spec.Owner || !got.CreatedAt.Equal(j.CreatedAt.Time) {
				o.Errorf("queued again the job is %+v", got)
			}
			listed, _, err := o.q.Jobs(o.ctx, Filter{})
			o.must(err)
			if n := len(slices.DeleteFunc(listed, func(l job.Job) bool { return l.ID != j.ID })); n != 1 {
				o.Errorf("it is listed %d times", n)
			}
		}
		o.serve(o.q, job.LaneBatch, 1, echo)
		o.serve(o.q, job.LaneTrain, 1, echo)
		listed, _, err := o.q.Jobs(o.ctx, Filter{})
		o.must(err)
		for _, j := range listed {
			if got := o.untilState(j.ID, job.StateSucceeded); got.Attempts != 1 {
				o.Errorf("it ended after %d attempts", got.Attempts)
			}
		}
	})
}

// A worker may meet an archived job that was run again before the look that sees it.
func TestWorkerMeetsAJobThatWasRunAgain(t *testing.T) {
	operate(t, func(o operator) {
		j := o.submit(interact("x"))
		o.must(o.ArchiveTask("batch", j.ID))
		o.becomes(j.ID, job.StateFailed)
		o.serve(o.q, job.LaneBatch, 1, echo)
		o.must(o.RunTask("batch", j.ID))
		o.becomes(j.ID, job.StateSucceeded)
	})
}

func TestOperatorDeletes(t *testing.T) {
	operate(t, func(o operator) {
		prompt, lesson := o.submit(interact("x")), o.submit(job.Spec{Kind: job.KindTrain, Dataset: job.NewID()})
		kept := o.submit(interact("y"))
		o.must(o.DeleteTask("batch", prompt.ID))
		o.must(o.DeleteTask("train", lesson.ID))
		if got := o.becomes(prompt.ID, job.StateCanceled); got.Error == nil || got.Error.Code != job.CodeDeleted {
			o.Errorf("error is %+v", got.Error)
		}
		if got := o.becomes(lesson.ID, job.StateCanceled); got.Error == nil || got.Error.Code != job.CodeDeleted || !strings.Contains(got.Error.Detail, "stay stored and pending") {
			o.Errorf("error of the train job is %+v", got.Error)
		}
		if got, err := o.q.Job(o.ctx, kept.ID); err != nil || got.State != job.StateQueued {
			o.Errorf("another job is %+v, %v", got, err)
		}
		_, err := o.DeleteAllPendingTasks("batch")
		o.must(err)
		o.becomes(kept.ID, job.StateCanceled)
	})
}

// A job that rests runs at once when an operator says so.
func TestOperatorRunsAJobThatRests(t *testing.T) {
	operate(t, func(o operator) {
		var runs atomic.Int64
		o.serve(o.q, job.LaneBatch, 1, func(ctx context.Context, task *Task) (any, error) {
			if runs.Add(1) == 1 {
				return nil, HandBack("too hot", time.Hour)
			}
			return echo(ctx, task)
		})
		j := o.submit(interact("x"))
		o.until("it rests", func() bool { return o.lane(job.LaneBatch).Delayed == 1 })
		o.must(o.RunTask("batch", j.ID))
		o.becomes(j.ID, job.StateSucceeded)
	})
}

// Cancelling the processing of a task, in asynq's words, cancels the job.
func TestOperatorCancelsProcessing(t *testing.T) {
	operate(t, func(o operator) {
		g := newGate()
		o.serve(o.q, job.LaneBatch, 1, g.handle)
		j := o.submit(interact("x"))
		<-g.started
		o.must(o.CancelProcessing(j.ID))
		o.becomes(j.ID, job.StateCanceled)
	})
}

func TestOperatorPauses(t *testing.T) {
	operate(t, func(o operator) {
		o.serve(o.q, job.LaneBatch, 1, echo)
		o.must(o.PauseQueue("batch"))
		j := o.submit(interact("x"))
		got, err := o.q.Job(o.ctx, j.ID)
		o.must(err)
		if got.WaitingFor == nil || !strings.Contains(*got.WaitingFor, "paused in asynq's tools since ") {
			o.Errorf("it waits for %v", got.WaitingFor)
		}
		if s := o.lane(job.LaneBatch); !s.Paused || !s.PausedByTool || time.Since(s.PausedSince) > time.Minute {
			o.Errorf("lane is %+v", s)
		}
		o.must(o.UnpauseQueue("batch"))
		o.becomes(j.ID, job.StateSucceeded)
	})
}

// A caller who waits for a prompt is told when an operator deletes or archives it, long
// before the wait ends.
func TestOperatorTakesAPromptFromItsCaller(t *testing.T) {
	operate(t, func(o operator) {
		o.must(o.PauseQueue("interactive"))
		for code, take := range map[string]func(queue, id string) error{
			job.CodeUnavailable: o.DeleteTask,
			job.CodeArchived:    o.ArchiveTask,
		} {
			told := make(chan error, 1)
			go func() {
				_, _, err := o.q.Ask(o.ctx, interact("x"), time.Hour)
				told <- err
			}()
			o.until("the prompt is queued", func() bool { return o.lane(job.LaneInteractive).Pending == 1 })
			tasks, err := o.ListPendingTasks("interactive")
			o.must(err)
			o.must(take("interactive", tasks[0].ID))
			err = <-told
			wantCode(o.T, err, code)
			if !strings.Contains(err.Error(), "an operator") {
				o.Errorf("the caller is told %v", err)
			}
		}
		told := make(chan error, 1)
		go func() {
			_, _, err := o.q.Ask(o.ctx, interact("kept"), time.Hour)
			told <- err
		}()
		o.until("the prompt is queued", func() bool { return o.lane(job.LaneInteractive).Pending == 1 })
		o.must(o.UnpauseQueue("interactive"))
		o.serve(o.q, job.LaneInteractive, 1, echo)
		o.must(<-told)
	})
}

// The task of an archived train job may outlive the record of the job. Its lessons are
// learned all the same once the scheduler finds no job for them.
func TestLessonsOfAnArchivedJobAreLearnedAfterItsRecord(t *testing.T) {
	operate(t, func(o operator) {
		spec := job.Spec{Kind: job.KindTrain, Dataset: job.NewID()}
		spec.ID = spec.Dataset
		o.must(o.q.PauseLane(o.ctx, job.LaneTrain, true, "a test"))
		o.submit(spec)
		o.must(o.ArchiveTask("train", spec.ID))
		o.submit(spec) // perhaps before the record shows it
		if got := o.becomes(spec.ID, job.StateFailed); !strings.Contains(got.Error.Detail, "lessons stay stored") {
			o.Errorf("the error is %q", got.Error.Detail)
		}
		o.submit(spec) // while the record is there, it is the same job
		if j, err := o.q.Job(o.ctx, spec.ID); err != nil || j.State != job.StateFailed {
			o.Errorf("job %+v, %v", j, err)
		}
		k := o.q.keys(job.LaneTrain)
		o.must(o.q.redis.Del(o.ctx, k.ended(job.StateFailed)).Err()) // as after its retention
		o.submit(spec)
		o.must(o.q.PauseLane(o.ctx, job.LaneTrain, false, ""))
		o.serve(o.q, job.LaneTrain, 1, echo)
		o.becomes(spec.ID, job.StateSucceeded)
		if n := o.q.redis.ZCard(o.ctx, k.archived()).Val(); n != 0 {
			o.Errorf("%d tasks are archived", n)
		}
	})
}
