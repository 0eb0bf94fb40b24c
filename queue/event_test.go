package queue

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/internal/streamid"
	"github.com/nexus-continuum/nexus/job"
)

// collect reads events until the channel closes.
func (b *bundle) collect(c <-chan Event) []Event {
	b.Helper()
	limit := time.After(20 * time.Second)
	var out []Event
	for {
		select {
		case e, open := <-c:
			if !open {
				return out
			}
			out = append(out, e)
		case <-limit:
			b.Fatalf("the events did not end; so far %v", out)
		}
	}
}

func types(events []Event) (out []string) {
	for _, e := range events {
		out = append(out, e.Type)
	}
	return out
}

func TestFollowFromTheBeginning(t *testing.T) {
	eachMode(t, func(t *bundle) {
		g := newGate()
		t.serve(t.open(Options{}), job.LaneTrain, 1, g.handle)
		j := t.submit(job.Spec{Kind: job.KindTrain})
		events, err := t.q.Follow(t.ctx, j.ID, "")
		if err != nil {
			t.Fatal(err)
		}
		task := <-g.started
		if err := task.Progress(t.ctx, job.Progress{Phase: job.PhaseMemorised, Done: 1, Total: 1}); err != nil {
			t.Fatal(err)
		}
		g.let <- job.Trained{Steps: 7}
		got := t.collect(events)
		want := []string{EventState, EventState, EventProgress, EventState, EventResult}
		if !slices.Equal(types(got), want) {
			t.Fatalf("events are %v, want %v", types(got), want)
		}
		var last job.Job
		if err := json.Unmarshal(got[4].Data, &last); err != nil || last.State != job.StateSucceeded || last.Result == nil {
			t.Errorf("result is %s, %v", got[4].Data, err)
		}
		var state struct {
			State    job.State `json:"state"`
			Attempts int       `json:"attempts"`
		}
		if err := json.Unmarshal(got[1].Data, &state); err != nil || state.State != job.StateRunning || state.Attempts != 1 {
			t.Errorf("second state is %s, %v", got[1].Data, err)
		}
		for i := 1; i < len(got); i++ {
			if !streamid.Newer(got[i].ID, got[i-1].ID) {
				t.Errorf("event %s follows %s", got[i].ID, got[i-1].ID)
			}
		}
		// Resumed anywhere, exactly the rest comes.
		for i, e := range got {
			again, err := t.q.Follow(t.ctx, j.ID, e.ID)
			if err != nil {
				t.Fatal(err)
			}
			if rest := types(t.collect(again)); !slices.Equal(rest, types(got[i+1:])) {
				t.Errorf("after event %d came %v", i, rest)
			}
		}
	})
}

// Nobody followed the job while it ran: the end is told as the record knows it.
func TestFollowOfAnEndedJob(t *testing.T) {
	eachMode(t, func(t *bundle) {
		t.serve(t.q, job.LaneBatch, 1, echo)
		id := t.submit(interact("x")).ID
		t.untilState(id, job.StateSucceeded)
		if n := t.q.redis.Exists(t.ctx, t.q.keys(job.LaneBatch).events(id)).Val(); n != 0 {
			t.Error("a job that nobody followed has a stream")
		}
		events, err := t.q.Follow(t.ctx, id, "")
		if err != nil {
			t.Fatal(err)
		}
		got := t.collect(events)
		if !slices.Equal(types(got), []string{EventState, EventResult}) {
			t.Fatalf("events are %v", types(got))
		}
		for i, e := range got {
			again, err := t.q.Follow(t.ctx, id, e.ID)
			if err != nil {
				t.Fatal(err)
			}
			if rest := types(t.collect(again)); !slices.Equal(rest, types(got[i+1:])) {
				t.Errorf("after event %d came %v", i, rest)
			}
		}
	})
}

func TestFollowOfADeliveredAnswer(t *testing.T) {
	eachMode(t, func(t *bundle) {
		it := job.Interaction{ID: job.NewID(), Prompt: "x", Response: "y", Responded: true, At: job.At(time.Now())}
		if err := t.log.Append(t.ctx, []job.Interaction{it}); err != nil {
			t.Fatal(err)
		}
		events, err := t.q.Follow(t.ctx, it.ID, "")
		if err != nil {
			t.Fatal(err)
		}
		if got := types(t.collect(events)); !slices.Equal(got, []string{EventResult}) {
			t.Errorf("events are %v", got)
		}
	})
}

func TestFollowEndsWithItsContext(t *testing.T) {
	eachMode(t, func(t *bundle) {
		ctx, cancel := context.WithCancel(t.ctx)
		events, err := t.q.Follow(ctx, t.submit(interact("x")).ID, "")
		if err != nil {
			t.Fatal(err)
		}
		<-events
		cancel()
		t.collect(events)
		_, err = t.q.Follow(t.ctx, job.NewID(), "not an id")
		wantCode(t.T, err, job.CodeInvalid)
	})
}
