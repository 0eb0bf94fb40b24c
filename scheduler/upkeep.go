package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/hibiken/asynq"
	"github.com/robfig/cron/v3"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/storage"
)

const (
	// UpkeepQueue is the queue of periodic tasks, as asynq's monitor shows it.
	UpkeepQueue = "upkeep"
	upkeepType  = UpkeepQueue + ":"
	// upkeepFor limits one task; a scrub reads the whole storage.
	upkeepFor = 6 * time.Hour
	// upkeepKept is how long an ended task is shown.
	upkeepKept = 24 * time.Hour
	// upkeepStop is how long a stop waits for the current task.
	upkeepStop = 10 * time.Second
)

// duty is one periodic task.
type duty struct {
	name, spec string
	run        func(ctx context.Context) (done string, err error)
}

// duties are the periodic tasks that have a schedule.
func (s *Scheduler) duties() []duty {
	all := []duty{
		{"checkpoint", s.opt.Schedules.Checkpoint, func(ctx context.Context) (string, error) { return "the trainer was asked", s.save(ctx) }},
		{"prune", s.opt.Schedules.Prune, s.prune},
		{"compact", s.opt.Schedules.Compact, s.compact},
		{"scrub", s.opt.Schedules.Scrub, s.scrub},
		{"recalibrate", s.opt.Schedules.Recalibrate, s.recalibrate},
		{"cleanup", s.opt.Schedules.CleanUp, s.cleanUp},
		{"backup", s.opt.Schedules.Backup, s.opt.Backup},
	}
	var out []duty
	for _, d := range all {
		if d.spec != "" && d.run != nil {
			out = append(out, d)
		}
	}
	return out
}

// Schedules say when each periodic task runs: "@every 5m", or five cron fields in UTC.
// Empty means never.
type Schedules struct {
	Checkpoint, Prune, Compact, Scrub, Recalibrate, CleanUp, Backup string
}

// CheckSchedule returns an error that says what is wrong with a schedule, or nil.
func CheckSchedule(spec string) error {
	if spec == "" {
		return nil
	}
	if _, err := cron.ParseStandard(spec); err != nil {
		return fmt.Errorf("must be @every and a duration, such as @every 5m, or five fields of cron in UTC, such as 17 3 * * *: %w", err)
	}
	return nil
}

// due reports whether a task that last ran at last should run at now, according to its
// schedule. An interval has a slack of half its length: the tick of a new leader may be
// early, and one that waited in the queue is late.
func due(spec string, last, now time.Time) bool {
	schedule, err := cron.ParseStandard(spec)
	if err != nil {
		return false
	}
	if every, ok := schedule.(cron.ConstantDelaySchedule); ok {
		return now.Sub(last) >= every.Delay/2
	}
	return !schedule.Next(last.UTC()).After(now)
}

// missed reports whether a run was missed because nobody led at its time.
func missed(spec string, last, now time.Time) bool {
	schedule, err := cron.ParseStandard(spec)
	return err == nil && !schedule.Next(last.UTC()).After(now)
}

// GetConfigs implements asynq.PeriodicTaskConfigProvider.
func (s *Scheduler) GetConfigs() ([]*asynq.PeriodicTaskConfig, error) {
	duties := s.duties()
	out := make([]*asynq.PeriodicTaskConfig, len(duties))
	for i, d := range duties {
		out[i] = &asynq.PeriodicTaskConfig{Cronspec: d.spec, Task: asynq.NewTask(upkeepType+d.name, nil), Opts: upkeepOptions()}
	}
	return out, nil
}

func upkeepOptions() []asynq.Option {
	// A failed task is tried again at its next time. Until then asynq's archive shows
	// it.
	return []asynq.Option{asynq.Queue(UpkeepQueue), asynq.MaxRetry(0), asynq.Timeout(upkeepFor), asynq.Retention(upkeepKept)}
}

