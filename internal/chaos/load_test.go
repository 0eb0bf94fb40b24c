package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nexus-continuum/nexus/job/jobtest"
)

// ledger is what callers were promised.
type ledger struct {
	f    *fleet
	name string

	mu      sync.Mutex
	jobs    map[string]string // id by Idempotency-Key
	lessons map[string]string // response by prompt
	follows sync.WaitGroup    // followers of jobs, from their making
	asked   atomic.Int64
	given   []string // the most recent answers that were given
	refused atomic.Int64
}

func newLedger(f *fleet, name string) *ledger {
	return &ledger{f: f, name: name, jobs: map[string]string{}, lessons: map[string]string{}}
}

// load submits jobs, asks and teaches from several callers until ctx ends and
// jobs were acknowledged. Whatever has no answer is repeated with the same key,
// as callers do.
func (l *ledger) load(ctx context.Context, wg *sync.WaitGroup, jobs int) {
	const callers = 6
	give, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	l.f.Cleanup(cancel)
	for c := range callers {
		wg.Go(func() {
			for i := 0; i < jobs/callers || ctx.Err() == nil; i++ {
				if give.Err() != nil {
					l.f.Errorf("the load could not be done")
					return
				}
				if i < jobs/callers {
					l.submit(give, fmt.Sprintf("%s-%d-%d", l.name, c, i))
				}
				l.ask(ctx)
			}
		})
	}
	wg.Go(func() {
		for i := 0; i < 2 || ctx.Err() == nil && i < 40; i++ {
			l.teach(give, i)
			pause(ctx, 300*time.Millisecond)
		}
	})
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// insist repeats a request until it is acknowledged.
func (l *ledger) insist(ctx context.Context, path string, body any, key string) (id string) {
	for ctx.Err() == nil {
		var j struct{ ID string }
		code, err := l.f.call(ctx, "POST", path, body, &j, "Idempotency-Key", key, "Prefer", "respond-async")
		if err == nil && code == http.StatusAccepted {
			return j.ID
		}
		if err == nil && code != http.StatusServiceUnavailable && code != http.StatusConflict && code < 500 {
			l.f.Errorf("%s is answered %d", path, code)
			return ""
		}
		l.refused.Add(1)
		pause(ctx, 50*time.Millisecond)
	}
	return ""
}

func (l *ledger) submit(ctx context.Context, key string) {
	id := l.insist(ctx, "/api/jobs", map[string]any{"kind": "interact", "prompt": "how is " + key, "topic": l.name}, key)
	if id == "" {
		return
	}
	l.mu.Lock()
	l.jobs[key] = id
	n := len(l.jobs)
	l.mu.Unlock()
	if n%followEach == 0 {
		l.follows.Go(func() { l.history(id) })
	}
}

// followEach is of how many jobs one is followed from its making to its end.
const followEach = 8

// ask must be answered: with the answer, a job, or a refusal that says when to
// come again.
func (l *ledger) ask(ctx context.Context) {
	var a struct {
		Interaction string `json:"interaction_id"`
	}
	code, err := l.f.call(ctx, "POST", "/api/interact", map[string]string{"prompt": "where is the invoice archive"}, &a, "Prefer", "wait=10")
	switch {
	case ctx.Err() != nil:
	case err != nil:
		l.f.Errorf("an ask: %v", err)
	case code == http.StatusOK || code == http.StatusAccepted:
		l.asked.Add(1)
		if code == http.StatusOK {
			l.mu.Lock()
			l.given = append(l.given, a.Interaction)
			l.mu.Unlock()
		}
	case code == http.StatusServiceUnavailable:
		l.refused.Add(1)
		pause(ctx, 20*time.Millisecond)
	default:
		l.f.Errorf("an ask is answered %d", code)
	}
}

func (l *ledger) teach(ctx context.Context, i int) {
	prompt := fmt.Sprintf("Where does %s keep box number %d?", l.name, 100+7*i)
	response := fmt.Sprintf("On shelf %d of %s.", i, l.name)
	key := fmt.Sprintf("%s-lesson-%d", l.name, i)
	body := map[string]any{"topic": l.name, "lessons": []map[string]string{{"prompt": prompt, "response": response}}}
	if id := l.insist(ctx, "/api/lessons", body, key); id != "" {
		l.mu.Lock()
		l.lessons[prompt], l.jobs[key] = response, id
		l.mu.Unlock()
	}
}

// check waits until everything has come to rest and holds it against the ledger.
func (l *ledger) check(before footprint) {
	f := l.f
	f.Helper()
	ctx := context.Background()
	f.ready()
	mine := map[string]bool{}
	for key, id := range l.jobs {
		if mine[id] {
			f.Errorf("two keys have the job %s", id)
		}
		mine[id] = true
		f.eventually("job "+id+" of "+key+" has ended", func() bool {
			var j struct {
				State string
				Error *struct{ Detail string }
			}
			code, err := f.call(ctx, "GET", "/api/jobs/"+id, nil, &j)
			if err == nil && code == http.StatusNotFound {
				f.Fatalf("the acknowledged job %s of %s is gone", id, key)
			}
			if j.State == "failed" || j.State == "canceled" {
				f.Fatalf("job %s of %s is %s: %+v", id, key, j.State, j.Error)
			}
			return err == nil && j.State == "succeeded"
		})
	}
	l.follows.Wait()
	for id := range mine {
		l.history(id) // of most the end alone
	}
	l.countJobs(mine)
	l.canBeJudged()
	for prompt, response := range l.lessons {
		f.eventually(fmt.Sprintf("%q answers", prompt), func() bool {
			var a struct {
				Response  string
				Responded bool
			}
			code, err := f.call(ctx, "POST", "/api/interact", map[string]string{"prompt": prompt, "topic": l.name}, &a)
			return err == nil && code == http.StatusOK && a.Responded && a.Response == response
		})
	}
	l.countLessons()
	var after footprint
	f.eventually("goroutines and files of the API are as before", func() bool {
		var err error
		after, err = f.footprint()
		return err == nil && after.goroutines <= before.goroutines+30 && after.files <= before.files+40
	})
	f.Logf("%s: %d jobs, %d asks answered, %d refusals, %d lessons; %+v before, %+v after", l.name, len(l.jobs), l.asked.Load(), l.refused.Load(), len(l.lessons), before, after)
	if l.asked.Load() == 0 || len(l.jobs) == 0 || len(l.lessons) == 0 {
		f.Error("there was no load")
	}
}

// history holds what is told of a job against the state machine, as often resumed
// as it takes.
func (l *ledger) history(id string) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	var events []jobtest.Event
	for {
		if err := l.resume(ctx, id, &events); ctx.Err() != nil {
			l.f.Errorf("the events of job %s did not end: %v; %s", id, err, jobtest.Words(events))
			return
		}
		if n := len(events); n > 0 && events[n-1].Type == "result" {
			break
		}
		pause(ctx, 100*time.Millisecond)
	}
	if err := jobtest.Check(events); err != nil {
		l.f.Errorf("job %s: %v", id, err)
	}
}

