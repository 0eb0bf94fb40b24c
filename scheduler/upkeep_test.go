package scheduler

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/nexus-continuum/nexus/storage"
)

// The periodic tasks appear in asynq's tools, with their schedules and what
// came of them, and run once however many schedulers there are.
func TestPeriodicTasks(t *testing.T) {
	eachMode(t, func(b *bundle) {
		var runs atomic.Int64
		for range 3 {
			q := b.open()
			b.start(b.scheduler(func(o *Options) {
				o.Queue = On(q)
				o.Schedules = Schedules{Prune: "@every 1h", Scrub: "17 3 * * *", CleanUp: "@every 1s", Backup: "@every 1s"}
				o.Backup = func(context.Context) (string, error) { runs.Add(1); return "somewhere", nil }
			}))
		}
		inspector := asynq.NewInspectorFromRedisClient(b.provided.Client())
		b.until("the schedules are shown", func() bool {
			entries, err := inspector.SchedulerEntries()
			seen := map[string]string{}
			for _, e := range entries {
				seen[e.Task.Type()] = e.Spec
			}
			return err == nil && seen["upkeep:scrub"] == "17 3 * * *" && seen["upkeep:prune"] == "@every 1h" && len(seen) == 4
		})
		b.until("results are shown", func() bool {
			done, err := inspector.ListCompletedTasks(UpkeepQueue)
			if err != nil {
				return false
			}
			for _, d := range done {
				if d.Type == "upkeep:backup" && string(d.Result) == "somewhere" {
					return runs.Load() >= 3
				}
			}
			return false
		})
		done, err := inspector.ListCompletedTasks(UpkeepQueue, asynq.PageSize(1000))
		if err != nil {
			b.Fatal(err)
		}
		at := map[time.Time]int{}
		for _, d := range done {
			if d.Type == "upkeep:backup" && string(d.Result) == "somewhere" {
				at[d.CompletedAt.Truncate(time.Second)]++
			}
		}
		for when, n := range at {
			if n > 2 { // two ticks may end in one second where the machine is slow; three schedulers would make it more
				b.Errorf("%d backups at %s", n, when)
			}
		}
	})
}

// A tick that several schedulers bring is claimed by one of them.
func TestATickIsClaimedOnce(t *testing.T) {
	eachMode(t, func(b *bundle) {
		var claimed atomic.Int64
		var all sync.WaitGroup
		start := make(chan struct{})
		for range 8 {
			all.Go(func() {
				<-start
				ok, err := claimRun(b.ctx, b.provided.Client(), "prune", time.Now(), func(last time.Time) bool { return due("@every 1h", last, time.Now()) })
				if err != nil {
					b.Error(err)
				}
				if ok {
					claimed.Add(1)
				}
			})
		}
		close(start)
		all.Wait()
		if n := claimed.Load(); n != 1 {
			b.Errorf("%d claims", n)
		}
	})
}

func TestDue(t *testing.T) {
	t.Parallel()
	at := func(s string) time.Time {
		v, err := time.Parse(time.DateTime, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct {
		spec, last, now string
		due, missed     bool
	}{
		{"@every 5m", "2026-01-01 12:00:00", "2026-01-01 12:05:00", true, true},
		{"@every 5m", "2026-01-01 12:00:03", "2026-01-01 12:05:00", true, false}, // the last one came late
		{"@every 5m", "2026-01-01 12:00:00", "2026-01-01 12:01:00", false, false},
		{"17 3 * * *", "2026-01-01 03:17:05", "2026-01-02 03:17:00", true, true},
		{"17 3 * * *", "2026-01-02 03:17:00", "2026-01-02 03:17:01", false, false},
		{"17 3 * * *", "2026-01-01 03:17:05", "2026-01-04 12:00:00", true, true},
	} {
		if got := due(c.spec, at(c.last), at(c.now)); got != c.due {
			t.Errorf("%s, last %s, now %s: due %v", c.spec, c.last, c.now, got)
		}
		if got := missed(c.spec, at(c.last), at(c.now)); got != c.missed {
			t.Errorf("%s, last %s, now %s: missed %v", c.spec, c.last, c.now, got)
		}
	}
	for spec, good := range map[string]bool{"": true, "@every 5m": true, "17 3 * * *": true, "@every": false, "61 * * * *": false, "* * * * * *": false} {
		if err := CheckSchedule(spec); (err == nil) != good {
			t.Errorf("schedule %q: %v", spec, err)
		}
	}
}

// What was due while no scheduler ran is done at the next start; what never ran
// waits for its time.
func TestMissedTasksAreCaughtUp(t *testing.T) {
	eachMode(t, func(b *bundle) {
		if _, err := claimRun(b.ctx, b.provided.Client(), "backup", time.Now(), func(time.Time) bool { return true }); err != nil {
			b.Fatal(err)
		}
		ran := make(chan string, 10)
		b.start(b.scheduler(func(o *Options) {
			o.Now = func() time.Time { return time.Now().Add(48 * time.Hour) }
			o.Schedules = Schedules{Backup: "17 3 * * *", Scrub: "17 3 * * *"}
			o.Backup = func(context.Context) (string, error) { ran <- "backup"; return "", errors.New("on purpose") }
		}))
		select {
		case <-ran:
		case <-time.After(patience):
			b.Fatal("the missed backup was not made")
		}
		inspector := asynq.NewInspectorFromRedisClient(b.provided.Client())
		b.until("its failure is shown", func() bool {
			failed, err := inspector.ListArchivedTasks(UpkeepQueue)
			return err == nil && len(failed) == 1 && strings.Contains(failed[0].LastErr, "on purpose")
		})
		if done, err := inspector.ListCompletedTasks(UpkeepQueue); err != nil || len(done) != 0 {
			b.Errorf("completed %v, %v; the scrub's time has not come", done, err)
		}
	})
}

// Lessons that were taught one by one lie in few objects an hour later.
func TestSmallDatasetsArePutTogether(t *testing.T) {
	eachMode(t, func(b *bundle) {
		var learned []string
		for range 300 {
			learned = append(learned, b.teach("a lesson"))
		}
		b.learn("", learned...)
		later := func() time.Time { return time.Now().Add(2 * time.Hour) }
		b.datasets = storage.NewDatasets(b.store, storage.DatasetOptions{Now: later})
		b.start(b.scheduler(func(o *Options) { o.Schedules, o.Now = Schedules{Compact: "@every 1s"}, later }))
		b.until("the datasets are in one object", func() bool {
			infos, err := b.store.List(b.ctx, storage.DatasetsPrefix)
			return err == nil && len(infos) == 1
		})
		if ids, err := b.datasets.IDs(b.ctx); err != nil || !slices.Equal(ids, learned) {
			b.Errorf("%d datasets are listed, %v", len(ids), err)
		}
	})
}