// upkeep enqueues the periodic tasks and runs them until ctx ends. Only the leader does
// so. If two schedulers believe for a moment that they lead, the claim in handle makes
// sure of one run.
func (s *Scheduler) upkeep(ctx context.Context) error {
	log := upkeepLog{s.opt.Log}
	server := asynq.NewServerFromRedisClient(s.opt.Redis, asynq.Config{
		Concurrency: 1, Queues: map[string]int{UpkeepQueue: 1}, BaseContext: func() context.Context { return ctx },
		ShutdownTimeout: upkeepStop, Logger: log, LogLevel: asynq.WarnLevel,
	})
	manager, err := asynq.NewPeriodicTaskManager(asynq.PeriodicTaskManagerOpts{
		RedisUniversalClient: s.opt.Redis, PeriodicTaskConfigProvider: s,
		SchedulerOpts: &asynq.SchedulerOpts{
			HeartbeatInterval: 2 * time.Second, Logger: log, LogLevel: asynq.WarnLevel,
			PostEnqueueFunc: func(_ *asynq.TaskInfo, err error) {
				if err != nil && ctx.Err() == nil {
					s.opt.Log.Warn("a periodic task could not be enqueued; it comes at its next time", "error", err)
				}
			},
		},
	})
	if err != nil {
		return fmt.Errorf("schedule the periodic tasks: %w", err)
	}
	if err := server.Start(asynq.HandlerFunc(s.handle)); err != nil {
		return fmt.Errorf("run the periodic tasks: %w", err)
	}
	defer server.Shutdown()
	if err := manager.Start(); err != nil {
		return fmt.Errorf("schedule the periodic tasks: %w", err)
	}
	defer manager.Shutdown()
	s.catchUp(ctx)
	<-ctx.Done()
	return nil
}

// catchUp enqueues the tasks that were missed while nobody led.
func (s *Scheduler) catchUp(ctx context.Context) {
	client := asynq.NewClientFromRedisClient(s.opt.Redis)
	for _, d := range s.duties() {
		late := false
		_, err := claimRun(ctx, s.opt.Redis, d.name, s.opt.Now(), func(last time.Time) bool {
			late = !last.IsZero() && missed(d.spec, last, s.opt.Now())
			return last.IsZero() // its time begins to count
		})
		if err == nil && late {
			_, err = client.EnqueueContext(ctx, asynq.NewTask(upkeepType+d.name, nil), upkeepOptions()...)
		}
		if err != nil && ctx.Err() == nil {
			s.opt.Log.Warn("whether a periodic task was missed cannot be told", "task", d.name, "error", err)
		}
	}
}

// handle runs one periodic task.
func (s *Scheduler) handle(ctx context.Context, t *asynq.Task) error {
	name := strings.TrimPrefix(t.Type(), upkeepType)
	for _, d := range s.duties() {
		if d.name != name {
			continue
		}
		ok, err := claimRun(ctx, s.opt.Redis, name, s.opt.Now(), func(last time.Time) bool { return due(d.spec, last, s.opt.Now()) })
		if err != nil {
			return err
		}
		if !ok {
			return result(t, "done already, for this time")
		}
		done, err := d.run(ctx)
		if err != nil {
			if ctx.Err() == nil {
				s.opt.Log.Warn("a periodic task failed; it runs again at its next time", "task", name, "error", err)
			}
			return err
		}
		s.opt.Log.Debug("a periodic task ended", "task", name, "done", done)
		return result(t, done)
	}
	return result(t, "not scheduled any more")
}

// result writes what the monitor shows for an ended task.
func result(t *asynq.Task, done string) error {
	if w := t.ResultWriter(); w != nil {
		_, err := w.Write([]byte(done))
		return err
	}
	return nil
}

// prune deletes checkpoints that the retention does not keep, and parts that no
// checkpoint names. Datasets stay, because everything can be learned from them again if
// every checkpoint is damaged.
func (s *Scheduler) prune(ctx context.Context) (string, error) {
	keep := storage.Retention{Newest: s.opt.MaxCheckpoints, Daily: s.opt.KeepDaily, Weekly: s.opt.KeepWeekly}
	r, err := s.opt.Checkpoints.Registry(ctx)
	if err != nil {
		return "", err
	}
	if r.Challenger != "" {
		keep.Protect = append(keep.Protect, r.Challenger)
	}
	done, err := s.opt.Pruner.Prune(ctx, keep)
	if n := len(done.Checkpoints); n > 0 || done.Parts > 0 {
		s.opt.Log.Info("checkpoints pruned", "checkpoints", n, "parts", done.Parts, "bytes", done.Bytes)
	}
	return fmt.Sprintf("%d checkpoints and %d parts (%d bytes) deleted", len(done.Checkpoints), done.Parts, done.Bytes), err
}

