package queue

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/job/jobtest"
	"github.com/nexus-continuum/nexus/queue/provider"
)

var (
	simSchedules = flag.Int("sim.schedules", 300, "schedules of TestSimulation; make sim runs 100 000")
	simSeed      = flag.Uint64("sim.seed", 0, "run this one schedule and print its steps")
	simFirst     = flag.Uint64("sim.first", 1, "seed of the first schedule")
)

// A schedule is a random sequence of what may happen to a few jobs: submitting,
// asking, taking, ending, crashing, coming back late, cancelling, the passing of
// time, evicted tasks, the looks of the reconciler. The transitions are the real
// scripts on a real Redis, called by the real code around them; only their clock
// is false. After it everything is let come to rest, and then every job has
// ended, once, by steps that the state machine allows. A seed that fails is
// printed and runs again with -sim.seed.
func TestSimulation(t *testing.T) {
	t.Parallel()
	mode := provider.Embedded
	if _, err := exec.LookPath("redis-server"); err == nil {
		mode = provider.Child
	}
	b := setup(t, mode, Options{})
	seeds := make(chan uint64)
	go func() {
		defer close(seeds)
		if *simSeed != 0 {
			seeds <- *simSeed
			return
		}
		for i := range uint64(*simSchedules) {
			seeds <- *simFirst + i
		}
	}()
	unix := b.provided.Client().(*redis.Client).Options()
	steps := map[string]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for db := 1; db <= 2; db++ {
		opt := *unix
		opt.DB, opt.PoolSize = db, 4
		client := redis.NewClient(&opt)
		t.Cleanup(func() { _ = client.Close() })
		wg.Go(func() {
			for seed := range seeds {
				if t.Failed() {
					continue
				}
				s := newSimulation(t, client, seed)
				if err := s.run(); err != nil {
					t.Errorf("seed %d: %v\nsteps: %s\nagain with: go test ./queue -run TestSimulation -sim.seed %d", seed, err, strings.Join(s.steps, "; "), seed)
				} else if *simSeed != 0 {
					t.Logf("seed %d: %s", seed, strings.Join(s.steps, "; "))
				}
				mu.Lock()
				for _, step := range s.steps {
					name, _, _ := strings.Cut(step, " ")
					steps[name]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if *simSeed != 0 || t.Failed() {
		return
	}
	t.Log(steps)
	for _, name := range slices.Sorted(maps.Keys(actions)) {
		if steps[name] == 0 {
			t.Errorf("no schedule had the step %s", name)
		}
	}
}

// simulation is one schedule.
type simulation struct {
	*testing.T
	ctx   context.Context
	rand  *rand.Rand
	q     *Queue
	keys  laneKeys
	redis *redis.Client
	now   float64 // seconds
	steps []string

	jobs    []*simJob
	workers []*simWorker
	late    []*simTask // of workers that crashed; they come back
	token   int64
}

type simJob struct {
	spec     job.Spec
	asked    bool // a caller waits
	recorded bool
	gone     bool // its caller went away, or its process died
	taker    *Server
	ends     int  // written ends that were accepted
	canceled bool // Cancel said that it ended
}

type simWorker struct {
	server *Server
	tasks  []*simTask
}

// simTask is a task in a worker's hands.
type simTask struct {
	server  *Server
	task    *Task
	job     *simJob
	payload payload
	begun   bool
	over    bool // its deadline had passed when it was taken
}

func newSimulation(t *testing.T, client *redis.Client, seed uint64) *simulation {
	s := &simulation{T: t, ctx: context.Background(), rand: rand.New(rand.NewPCG(seed, 7)), redis: client, now: 1_700_000_000}
	s.q = Open(Options{Redis: client, Timeout: 20 * time.Second, MaxQueue: 5, Now: func() time.Time { return time.UnixMilli(int64(s.now * 1000)) }})
	s.q.scripts = simScripts()
	s.keys = s.q.keys(job.LaneInteractive)
	return s
}

// simScripts are the real ones with a clock that the simulation sets.
var simScripts = sync.OnceValue(func() *scripts {
	return loadScripts(200, strings.Replace(source("shared/clock"), "redis.call('TIME')", "{redis.call('GET', 'sim:now'), '0'}", 1))
})

// actions are the steps and how often each is drawn.
var actions = map[string]struct {
	weight int
	do     func(*simulation) error
}{
	"submit":    {6, (*simulation).submit},
	"ask":       {5, (*simulation).ask},
	"outlive":   {3, (*simulation).outlive},
	"abandon":   {1, (*simulation).abandon},
	"callerDie": {1, (*simulation).callerDies},
	"take":      {8, (*simulation).take},
	"loseTake":  {1, (*simulation).loseTake},
	"begin":     {10, (*simulation).begin},
	"succeed":   {5, (*simulation).succeed},
	"fail":      {1, (*simulation).fail},
	"handBack":  {2, (*simulation).handBack},
	"retry":     {2, (*simulation).retry},
	"progress":  {2, (*simulation).progress},
	"crash":     {3, (*simulation).crashWorker},
	"comeBack":  {3, (*simulation).comeBack},
	"cancel":    {3, (*simulation).cancel},
	"pass":      {5, (*simulation).pass},
	"look":      {5, (*simulation).look},
	"evict":     {1, (*simulation).evict},
	"pause":     {1, (*simulation).pause},
	"forward":   {2, (*simulation).forward},
	"repeat":    {1, (*simulation).repeat},
}

func (s *simulation) run() error {
	defer func() { _ = s.q.Stop(s.ctx) }()
	if err := s.redis.FlushDB(s.ctx).Err(); err != nil {
		return err
	}
	if err := s.tick(0); err != nil {
		return err
	}
	for range 2 {
		s.hire()
	}
	total := 0
	names := slices.Sorted(maps.Keys(actions))
	for _, n := range names {
		total += actions[n].weight
	}
	for range 12 + s.rand.IntN(30) {
		n, name := s.rand.IntN(total), ""
		for _, name = range names {
			if n -= actions[name].weight; n < 0 {
				break
			}
		}
		s.steps = append(s.steps, name)
		if err := actions[name].do(s); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := s.consistent(); err != nil {
			return fmt.Errorf("after %s: %w", name, err)
		}
	}
	if err := s.rest(); err != nil {
		return fmt.Errorf("come to rest: %w", err)
	}
	return s.check()
}

// note adds to the last step.
func (s *simulation) note(format string, args ...any) {
	s.steps[len(s.steps)-1] += " " + fmt.Sprintf(format, args...)
}

func (s *simulation) tick(d float64) error {
	s.now += d
	return s.redis.Set(s.ctx, "sim:now", fmt.Sprintf("%.3f", s.now), 0).Err()
}

func (s *simulation) hire() {
	w := &simWorker{server: s.q.Serve(job.LaneInteractive, 2, nil)}
	w.server.renewLiveness(s.ctx)
	s.workers = append(s.workers, w)
}

func pick[T any](s *simulation, of []T) (v T, ok bool) {
	if len(of) == 0 {
		return v, false
	}
	return of[s.rand.IntN(len(of))], true
}

func (s *simulation) submit() error {
	spec := job.Spec{Kind: job.KindInteract, Lane: job.LaneInteractive, Prompt: "x"}
	if s.rand.IntN(3) == 0 {
		spec.Deadline = s.q.now().Add(time.Duration(1+s.rand.IntN(40_000)) * time.Millisecond)
	}
	j, err := s.q.Submit(s.ctx, spec)
	if err != nil {
		return s.refused(err)
	}
	spec.ID = j.ID
	s.jobs = append(s.jobs, &simJob{spec: spec, recorded: true})
	s.note("%d", len(s.jobs)-1)
	return s.follow(spec.ID)
}

func (s *simulation) refused(err error) error {
	if job.AsError(err).Code == job.CodeQueueFull {
		s.note("refused")
		return nil
	}
	return err
}

func (s *simulation) ask() error {
	spec := job.Spec{Kind: job.KindInteract, Lane: job.LaneInteractive, Prompt: "x", ReplyTo: s.q.id}
	if err := s.q.fillSpec(&spec); err != nil {
		return err
	}
	wait := time.Duration(1+s.rand.IntN(30)) * time.Second
	if _, err := s.q.put(s.ctx, payload{Spec: spec, WaitEnds: s.q.now().Add(wait).UnixMilli()}, noRecord, wait); err != nil {
		return s.refused(err)
	}
	s.jobs = append(s.jobs, &simJob{spec: spec, asked: true})
	s.note("%d", len(s.jobs)-1)
	return nil
}

// waiting returns a job whose caller waits still.
func (s *simulation) waiting() (*simJob, bool) {
	var all []*simJob
	for _, j := range s.jobs {
		if j.asked && !j.recorded && !j.gone && j.ends == 0 {
			all = append(all, j)
		}
	}
	j, ok := pick(s, all)
	if ok {
		s.note("%d", slices.Index(s.jobs, j))
	}
	return j, ok
}

func (s *simulation) outlive() error {
	j, ok := s.waiting()
	if !ok {
		return nil
	}
	return s.recordOf(j)
}

func (s *simulation) recordOf(j *simJob) error {
	args := append([]any{s.keys.own, j.spec.ID}, recordFields(j.spec)...)
	state, err := s.q.scripts.detach.Run(s.ctx, s.redis, []string{s.keys.task(j.spec.ID)}, args...).Text()
	if err != nil {
		return err
	}
	j.recorded = state != "gone"
	if state == "gone" {
		j.gone = true // evicted: its caller is told 503
		return nil
	}
	return s.follow(j.spec.ID)
}

// follow has the events of a job kept, for checkJob.
func (s *simulation) follow(id string) error {
	return s.q.scripts.follow.Run(s.ctx, s.redis, []string{s.keys.record(id), s.keys.events(id)}, s.keys.own, id).Err()
}

func (s *simulation) abandon() error {
	j, ok := s.waiting()
	if !ok {
		return nil
	}
	j.gone = true
	s.q.cancelWait(s.ctx, job.LaneInteractive, j.spec.ID)
	return nil
}

func (s *simulation) callerDies() error {
	j, ok := s.waiting()
	if ok {
		j.gone = true
	}
	return nil
}

func (s *simulation) dequeue(server *Server, most int) ([]*simTask, error) {
	k := s.keys
	got, err := s.q.scripts.dequeue.Run(s.ctx, s.redis, []string{k.pending(), k.paused(), k.active(), k.lease()},
		int64(s.now)+30, k.tasks(), server.id, most, k.own, s.rand.IntN(4) < 3).StringSlice()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []*simTask
	for i := 0; i+3 < len(got); i += 4 {
		at := slices.IndexFunc(s.jobs, func(j *simJob) bool { return j.spec.ID == got[i] })
		if at < 0 {
			return nil, fmt.Errorf("task %s is nobody's", got[i])
		}
		s.note("%d", at)
		j := s.jobs[at]
		j.taker = server
		p := payload{Spec: j.spec}
		taken := &simTask{
			server: server, job: j, payload: p, over: got[i+2] != "" && strings.HasPrefix(got[i+2], "-"),
			task: &Task{Spec: p.Spec, Attempt: 1, s: server, cancel: func(error) {}},
		}
		if attempt, err := strconv.Atoi(got[i+3]); err == nil {
			taken.task.Attempt = attempt
			taken.task.recorded.Store(true)
		}
		out = append(out, taken)
	}
	return out, nil
}

func (s *simulation) take() error {
	w, ok := pick(s, s.workers)
	if !ok || len(w.tasks) >= 2 {
		return nil
	}
	tasks, err := s.dequeue(w.server, 2-len(w.tasks))
	w.tasks = append(w.tasks, tasks...)
	return err
}

// loseTake is a dequeue whose reply is lost; two looks later the worker frees it.
func (s *simulation) loseTake() error {
	w, ok := pick(s, s.workers)
	if !ok {
		return nil
	}
	_, err := s.dequeue(w.server, 1)
	return err
}

// begin does with a task what Server.process does before the handler.
func (s *simulation) begin() error {
	w, ok := pick(s, s.workers)
	if !ok {
		return nil
	}
	for _, t := range w.tasks {
		if !t.begun {
			return s.beginTask(w, t)
		}
	}
	return nil
}

func (s *simulation) beginTask(w *simWorker, t *simTask) error {
	s.note("%d", slices.Index(s.jobs, t.job))
	t.begun = true
	if t.over {
		return s.end(w, t, outcome{state: job.StateFailed, err: timeoutError()})
	}
	if t.job.asked && !t.job.recorded || t.task.recorded.Load() {
		return nil
	}
	o, stop := t.server.begin(s.ctx, t.task)
	switch {
	case stop && o != nil:
		return s.end(w, t, *o)
	case stop:
		w.tasks = slices.DeleteFunc(w.tasks, func(x *simTask) bool { return x == t })
	}
	return nil
}

// running returns a task whose handler runs, and takes it from its worker.
func (s *simulation) running() (*simWorker, *simTask) {
	for _, i := range s.rand.Perm(len(s.workers)) {
		w := s.workers[i]
		for _, t := range w.tasks {
			if t.begun {
				s.note("%d", slices.Index(s.jobs, t.job))
				return w, t
			}
		}
	}
	return nil, nil
}

func (s *simulation) ending(o outcome) error {
	w, t := s.running()
	if t == nil {
		return nil
	}
	return s.end(w, t, o)
}

func (s *simulation) succeed() error {
	return s.ending(outcome{state: job.StateSucceeded, result: job.Answer{Response: "x"}})
}

func (s *simulation) fail() error {
	return s.ending(outcome{state: job.StateFailed, err: job.Errorf(job.CodeInternal, "it failed")})
}

func (s *simulation) handBack() error {
	after := time.Duration(s.rand.IntN(2)*5) * time.Second
	return s.ending(outcome{state: job.StateQueued, why: "not now", after: after, refund: true})
}

func (s *simulation) retry() error {
	return s.ending(outcome{state: job.StateQueued, why: "it failed", after: time.Second})
}

func (s *simulation) progress() error {
	_, t := s.running()
	if t != nil {
		t.task.write(s.ctx, []byte(`{"phase":"x","done":1,"total":2,"message":""}`))
	}
	return nil
}

// end writes what became of a task as Server.settle does.
func (s *simulation) end(w *simWorker, t *simTask, o outcome) error {
	if w != nil {
		w.tasks = slices.DeleteFunc(w.tasks, func(x *simTask) bool { return x == t })
		t.server.removeInflight(t.task.Spec.ID)
	}
	for {
		verdict, err := t.server.write(s.ctx, t.task, time.Time{}, t.task.end(), nil, o)
		if err != nil {
			return err
		}
		s.note("%s", verdict)
		switch {
		case verdict == "canceled":
			o = outcome{state: job.StateCanceled, err: canceledError()}
			continue
		case verdict == "ok" && t.job.taker != t.server:
			return fmt.Errorf("the job was taken by another since, and this end was accepted")
		case verdict == "ok" && o.state.Final():
			t.job.ends++
		}
		return nil
	}
}

// crashWorker ends a worker without a word. What it had in hand may yet come.
func (s *simulation) crashWorker() error {
	if len(s.workers) == 0 {
		return nil
	}
	i := s.rand.IntN(len(s.workers))
	w := s.workers[i]
	s.late = append(s.late, w.tasks...)
	s.workers = slices.Delete(s.workers, i, i+1)
	if err := s.redis.Del(s.ctx, s.keys.owner(w.server.id)).Err(); err != nil {
		return err
	}
	s.hire()
	return nil
}

// comeBack is a worker that was taken for dead and writes its end after all.
func (s *simulation) comeBack() error {
	if len(s.late) == 0 {
		return nil
	}
	i := s.rand.IntN(len(s.late))
	t := s.late[i]
	s.late = slices.Delete(s.late, i, i+1)
	if !t.begun {
		return nil
	}
	s.note("%d", slices.Index(s.jobs, t.job))
	o := outcome{state: job.StateSucceeded, result: job.Answer{Response: "late"}}
	if s.rand.IntN(2) == 0 {
		o = outcome{state: job.StateQueued, why: "late", refund: true}
	}
	return s.end(nil, t, o)
}

func (s *simulation) cancel() error {
	j, ok := pick(s, s.jobs)
	if !ok || !j.recorded {
		return nil
	}
	s.note("%d", slices.Index(s.jobs, j))
	got, err := s.q.Cancel(s.ctx, j.spec.ID)
	if err != nil {
		if code := job.AsError(err).Code; code == job.CodeJobEnded {
			return nil
		}
		return err
	}
	j.canceled = got.State == job.StateCanceled
	return nil
}

func (s *simulation) pass() error {
	d := []float64{0.05, 1, 5, 20}[s.rand.IntN(4)]
	s.note("%.2f s", d)
	return s.tick(d)
}

// scan is the reconciler's, and the stray watch of each worker.
func (s *simulation) look() error {
	s.token++
	r := reconciler{q: s.q, lane: job.LaneInteractive, keys: s.keys, me: s.q.id}
	if n := r.claimScan(s.ctx, s.token, 2*time.Second); n != 1 {
		return fmt.Errorf("turn is %d", n)
	}
	r.scan(s.ctx, 0)
	r.failOverdue(s.ctx)
	for _, w := range s.workers {
		w.server.renewLiveness(s.ctx)
		suspects := map[string]bool{}
		for _, t := range w.tasks {
			w.server.inflight[t.task.Spec.ID] = inflight{times: 1}
		}
		suspects = w.server.freeOrphans(s.ctx, suspects)
		w.server.freeOrphans(s.ctx, suspects)
		clear(w.server.inflight)
	}
	return nil
}

// evict takes a task away under everybody's hands.
func (s *simulation) evict() error {
	j, ok := pick(s, s.jobs)
	if !ok {
		return nil
	}
	s.note("%d", slices.Index(s.jobs, j))
	if j.asked && !j.recorded {
		j.gone = true
	}
	return s.redis.Del(s.ctx, s.keys.task(j.spec.ID)).Err()
}

func (s *simulation) pause() error {
	return s.q.PauseLane(s.ctx, job.LaneInteractive, s.rand.IntN(2) == 0, "by hand")
}

func (s *simulation) forward() error {
	return s.q.scripts.forward.Run(s.ctx, s.redis, []string{s.keys.retry(), s.keys.pending()}, s.keys.tasks(), s.keys.own, "").Err()
}

// repeat submits a job again, as a repeated request does.
func (s *simulation) repeat() error {
	j, ok := pick(s, s.jobs)
	if !ok || !j.recorded || j.asked {
		return nil
	}
	_, err := s.q.Submit(s.ctx, j.spec)
	return err
}

// rest lets everything come to its end with workers that do not fail.
func (s *simulation) rest() error {
	s.steps = append(s.steps, "rest")
	if err := s.q.PauseLane(s.ctx, job.LaneInteractive, false, ""); err != nil {
		return err
	}
	for _, j := range s.jobs {
		if j.asked && !j.recorded && !j.gone && j.ends == 0 {
			if err := s.recordOf(j); err != nil {
				return err
			}
		}
	}
	for round := range 12 {
		if round > 4 && s.quiet() {
			break
		}
		if err := s.tick(11); err != nil {
			return err
		}
		if err := s.look(); err != nil {
			return err
		}
		if err := s.forward(); err != nil {
			return err
		}
		for _, w := range s.workers {
			more, err := s.dequeue(w.server, 16)
			if err != nil {
				return err
			}
			w.tasks = append(w.tasks, more...)
			for _, t := range slices.Clone(w.tasks) {
				if !t.begun {
					if err := s.beginTask(w, t); err != nil {
						return err
					}
				}
				if slices.Contains(w.tasks, t) {
					if err := s.end(w, t, outcome{state: job.StateSucceeded, result: job.Answer{Response: "x"}}); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// consistent holds tasks against records after every step: they change together.
func (s *simulation) consistent() error {
	pipe := s.redis.Pipeline()
	type pair struct {
		task   *redis.StringCmd
		record *redis.SliceCmd
	}
	pairs := make([]pair, len(s.jobs))
	line := pipe.LRange(s.ctx, s.keys.pending(), 0, -1)
	for i, j := range s.jobs {
		pairs[i] = pair{pipe.HGet(s.ctx, s.keys.task(j.spec.ID), "state"), pipe.HMGet(s.ctx, s.keys.record(j.spec.ID), "state", "cancel")}
	}
	_, _ = pipe.Exec(s.ctx) // redis.Nil where there is none
	for at, id := range line.Val() {
		if slices.Contains(line.Val()[:at], id) {
			return fmt.Errorf("job %d stands in line twice", slices.IndexFunc(s.jobs, func(j *simJob) bool { return j.spec.ID == id }))
		}
	}
	for i, p := range pairs {
		task, state := p.task.Val(), ""
		if v := p.record.Val(); len(v) == 2 && v[0] != nil {
			state, _ = v[0].(string)
			if v[1] != nil && state != string(job.StateRunning) {
				return fmt.Errorf("job %d is to be canceled and %s", i, state)
			}
		}
		waits := task == "pending" || task == "retry"
		if waits && state != "" && state != string(job.StateQueued) {
			return fmt.Errorf("the task of job %d is %s, its record %s", i, task, state)
		}
		if task != "" && job.State(state).Final() {
			return fmt.Errorf("job %d is %s and has a task", i, state)
		}
	}
	return nil
}

// quiet reports whether nothing is left to do.
func (s *simulation) quiet() bool {
	k := s.keys
	return s.redis.Exists(s.ctx, k.pending(), k.active(), k.retry(), k.deadlines(),
		k.stateIndex(job.StateQueued), k.stateIndex(job.StateRunning)).Val() == 0
}

// check holds what is left against what was promised.
func (s *simulation) check() error {
	for i, j := range s.jobs {
		if err := s.checkJob(j); err != nil {
			return fmt.Errorf("job %d (%s): %w", i, j.spec.ID, err)
		}
	}
	k := s.keys
	for name, key := range map[string]string{
		"pending": k.pending(), "active": k.active(), "lease": k.lease(), "retry": k.retry(), "scheduled": k.scheduled(),
		"deadlines": k.deadlines(), "queued": k.stateIndex(job.StateQueued), "running": k.stateIndex(job.StateRunning),
	} {
		if n := s.redis.Exists(s.ctx, key).Val(); n != 0 {
			return fmt.Errorf("something is left in %s", name)
		}
	}
	if left := s.redis.Keys(s.ctx, k.tasks()+"*").Val(); len(left) > 0 {
		return fmt.Errorf("tasks are left: %v", left)
	}
	return nil
}

func (s *simulation) checkJob(j *simJob) error {
	if j.ends > 1 {
		return fmt.Errorf("it ended %d times", j.ends)
	}
	if !j.recorded {
		if j.ends == 0 && !j.gone {
			return fmt.Errorf("its caller waits for ever")
		}
		return nil
	}
	got, _, err := s.q.readRecord(s.ctx, j.spec.ID)
	if err != nil {
		return err
	}
	switch {
	case !got.State.Final():
		return fmt.Errorf("it is %s", got.State)
	case j.canceled && got.State != job.StateCanceled:
		return fmt.Errorf("it was canceled and is %s", got.State)
	case got.State == job.StateSucceeded && got.Result == nil:
		return fmt.Errorf("it has no result")
	case got.State != job.StateSucceeded && got.Error == nil:
		return fmt.Errorf("it is %s without an error", got.State)
	}
	entries, err := s.redis.XRange(s.ctx, s.keys.events(j.spec.ID), "-", "+").Result()
	if err != nil {
		return err
	}
	var history []jobtest.Event
	for _, e := range entries {
		kind, _ := e.Values["t"].(string)
		data, _ := e.Values["d"].(string)
		history = append(history, jobtest.Event{ID: e.ID, Type: kind, Data: json.RawMessage(data)})
	}
	return jobtest.Check(history)
}
