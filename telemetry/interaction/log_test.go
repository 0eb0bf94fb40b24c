package interaction

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

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
		if err := t.log.Append(t.ctx, batch); err != nil {
			t.Fatal(err)
		}
		for _, i := range []int{0, 600, 1199} {
			it, err := t.log.Find(t.ctx, batch[i].ID)
			if err != nil || it.Prompt != batch[i].Prompt {
				t.Errorf("interaction %d is %+v, %v", i, it, err)
			}
		}
		j, err := t.queue(t.log).Job(t.ctx, batch[3].ID)
		if err != nil || j.State != job.StateSucceeded || j.FinishedAt == nil {
			t.Fatalf("job %+v, error %v", j, err)
		}
		var a job.Answer
		if err := json.Unmarshal(j.Result, &a); err != nil {
			t.Fatalf("result %s: %v", j.Result, err)
		}
		if a.Response != "response 3" || len(a.Sources) != 1 || a.InteractionID != batch[3].ID {
			t.Errorf("answer is %+v", a)
		}
		for _, id := range []string{job.NewID(), "x"} {
			_, err := t.log.Find(t.ctx, id)
			wantCode(t, err, job.CodeNotFound)
		}
	})
}

// An answer that was given is in the log, whatever becomes of its worker: the line is
// written ahead of it.
func TestAnAnswerIsLoggedBeforeItIsGiven(t *testing.T) {
	eachMode(t, func(t *bundle) {
		q := t.queue(t.log)
		t.serve(q, t.log, job.LaneInteractive)
		t.serve(q, t.log, job.LaneBatch)
		var wg sync.WaitGroup
		for range 40 {
			wg.Go(func() {
				a, _, err := q.Ask(t.ctx, interact("x"), 20*time.Second)
				if err != nil {
					t.Error(err)
					return
				}
				if it, err := t.log.Find(t.ctx, a.InteractionID); err != nil || it.Response != a.Response {
					t.Errorf("the interaction of an answer is %+v, %v", it, err)
				}
			})
		}
		wg.Wait()
		later, err := q.Submit(t.ctx, interact("x"))
		if err != nil {
			t.Fatal(err)
		}
		events, err := q.Follow(t.ctx, later.ID, "")
		if err != nil {
			t.Fatal(err)
		}
		for range events { // it has ended after the last
		}
		id := later.ID
		if it, err := t.log.Find(t.ctx, id); err != nil || it.Prompt != "x" {
			t.Errorf("the interaction of a job that nobody waited for is %+v, %v", it, err)
		}
		if n := t.log.redis.XLen(t.ctx, t.log.entriesKey()).Val(); n != 41 {
			t.Errorf("%d lines for 41 answers", n)
		}
	})
}

func interact(prompt string) job.Spec { return job.Spec{Kind: job.KindInteract, Prompt: prompt} }

