package queue

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/nexus-continuum/nexus/internal/lifecycle"
	"github.com/nexus-continuum/nexus/internal/redisreply"
	"github.com/nexus-continuum/nexus/job"
)

// ErrFormer is returned by Reconcile if a leader with a later token has been at work.
var ErrFormer = errors.New("another leader has a later token")

const (
	// orphanScanPasses is how many passes lie between two searches for records without a
	// task. Such records are rare, and the search costs more.
	orphanScanPasses = 15
	// maxScanInterval is how often each lane is checked. Changes that operators make with
	// asynq's tools are noticed within two passes.
	maxScanInterval = time.Second
	// recheckDelay is the delay before a second check after a pass that found a process
	// gone.
	recheckDelay = 300 * time.Millisecond
	maxOrphans   = 10_000
	maxAbandoned = 1_000
	maxOverdue   = 500
)

// Reconcile checks every lane and repairs what processes have left behind, until ctx
// ends: tasks of dead workers, ids without a task, records without a task, waiting
// prompts whose caller's process is gone, jobs whose deadline passed while they waited,
// and records past their retention. One process in the cluster does this, the holder of
// a lease; token is its fencing token. While no process does, the workers of a lane
// check it in turn.
func (q *Queue) Reconcile(ctx context.Context, token int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	news := newNotifier()
	more := q.shards.whenAdded()
	var lanes []reconciler
	for _, l := range q.shards.of(job.Lanes()...) {
		r := reconciler{q: q, lane: l, keys: q.keys(l), me: q.id, listens: q.keys(l).deadline()}
		lanes = append(lanes, r)
		defer q.Listen(ctx, r.keys.deadline(), func(string, bool) { news.notify() })()
	}
	every := q.scanInterval()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var looked time.Time
	for round := 0; ; {
		select {
		case <-timer.C:
		case <-news:
		case <-more:
			return q.Reconcile(ctx, token) // over all of them
		case <-ctx.Done():
			return nil
		case <-q.life.Done():
			return nil
		}
		next := every
		full := looked.IsZero() || time.Since(looked) >= every
		for _, r := range lanes {
			if full {
				switch r.claimScan(ctx, token, every) {
				case -1:
					return ErrFormer
				case 1:
					r.scan(ctx, round)
				}
			}
			if due := r.failOverdue(ctx); due >= 0 {
				next = min(next, due)
			}
		}
		if full {
			looked = time.Now()
			round++
		}
		timer.Reset(max(min(next, every-time.Since(looked)), 0))
	}
}

// scanInterval is how often each lane is checked and signs of life are renewed.
func (q *Queue) scanInterval() time.Duration { return min(q.opt.Liveness/3, maxScanInterval) }

// reconciler checks one lane.
type reconciler struct {
	q    *Queue
	lane job.Lane
	keys laneKeys
	me   string // owner of what it gives up
	// listens is a channel of this process; empty if there is none.
	listens string
}

// claimScan asks whether it is this process's turn: 1 means yes, 0 no, -1 never again.
func (r *reconciler) claimScan(ctx context.Context, token int64, every time.Duration) int {
	ctx, cancel := r.q.withTimeout(ctx)
	defer cancel()
	n, err := r.q.scripts.claimScan.Run(ctx, r.q.redis, []string{r.keys.own + "turn", r.keys.own + "leader"}, token, every.Milliseconds()).Int()
	if err != nil {
		return 0 // Redis is away; the next look asks again
	}
	return n
}

// scan finds and repairs. A failed step is tried again in the next pass. It reports
// whether tasks were queued again. round counts the passes: rare problems that cost
// more to find are not searched for in every pass.
func (r *reconciler) scan(ctx context.Context, round int) (queued bool) {
	queued, suspects, old := r.sweep(ctx, false, nil)
	if suspects > 0 && lifecycle.Sleep(ctx, recheckDelay) {
		again, _, _ := r.sweep(ctx, true, nil)
		queued = queued || again
	}
	if len(old) > 0 {
		queued = r.sweepUnheard(ctx, old) || queued
	}
	if lost := r.followOperators(ctx); lost || round%orphanScanPasses == 0 {
		r.requeueOrphans(ctx)
	}
	if round%3 != 0 {
		return queued
	}
	rctx, cancel := r.q.withTimeout(ctx)
	defer cancel()
	k := r.keys
	if n, err := r.q.scripts.abandoned.Run(rctx, r.q.redis, []string{k.pending()}, k.own, k.tasks(), maxAbandoned).Int(); err == nil && n > 0 {
		r.q.opt.Log.Warn("prompts were dropped whose callers' process is gone", "lane", r.lane, "prompts", n)
	}
	r.expireEnded(ctx)
	return queued
}

