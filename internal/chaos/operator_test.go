package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
)

// hands is an operator with asynq's tools, and what the table in
// docs/architecture/jobs.md says of each job that was touched.
type hands struct {
	*fleet
	*asynq.Inspector
	rand *rand.Rand
	may  map[string][]string // final states, by id; absent: succeeded
	did  map[string]int
}

const handled = "batch"

// act does one thing at random to a queue or a task.
func (h *hands) act() {
	pick := func(list func(string, ...asynq.ListOption) ([]*asynq.TaskInfo, error)) (id string) {
		tasks, err := list(handled, asynq.PageSize(50))
		if err != nil || len(tasks) == 0 {
			return ""
		}
		return tasks[h.rand.IntN(len(tasks))].ID
	}
	try := func(what, id string, do func(queue, id string) error, states ...string) {
		if id == "" {
			return
		}
		switch err := do(handled, id); {
		case err == nil:
			h.may[id], h.did[what] = states, h.did[what]+1
		case errors.Is(err, asynq.ErrTaskNotFound), errors.Is(err, asynq.ErrQueueNotFound):
		default:
			// A worker was quicker (asynq: a running task cannot be touched): nothing was done.
		}
	}
	switch h.rand.IntN(8) {
	case 0:
		if h.PauseQueue(handled) == nil {
			h.did["pause"]++
		}
	case 1:
		_ = h.UnpauseQueue(handled)
	case 2, 3:
		try("archive", pick(h.ListPendingTasks), h.ArchiveTask, "failed")
	case 4:
		id := pick(h.ListPendingTasks)
		states := []string{"canceled"}
		if len(h.may[id]) > 0 {
			// It was archived before and run again: its end may have been told by then.
			states = append(states, "failed")
		}
		try("delete", id, h.DeleteTask, states...)
	case 5:
		try("run", pick(h.ListArchivedTasks), h.RunTask, "succeeded")
	case 6:
		// Of an archived job the end was told already, or it is told now.
		try("delete archived", pick(h.ListArchivedTasks), h.DeleteTask, "failed", "canceled")
	case 7:
		if id := pick(h.ListActiveTasks); id != "" && h.CancelProcessing(id) == nil {
			h.may[id] = []string{"succeeded", "canceled"} // it may have been done by then
			h.did["cancel"]++
		}
	}
}

// An operator archives, deletes, pauses, runs and cancels at random while workers are
// killed: every acknowledged job ends in the state that the table says.
func TestOperatorsHands(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.start(2)
	seed := uint64(time.Now().UnixNano())
	h := &hands{
		fleet: f, Inspector: asynq.NewInspector(asynq.RedisClientOpt{Addr: "127.0.0.1:" + f.port}),
		rand: rand.New(rand.NewPCG(seed, 1)), may: map[string][]string{}, did: map[string]int{},
	}
	t.Cleanup(func() { _ = h.Close() })
	l := newLedger(f, "hands")
	ctx, cancel := context.WithTimeout(context.Background(), form(2*time.Minute, 30*time.Minute))
	defer cancel()
	var load sync.WaitGroup
	for c := range 4 {
		load.Go(func() {
			for i := range form(60, 2_500) {
				l.submit(ctx, fmt.Sprintf("hands-%d-%d", c, i))
			}
		})
	}
	submitted := make(chan struct{})
	go func() { load.Wait(); close(submitted) }()
	f.eventually("the queue is known", func() bool { return h.PauseQueue(handled) == nil })
	kills, kill := 0, time.Now().Add(300*time.Millisecond)
	for done := false; !done || kills < form(2, 50) || h.did["archive"] == 0 || h.did["run"] == 0 || h.did["delete"] == 0; {
		select {
		case <-submitted:
			done = true
		default:
		}
		if ctx.Err() != nil {
			break
		}
		if done { // so that there is always something to touch
			l.submit(ctx, fmt.Sprintf("hands-more-%d", len(l.jobs)))
		}
		h.act()
		if time.Now().After(kill) {
			at := kills % len(f.workers)
			f.workers[at].kill()
			f.workers[at] = f.launch(binary, "worker")
			kills, kill = kills+1, time.Now().Add(time.Second)
		}
	}
	<-submitted
	if err := h.UnpauseQueue(handled); err != nil {
		// It was not paused.
		t.Logf("unpause: %v", err)
	}
	f.served()
	missed := "" // what the last look at a job showed, if it was not what it should be
	t.Cleanup(func() {
		if missed != "" {
			t.Log(missed)
		}
	})
	for key, id := range l.jobs {
		want := h.may[id]
		if want == nil {
			want = []string{"succeeded"}
		}
		var j struct {
			State string
			Error *struct{ Code, Detail string }
		}
		f.eventually(fmt.Sprintf("job %s of %s has ended %v (seed %d)", id, key, want, seed), func() bool {
			code, err := f.call(context.Background(), "GET", "/api/jobs/"+id, nil, &j)
			if err == nil && code == 200 && slices.Contains(want, j.State) {
				missed = ""
				return true
			}
			missed = fmt.Sprintf("job %s was last %s (%d, %v)", id, j.State, code, err)
			return false
		})
		if code := map[string]string{"failed": "archived"}[j.State]; code != "" && (j.Error == nil || j.Error.Code != code) {
			t.Errorf("job %s is %s with %+v, want the code %q", id, j.State, j.Error, code)
		}
	}
	l.follows.Wait()
	if q, err := h.GetQueueInfo(handled); err != nil || q.Pending+q.Active+q.Retry+q.Scheduled > 0 {
		t.Errorf("after all jobs have ended the queue holds %+v, %v", q, err)
	}
	t.Logf("%d jobs, %d workers killed, by hand: %v", len(l.jobs), kills, h.did)
}