// compactAge is the age from which a learned dataset may be combined with others; its
// job has ended by then.
const compactAge = time.Hour

// compact combines small datasets that the head has learned into larger objects.
func (s *Scheduler) compact(ctx context.Context) (string, error) {
	head, err := s.opt.Checkpoints.Head(ctx)
	if err != nil || head.Checkpoint == "" {
		return "nothing is learned yet", err
	}
	learned, err := s.opt.Checkpoints.Lineage(ctx, head.Checkpoint)
	if err != nil {
		return "", err
	}
	done, err := s.opt.Compactor.Compact(ctx, storage.Compaction{Learned: learned, Age: compactAge})
	if done.Datasets > 0 {
		s.opt.Log.Info("small datasets were put together", "datasets", done.Datasets, "objects", done.Segments)
	}
	return fmt.Sprintf("%d datasets put into %d objects", done.Datasets, done.Segments), err
}

// scrub reads everything in the storage and compares it with its digests.
func (s *Scheduler) scrub(ctx context.Context) (string, error) {
	done, err := s.opt.Checkpoints.Scrub(ctx)
	if len(done.Damaged) > 0 {
		s.opt.Log.Error("the scrub found damaged objects that no copy could mend; they were set aside", "objects", done.Damaged)
	}
	summary := fmt.Sprintf("%d checkpoints and %d datasets are whole, %d objects read, %d repaired, %d damaged",
		done.Checkpoints, done.Datasets, done.Objects, len(done.Repaired), len(done.Damaged))
	if err == nil {
		s.opt.Log.Info("the storage was scrubbed", "checkpoints", done.Checkpoints, "datasets", done.Datasets,
			"objects", done.Objects, "repaired", len(done.Repaired), "damaged", len(done.Damaged))
	}
	return summary, err
}

// recalibrate asks the trainer to set the threshold according to the present memory.
func (s *Scheduler) recalibrate(ctx context.Context) (string, error) {
	return "the trainer was asked", s.opt.Queue.Publish(ctx, job.ChannelControl, job.MessageRecalibrate)
}

func (s *Scheduler) cleanUp(ctx context.Context) (string, error) {
	n, err := s.opt.Interactions.CleanUp(ctx)
	return fmt.Sprintf("%d lines of the log of interactions dropped", n), err
}

// upkeepLog passes on asynq's own log lines. It ignores the error that a shared
// connection is not closed.
type upkeepLog struct{ log *slog.Logger }

func (l upkeepLog) debug(a ...any) { l.log.Debug("asynq", "said", fmt.Sprint(a...)) }

// Debug implements asynq.Logger.
func (l upkeepLog) Debug(a ...any) { l.debug(a...) }

// Info implements asynq.Logger.
func (l upkeepLog) Info(a ...any) { l.debug(a...) }

// Warn implements asynq.Logger.
func (l upkeepLog) Warn(a ...any) { l.debug(a...) }

// Error implements asynq.Logger.
func (l upkeepLog) Error(a ...any) { l.debug(a...) }

// Fatal implements asynq.Logger; it must not end the process.
func (l upkeepLog) Fatal(a ...any) { l.log.Error("asynq", "said", fmt.Sprint(a...)) }

func (s Schedules) check() error {
	var errs []error
	for _, spec := range []string{s.Checkpoint, s.Prune, s.Compact, s.Scrub, s.Recalibrate, s.CleanUp, s.Backup} {
		if err := CheckSchedule(spec); err != nil {
			errs = append(errs, fmt.Errorf("schedule %q: %w", spec, err))
		}
	}
	return errors.Join(errs...)
}