func TestInteractionLogIsBounded(t *testing.T) {
	eachMode(t, func(t *bundle) {
		log := t.open(Options{Length: 500})
		for range 10 {
			batch := make([]job.Interaction, 200)
			for i := range batch {
				batch[i] = job.Interaction{ID: job.NewID(), Prompt: "x", Reason: job.ReasonUnfamiliar}
			}
			if err := log.Append(t.ctx, batch); err != nil {
				t.Fatal(err)
			}
		}
		log2 := t.open(Options{Length: 500})
		q := t.queue(log2)
		t.serve(q, log2, job.LaneInteractive)
		for range 60 {
			if _, _, err := q.Ask(t.ctx, interact("x"), 20*time.Second); err != nil {
				t.Fatal(err)
			}
		}
		// Redis trims whole nodes of 100.
		if n := log.redis.XLen(t.ctx, log.entriesKey()).Val(); n > 700 {
			t.Errorf("%d entries are kept of 500", n)
		}
		if n := log.redis.XLen(t.ctx, log.listKey(ListRefused)).Val(); n > 300 {
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
		if err := t.log.Append(t.ctx, batch); err != nil {
			t.Fatal(err)
		}
		page, next, err := t.log.Refusals(t.ctx, nil, "", nil)
		if err != nil || next != "" || len(page) != 2 {
			t.Fatalf("page %+v, next %q, error %v", page, next, err)
		}
		if page[0].Count != 6 || page[1].Count != 2 || page[1].Prompt != "Where is my parcel?" {
			t.Errorf("groups are %+v", page)
		}
		if len(page[0].Interactions) != 6 || len(page[0].Variants) != 1 || page[0].LastAt == nil {
			t.Errorf("group is %+v", page[0])
		}
		_, _, err = t.log.Refusals(t.ctx, nil, "x", nil)
		wantCode(t, err, job.CodeInvalid)
	})
}

func TestRefusalsComeInPages(t *testing.T) {
	eachMode(t, func(t *bundle) {
		var batch []job.Interaction
		for i := range refusalPage + 10 {
			prompt := fmt.Sprintf("%c%c%c %d", 'a'+i%26, 'a'+i%25, 'a'+i%23, i*7919)
			batch = append(batch, job.Interaction{ID: job.NewID(), Prompt: prompt})
		}
		if err := t.log.Append(t.ctx, batch); err != nil {
			t.Fatal(err)
		}
		seen := 0
		for cursor, page := "", 0; page == 0 || cursor != ""; page++ {
			groups, next, err := t.log.Refusals(t.ctx, nil, cursor, nil)
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

// The names of the keys and the form of the entries are those of earlier versions: what
// they wrote is read.
func TestWhatEarlierVersionsWroteIsRead(t *testing.T) {
	eachMode(t, func(t *bundle) {
		id, c := job.NewID(), t.provided.Client()
		refused := `{"o":"alice","p":"Where is my parcel?","n":"unfamiliar","h":0.5,"a":1795680572662}`
		for _, key := range []string{"nexus:{log}:interactions", "nexus:{log}:refusals"} {
			if err := c.XAdd(t.ctx, lineOf(key, id, []byte(refused))).Err(); err != nil {
				t.Fatal(err)
			}
		}
		settled := job.Interaction{Prompt: "sing a song"}
		for key, do := range map[string]func(key string) error{
			"nexus:{log}:hits":      func(key string) error { return c.HSet(t.ctx, key, "l1", "3").Err() },
			"nexus:{log}:lasthit":   func(key string) error { return c.HSet(t.ctx, key, "l1", "1795680572662").Err() },
			"nexus:{log}:dropped":   func(key string) error { return c.HSet(t.ctx, key, "interactions", "7").Err() },
			"nexus:{log}:checkruns": func(key string) error { return c.LPush(t.ctx, key, `{"id":"run"}`).Err() },
			"nexus:{log}:usage":     func(key string) error { return c.Set(t.ctx, key, "1", 0).Err() },
			"nexus:{log}:settled": func(key string) error {
				return c.ZAdd(t.ctx, key, redis.Z{Score: 1, Member: refusalID(settled)}).Err()
			},
		} {
			if err := do(key); err != nil {
				t.Fatal(key, err)
			}
		}
		t.refuse("", settled.Prompt)

		if it, err := t.log.Find(t.ctx, id); err != nil || it.Owner != "alice" || it.Reason != job.ReasonUnfamiliar || it.At.UnixMilli() != 1795680572662 {
			t.Errorf("the interaction is %+v, %v", it, err)
		}
		if j, err := t.log.Job(t.ctx, id); err != nil || j.Kind != job.KindInteract || j.State != job.StateSucceeded || j.Owner != "alice" || j.Attempts != 1 {
			t.Errorf("the job is %+v, %v", j, err)
		}
		if page, _, err := t.log.Refusals(t.ctx, nil, "", nil); err != nil || len(page) != 1 || page[0].Interactions[0] != id {
			t.Errorf("the refusals are %+v, %v", page, err)
		}
		if hits, err := t.log.HitsOf(t.ctx, []string{"l1"}); err != nil || hits[0] != (Hits{3, 1795680572662}) {
			t.Errorf("the hits are %+v, %v", hits, err)
		}
		if n, err := t.log.Dropped(t.ctx); err != nil || n != 7 {
			t.Errorf("%d were dropped, %v", n, err)
		}
		if u, known, err := t.log.Usage(t.ctx); err != nil || !known || len(u.Runs) != 1 || u.Lessons["l1"] != [2]int64{3, 1795680572662} {
			t.Errorf("the usage is %+v, %v, %v", u, known, err)
		}
	})
}