// expireBatch is how many ended jobs one script drops, so that it stays short. expireRounds
// is how many scripts one pass runs for a state; the next pass drops more.
const (
	expireBatch  = 1000
	expireRounds = 50
)

// expireEnded drops the records of ended jobs that are past their retention. If the records of
// all lanes exceed their limit, it also drops this lane's share of the excess, oldest
// first.
func (r *reconciler) expireEnded(ctx context.Context) {
	excess, err := r.q.excess(ctx, r.lane)
	if err != nil {
		return // Redis is away; the next look sees to it
	}
	for _, state := range finalStates {
		for range expireRounds {
			ctx, cancel := r.q.withTimeout(ctx)
			got, err := r.q.scripts.expire.Run(ctx, r.q.redis, []string{r.keys.ended(state), r.keys.endedBytes()}, r.keys.own,
				millis(r.q.now().Add(-r.q.retention(state))), max(excess, 0), expireBatch).Int64Slice()
			cancel()
			if err != nil || len(got) != 2 {
				return
			}
			if excess -= got[1]; got[0] < expireBatch {
				break
			}
		}
	}
}

// sweepUnheard queues the tasks of killed workers again on a Cluster, where the nodes have
// to be asked twice. old is the channels of workers whose sign is old.
func (r *reconciler) sweepUnheard(ctx context.Context, old []string) (queued bool) {
	gone := r.q.Unheard(ctx, r.listens, old)
	if len(gone) == 0 || !lifecycle.Sleep(ctx, recheckDelay) {
		return false
	}
	if gone = r.q.Unheard(ctx, r.listens, gone); len(gone) == 0 {
		return false
	}
	for range 2 { // a task is queued again by the second
		again, _, _ := r.sweep(ctx, true, gone)
		queued = queued || again
	}
	return queued
}

// sweep queues the tasks of dead workers again. suspects is the number of tasks of
// processes that seem to be gone. With gone it checks only those. On a Cluster old is the
// channels of workers whose sign is old, and unheard those without a listener.
func (r *reconciler) sweep(ctx context.Context, gone bool, unheard []string) (queued bool, suspects int64, old []string) {
	rctx, cancel := r.q.withTimeout(ctx)
	defer cancel()
	k := r.keys
	// A sign of life is old after one and a half seconds; each is renewed every second.
	fresh := r.q.opt.Liveness - min(r.q.opt.Liveness/2, 1500*time.Millisecond)
	args := []any{k.own, k.tasks(), r.me, r.q.opt.MaxLost, fresh.Milliseconds(), r.q.AliveChannel(r.listens), gone}
	for _, channel := range unheard {
		args = append(args, channel)
	}
	got, err := r.q.scripts.sweep.Run(rctx, r.q.redis, []string{k.active(), k.lease(), k.pending()}, args...).Slice()
	if err != nil || len(got) != 5 {
		return false, 0, nil
	}
	again, given, missing := redisreply.Texts(got[0]), redisreply.Texts(got[1]), redisreply.Texts(got[2])
	if len(again)+len(given)+len(missing) > 0 {
		r.q.opt.Log.Warn("jobs of lost workers were recovered", "lane", r.lane, "queued_again", again, "given_up", given, "without_task", missing)
	}
	for _, id := range given {
		r.fail(ctx, id)
	}
	suspects, _ = got[3].(int64)
	return len(again) > 0, suspects, redisreply.Texts(got[4])
}

