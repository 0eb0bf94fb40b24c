package worker

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nexus-continuum/nexus/job"
)

// journal writes the log of interactions in batches, off the way of the answer.
// It is bounded: when the log cannot be written fast enough, lines are dropped
// and counted, and no caller waits.
type journal struct {
	write func(context.Context, []job.Interaction) error
	log   *slog.Logger

	lines   chan job.Interaction
	dropped atomic.Int64

	quit chan struct{}
	stop sync.Once
	done sync.WaitGroup
}

const (
	journalRoom  = 8192
	journalBatch = 512
	// journalEvery bounds how old a line becomes before it is written: an answer
	// given synchronously is looked up here.
	journalEvery = 50 * time.Millisecond
	journalGrace = 2 * time.Second
)

func newJournal(write func(context.Context, []job.Interaction) error, log *slog.Logger) *journal {
	return &journal{write: write, log: log, lines: make(chan job.Interaction, journalRoom), quit: make(chan struct{})}
}

func (j *journal) start() { j.done.Go(j.run) }

// close writes what is left, within a grace period.
func (j *journal) close() {
	j.stop.Do(func() { close(j.quit) })
	j.done.Wait()
}

func (j *journal) add(it job.Interaction) {
	select {
	case j.lines <- it:
	default:
		j.dropped.Add(1)
	}
}

func (j *journal) run() {
	var reported int64
	batch := make([]job.Interaction, 0, journalBatch)
	for {
		batch = batch[:0]
		select {
		case it := <-j.lines:
			batch = append(batch, it)
		case <-j.quit:
			j.finish(batch)
			return
		}
		batch = j.gather(batch)
		j.flush(context.Background(), batch)
		if n := j.dropped.Load(); n != reported {
			j.log.Warn("interactions were not logged: the log could not be written fast enough", "dropped", n-reported, "dropped_in_all", n)
			reported = n
		}
	}
}

// gather adds what comes within journalEvery.
func (j *journal) gather(batch []job.Interaction) []job.Interaction {
	timer := time.NewTimer(journalEvery)
	defer timer.Stop()
	for len(batch) < journalBatch {
		select {
		case it := <-j.lines:
			batch = append(batch, it)
		case <-timer.C:
			return batch
		case <-j.quit:
			return batch
		}
	}
	return batch
}

func (j *journal) finish(batch []job.Interaction) {
	ctx, cancel := context.WithTimeout(context.Background(), journalGrace)
	defer cancel()
	for {
		select {
		case it := <-j.lines:
			if batch = append(batch, it); len(batch) == journalBatch {
				j.flush(ctx, batch)
				batch = batch[:0]
			}
			continue
		default:
		}
		j.flush(ctx, batch)
		return
	}
}

func (j *journal) flush(ctx context.Context, batch []job.Interaction) {
	if len(batch) == 0 {
		return
	}
	if err := j.write(ctx, batch); err != nil {
		j.dropped.Add(int64(len(batch)))
		j.log.Debug("a batch of interactions could not be logged", "lines", len(batch), "error", err)
	}
}