// resume reads the events after those that came, until the connection ends.
func (l *ledger) resume(ctx context.Context, id string, events *[]jobtest.Event) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.f.url+"/api/jobs/"+id+"/events", nil)
	if err != nil {
		return err
	}
	if n := len(*events); n > 0 {
		req.Header.Set("Last-Event-ID", (*events)[n-1].ID)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", res.StatusCode)
	}
	var e jobtest.Event
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		switch name, value, _ := strings.Cut(lines.Text(), ": "); name {
		case "id":
			e.ID = value
		case "event":
			e.Type = value
		case "data":
			e.Data = json.RawMessage(value)
			*events = append(*events, e)
		}
	}
	return lines.Err()
}

// countJobs looks for jobs that nobody was told of: effects that were doubled.
func (l *ledger) countJobs(mine map[string]bool) {
	l.f.Helper()
	for _, kind := range []string{"interact", "train"} {
		for cursor := ""; ; {
			var page struct {
				Jobs []struct{ ID, State, Topic string }
				Next *string `json:"next_cursor"`
			}
			l.f.eventually("jobs are listed", func() bool {
				code, err := l.f.call(context.Background(), "GET", "/api/jobs?limit=100&kind="+kind+"&cursor="+cursor, nil, &page)
				return err == nil && code == http.StatusOK
			})
			for _, j := range page.Jobs {
				if !mine[j.ID] && j.Topic == l.name {
					l.f.Errorf("the %s job %s is nobody's: another was doubled", kind, j.ID)
				}
			}
			if page.Next == nil {
				break
			}
			cursor = *page.Next
		}
	}
}

// judgedMost is how many answers are looked up: the log is bounded.
const judgedMost = 2000

// canBeJudged looks up the answers that were given: feedback finds each in the log,
// whoever was killed when.
func (l *ledger) canBeJudged() {
	l.f.Helper()
	lost := 0
	for _, id := range l.given[max(0, len(l.given)-judgedMost):] {
		var code int
		l.f.eventually("an interaction is looked up", func() (ok bool) {
			var err error
			code, err = l.f.call(context.Background(), "GET", "/api/jobs/"+id, nil, nil)
			return err == nil && code < 500
		})
		if code != http.StatusOK {
			lost++
		}
	}
	if lost > 0 {
		l.f.Errorf("%d of the last %d answers that were given cannot be judged", lost, min(len(l.given), judgedMost))
	}
}

func (l *ledger) countLessons() {
	l.f.Helper()
	var page struct{ Lessons []struct{ Prompt string } }
	code, err := l.f.call(context.Background(), "GET", "/api/lessons?limit=500&topic="+l.name, nil, &page)
	if err != nil || code != http.StatusOK || len(page.Lessons) != len(l.lessons) {
		l.f.Errorf("%d lessons are known of %d (status %d, %v)", len(page.Lessons), len(l.lessons), code, err)
	}
}