// followOperators updates the records after operators changed tasks with asynq's tools (asynqmon,
// Inspector, asynq's command). An archived task fails its job; a task that was run is
// queued again. lost says that records have lost their tasks.
func (r *reconciler) followOperators(ctx context.Context) (lost bool) {
	archived, err := json.Marshal(archivedWhy(r.lane))
	if err != nil {
		return false
	}
	ctx, cancel := r.q.withTimeout(ctx)
	defer cancel()
	k := r.keys
	got, err := r.q.scripts.operator.Run(ctx, r.q.redis, []string{
		k.archived(), k.pending(), k.active(), k.scheduled(), k.retry(), k.paused(),
		k.stateIndex(job.StateQueued), k.stateIndex(job.StateRunning),
	}, k.own, k.tasks(), archived).Slice()
	if err != nil || len(got) != 3 {
		return false
	}
	if ids := redisreply.Texts(got[0]); len(ids) > 0 {
		r.q.opt.Log.Warn("jobs failed: an operator archived their tasks", "lane", r.lane, "jobs", ids)
	}
	if ids := redisreply.Texts(got[1]); len(ids) > 0 {
		r.q.opt.Log.Info("archived jobs are queued again: an operator ran their tasks", "lane", r.lane, "jobs", ids)
	}
	n, _ := got[2].(int64)
	return n > 0
}

// archivedWhy is the error of a job whose task an operator archived.
func archivedWhy(lane job.Lane) *job.Error {
	const detail = "an operator archived the job in asynq's tools; running it there queues it again"
	if laneOf(lane) == job.LaneTrain {
		return job.Errorf(job.CodeArchived, detail+". Its lessons stay stored and pending, and a new job learns them when this record is dropped")
	}
	return job.Errorf(job.CodeArchived, detail)
}

// deletedWhy is the error of a job whose task an operator deleted.
func deletedWhy(lane job.Lane) *job.Error {
	if laneOf(lane) == job.LaneTrain {
		return job.Errorf(job.CodeDeleted, "an operator deleted the task in asynq's tools; its lessons stay stored and pending, and a new job learns them when this record is dropped")
	}
	return job.Errorf(job.CodeDeleted, "an operator deleted the task in asynq's tools")
}

// fail fails a job that took its worker down too often. The sweep has made this process
// its owner.
func (r *reconciler) fail(ctx context.Context, id string) {
	spec := job.Spec{ID: id}
	if list, err := r.q.redis.HGet(ctx, r.keys.task(id), "reply").Result(); err == nil {
		spec.ReplyTo = list[len(r.keys.reply("")):]
	}
	e := ending{q: r.q, keys: r.keys, owner: r.me}
	_, err := e.finish(ctx, spec, time.Time{}, nil, nil, outcome{state: job.StateFailed, err: job.Errorf(job.CodeInternal,
		"the job was given up: its worker was lost %d times", r.q.opt.MaxLost)})
	if err != nil {
		r.q.opt.Log.Error("a job could not be given up", "job", id, "error", err)
	}
}

// requeueOrphans ends the jobs whose tasks were deleted. Jobs whose task Redis has dropped get a
// new task.
func (r *reconciler) requeueOrphans(ctx context.Context) {
	k := r.keys
	why, err := json.Marshal(deletedWhy(r.lane))
	if err != nil {
		return
	}
	rctx, cancel := r.q.withTimeout(ctx)
	defer cancel()
	reply, err := r.q.scripts.orphans.Run(rctx, r.q.redis, []string{
		k.stateIndex(job.StateQueued), k.stateIndex(job.StateRunning), k.pending(), k.scheduled(), k.retry(), k.active(),
	}, k.own, k.tasks(), maxOrphans, r.q.CachedRedisState().Evicts(), why).Slice()
	if err != nil || len(reply) != 2 {
		return
	}
	if deleted := redisreply.Texts(reply[1]); len(deleted) > 0 {
		r.q.opt.Log.Warn("jobs are canceled: an operator deleted their tasks", "lane", r.lane, "jobs", deleted)
	}
	got := redisreply.Texts(reply[0])
	for i := 0; i+1 < len(got); i += 2 {
		var spec job.Spec
		if err := json.Unmarshal([]byte(got[i+1]), &spec); err != nil || spec.ID != got[i] {
			r.q.opt.Log.Error("a record cannot be read", "job", got[i], "error", err)
			continue
		}
		r.q.opt.Log.Warn("a job had lost its task; it is queued again", "job", spec.ID, "lane", r.lane)
		if _, err := r.q.put(ctx, payload{Spec: spec, shard: r.lane}, existingRecord, 0); err != nil {
			r.q.opt.Log.Error("a job that lost its task could not be queued again", "job", spec.ID, "error", err)
		}
	}
}

