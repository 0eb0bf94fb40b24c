package queue

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/job"
)

func TestInteractionsAreFound(t *testing.T) {
	eachMode(t, func(t *bundle) {
		var batch []job.Interaction
		for i := range 1200 { // more than one look of the search
			batch = append(batch, job.Interaction{
				ID: job.NewID(), Prompt: fmt.Sprint("prompt ", i), Response: fmt.Sprint("response ", i),
				Responded: true, Confidence: 0.9, Lessons: []string{"l1"}, At: job.At(time.Now()),
			})
		}
		if err := t.q.LogInteractions(t.ctx, batch); err != nil {
			t.Fatal(err)
		}
		for _, i := range []int{0, 600, 1199} {
			it, err := t.q.Interaction(t.ctx, batch[i].ID)
			if err != nil || it.Prompt != batch[i].Prompt {
				t.Errorf("interaction %d is %+v, %v", i, it, err)
			}
		}
		j, err := t.q.Job(t.ctx, batch[3].ID)
		if err != nil || j.State != job.StateSucceeded || j.FinishedAt == nil {
			t.Fatalf("job %+v, error %v", j, err)
		}
		if a := answerOf(t.T, j); a.Response != "response 3" || len(a.Sources) != 1 || a.InteractionID != batch[3].ID {
			t.Errorf("answer is %+v", a)
		}
		for _, id := range []string{job.NewID(), "x"} {
			_, err := t.q.Interaction(t.ctx, id)
			wantCode(t.T, err, job.CodeNotFound)
		}
	})
}

// An answer that was given is in the log, whatever becomes of its worker: the line is
// written ahead of it.
func TestAnAnswerIsLoggedBeforeItIsGiven(t *testing.T) {
	eachMode(t, func(t *bundle) {
		t.serve(t.q, job.LaneInteractive, 8, logged)
		t.serve(t.q, job.LaneBatch, 8, logged)
		var wg sync.WaitGroup
		for range 40 {
			wg.Go(func() {
				a, _, err := t.q.Ask(t.ctx, interact("x"), 20*time.Second)
				if err != nil {
					t.Error(err)
					return
				}
				if it, err := t.q.Interaction(t.ctx, a.InteractionID); err != nil || it.Response != a.Response {
					t.Errorf("the interaction of an answer is %+v, %v", it, err)
				}
			})
		}
		wg.Wait()
		id := t.submit(interact("x")).ID
		t.untilState(id, job.StateSucceeded)
		if it, err := t.q.Interaction(t.ctx, id); err != nil || it.Prompt != "x" {
			t.Errorf("the interaction of a job that nobody waited for is %+v, %v", it, err)
		}
		if n := t.q.redis.XLen(t.ctx, t.q.logKey()).Val(); n != 41 {
			t.Errorf("%d lines for 41 answers", n)
		}
	})
}

// logged is echo with a line in the log.
func logged(ctx context.Context, t *Task) (any, error) {
	t.Log(job.Interaction{ID: t.Spec.ID, Prompt: t.Spec.Prompt, Response: t.Spec.Prompt, Responded: true, At: job.At(time.Now())})
	return echo(ctx, t)
}

func TestInteractionLogIsBounded(t *testing.T) {
	eachMode(t, func(t *bundle) {
		q := t.open(Options{LogLength: 500})
		for range 10 {
			batch := make([]job.Interaction, 200)
			for i := range batch {
				batch[i] = job.Interaction{ID: job.NewID(), Prompt: "x", Reason: job.ReasonUnfamiliar}
			}
			if err := q.LogInteractions(t.ctx, batch); err != nil {
				t.Fatal(err)
			}
		}
		q2 := t.open(Options{LogLength: 500})
		t.serve(q2, job.LaneInteractive, 8, logged)
		for range 60 {
			if _, _, err := q2.Ask(t.ctx, interact("x"), 20*time.Second); err != nil {
				t.Fatal(err)
			}
		}
		// Redis trims whole nodes of 100.
		if n := q.redis.XLen(t.ctx, q.logKey()).Val(); n > 700 {
			t.Errorf("%d entries are kept of 500", n)
		}
		if n := q.redis.XLen(t.ctx, q.listKey(ListRefused)).Val(); n > 300 {
			t.Errorf("%d refusals are kept of 100", n)
		}
	})
}

func TestRefusalsAreGrouped(t *testing.T) {
	eachMode(t, func(t *bundle) {
		var batch []job.Interaction
		add := func(n int, prompt string, responded bool) {
			for range n {
				batch = append(batch, job.Interaction{
					ID: job.NewID(), Prompt: prompt, Responded: responded, Reason: job.ReasonUnfamiliar, At: job.At(time.Now()),
				})
			}
		}
		add(2, "Where is my parcel?", false)
		add(9, "What is an apple?", true)
		add(3, "Can I pay with a credit card?", false)
		add(2, "can i pay with a CREDIT CARD", false)
		add(1, "Can I pay with my credit card?", false)
		add(1, "", false)
		if err := t.q.LogInteractions(t.ctx, batch); err != nil {
			t.Fatal(err)
		}
		page, next, err := t.q.Refusals(t.ctx, nil, "", nil)
		if err != nil || next != "" || len(page) != 2 {
			t.Fatalf("page %+v, next %q, error %v", page, next, err)
		}
		if page[0].Count != 6 || page[1].Count != 2 || page[1].Prompt != "Where is my parcel?" {
			t.Errorf("groups are %+v", page)
		}
		if len(page[0].Interactions) != 6 || len(page[0].Variants) != 1 || page[0].LastAt == nil {
			t.Errorf("group is %+v", page[0])
		}
		_, _, err = t.q.Refusals(t.ctx, nil, "x", nil)
		wantCode(t.T, err, job.CodeInvalid)
	})
}

func TestRefusalsComeInPages(t *testing.T) {
	eachMode(t, func(t *bundle) {
		var batch []job.Interaction
		for i := range refusalPage + 10 {
			prompt := fmt.Sprintf("%c%c%c %d", 'a'+i%26, 'a'+i%25, 'a'+i%23, i*7919)
			batch = append(batch, job.Interaction{ID: job.NewID(), Prompt: prompt})
		}
		if err := t.q.LogInteractions(t.ctx, batch); err != nil {
			t.Fatal(err)
		}
		seen := 0
		for cursor, page := "", 0; page == 0 || cursor != ""; page++ {
			groups, next, err := t.q.Refusals(t.ctx, nil, cursor, nil)
			if err != nil {
				t.Fatal(err)
			}
			seen += len(groups)
			cursor = next
		}
		if seen != len(batch) {
			t.Errorf("%d groups of %d", seen, len(batch))
		}
	})
}