// failOverdue fails waiting jobs whose deadline has passed. It returns the time until the
// next deadline; negative if there is none.
func (r *reconciler) failOverdue(ctx context.Context) time.Duration {
	why, err := json.Marshal(timeoutError())
	if err != nil {
		return -1
	}
	ctx, cancel := r.q.withTimeout(ctx)
	defer cancel()
	k := r.keys
	got, err := r.q.scripts.overdue.Run(ctx, r.q.redis, []string{k.deadlines(), k.pending(), k.scheduled(), k.retry()},
		k.own, k.tasks(), why, maxOverdue).Slice()
	if err != nil || len(got) == 0 {
		return -1
	}
	if failed := redisreply.Texts(got[1:]); len(failed) > 0 {
		r.q.opt.Log.Warn("jobs failed: their deadline passed while they waited", "lane", r.lane, "jobs", failed)
	}
	ms, _ := got[0].(int64)
	if ms < 0 {
		return -1
	}
	return time.Duration(ms) * time.Millisecond
}

// Kinds of repair, as counted by Repairs.
const (
	RepairLostWorker   = "lost_worker"         // a dead worker's task was queued again, or ended if it was canceled
	RepairGivenUp      = "given_up"            // a job had taken too many workers down with it
	RepairWithoutTask  = "without_task"        // an id that was active without a task
	RepairRecord       = "record_without_task" // a record whose task was gone
	RepairAbandoned    = "expired_waiter"      // a waiting prompt whose caller's process is gone
	RepairOverdue      = "overdue"             // a job whose deadline passed while it waited
	RepairOrphan       = "stray"               // a task whose dequeue was never answered
	RepairDataset      = "forgotten_dataset"   // a dataset in no checkpoint that no job was going to learn
	repairCountingTime = time.Second
)

// AllRepairs returns every kind of repair.
func AllRepairs() []string {
	return []string{
		RepairLostWorker, RepairGivenUp, RepairWithoutTask, RepairRecord, RepairAbandoned, RepairOverdue, RepairOrphan, RepairDataset,
	}
}

// Repairs returns the number of repairs by kind, for the whole cluster and for as long
// as Redis keeps its data. Errors: CodeUnavailable.
func (q *Queue) Repairs(ctx context.Context) (map[string]int64, error) {
	sums := map[string]int64{}
	for _, what := range AllRepairs() {
		sums[what] = 0
	}
	return sums, q.sum(ctx, laneKeys.repairs, sums)
}

// Repaired adds n repairs of a kind that another part of the cluster made.
func (q *Queue) Repaired(ctx context.Context, what string, n int) {
	q.countRepair(ctx, q.keys(job.LaneTrain), what, n)
}

func (q *Queue) countRepair(ctx context.Context, k laneKeys, what string, n int) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), repairCountingTime)
	defer cancel()
	if err := q.redis.HIncrBy(ctx, k.repairs(), what, int64(n)).Err(); err != nil {
		q.opt.Log.Warn("a repair could not be counted", "what", what, "error", err)
	}
}

// sum adds the counters of every lane to sums.
func (q *Queue) sum(ctx context.Context, key func(laneKeys) string, sums map[string]int64) error {
	for _, lane := range q.shards.of(job.Lanes()...) {
		rctx, cancel := q.withTimeout(ctx)
		got, err := q.redis.HGetAll(rctx, key(q.keys(lane))).Result()
		cancel()
		if err != nil {
			return unavailable("read counters", err)
		}
		for what, n := range got {
			v, _ := strconv.ParseInt(n, 10, 64)
			sums[what] += v
		}
	}
	return nil
}
