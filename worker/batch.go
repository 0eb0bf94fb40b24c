package worker

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nexus-continuum/nexus/model"
)

// batcher brings prompts to the model. It has one slot for each prompt that may be
// computed at once. Each slot is a goroutine, so it is free again only when its work
// has stopped, even if the job has ended. A free slot takes its fair share of the
// waiting prompts and never waits for more. The memory is scanned once for all of them.
type batcher struct {
	slots  int
	urgent chan *ask // callers wait
	later  chan *ask // will be polled for
	ask    func([]model.Query) ([]model.Verdict, *served, error)

	// rest returns how long a slot waits after a batch that took the given time; nil
	// means no wait.
	rest func(took time.Duration) time.Duration

	quit chan struct{}
	stop sync.Once
	done sync.WaitGroup

	busy  atomic.Int32
	spent atomic.Int64 // nanoseconds of all slots together
}

// ask is one prompt on its way.
type ask struct {
	ctx   context.Context
	query model.Query
	sight *sight        // nil asks the model that serves
	reply chan answered // holds one
}

// sight is a model that sees through both encoders, and what the second encoder sees.
type sight struct {
	by  *model.Both
	see model.See
}

// answered is what came back for one prompt.
type answered struct {
	verdict model.Verdict
	by      *served
	began   time.Time
	took    time.Duration
	err     error
}

func newBatcher(slots, waiting int, f func([]model.Query) ([]model.Verdict, *served, error)) *batcher {
	return &batcher{
		slots: slots, ask: f, quit: make(chan struct{}),
		urgent: make(chan *ask, waiting), later: make(chan *ask, waiting),
	}
}

func (b *batcher) start() {
	for range b.slots {
		b.done.Go(b.run)
	}
}

// close ends the slots after the work in hand.
func (b *batcher) close() {
	b.stop.Do(func() { close(b.quit) })
	b.done.Wait()
}

// do computes one prompt. It returns early if ctx ends; a slot that has already begun
// still finishes.
func (b *batcher) do(ctx context.Context, q model.Query, urgent bool) answered {
	return b.submit(ctx, q, nil, urgent)
}

// submit is do with an optional view through both encoders.
func (b *batcher) submit(ctx context.Context, q model.Query, s *sight, urgent bool) answered {
	a := &ask{ctx: ctx, query: q, sight: s, reply: make(chan answered, 1)}
	to := b.later
	if urgent {
		to = b.urgent
	}
	select {
	case to <- a:
	case <-ctx.Done():
		return answered{err: context.Cause(ctx)}
	case <-b.quit:
		return answered{err: errStopped}
	}
	select {
	case r := <-a.reply:
		return r
	case <-ctx.Done():
		return answered{err: context.Cause(ctx)}
	case <-b.quit:
		return answered{err: errStopped}
	}
}

// run is one slot.
func (b *batcher) run() {
	batch := make([]*ask, 0, model.MaxBatch)
	for {
		batch = b.take(batch[:0])
		if batch == nil {
			return
		}
		b.busy.Add(1)
		began := time.Now()
		b.compute(batch, began)
		took := time.Since(began)
		b.spent.Add(int64(took))
		b.busy.Add(-1)
		clear(batch)
		if b.rest != nil {
			b.pause(b.rest(took))
		}
	}
}

// pause waits, unless the batcher closes.
func (b *batcher) pause(d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-time.After(d):
	case <-b.quit:
	}
}

// take waits for a prompt and adds other waiting prompts, but leaves the other slots
// their share. It returns nil when the batcher closes.
func (b *batcher) take(batch []*ask) []*ask {
	select {
	case a := <-b.urgent:
		batch = append(batch, a)
	default:
		select {
		case a := <-b.urgent:
			batch = append(batch, a)
		case a := <-b.later:
			batch = append(batch, a)
		case <-b.quit:
			return nil
		}
	}
	waiting := len(b.urgent) + len(b.later)
	share := min(model.MaxBatch, 1+(waiting+b.slots-1)/b.slots)
	for len(batch) < share {
		select {
		case a := <-b.urgent:
			batch = append(batch, a)
			continue
		default:
		}
		select {
		case a := <-b.later:
			batch = append(batch, a)
		default:
			return batch
		}
	}
	return batch
}

func (b *batcher) compute(batch []*ask, began time.Time) {
	queries := make([]model.Query, 0, len(batch))
	wanted := batch[:0]
	for _, a := range batch {
		switch {
		case a.ctx.Err() != nil:
		case a.sight != nil:
			a.reply <- a.answerBoth()
		default:
			queries, wanted = append(queries, a.query), append(wanted, a)
		}
	}
	if len(wanted) == 0 {
		return
	}
	verdicts, by, err := b.ask(queries)
	took := time.Since(began)
	for i, a := range wanted {
		r := answered{by: by, began: began, took: took, err: err}
		if err == nil {
			r.verdict = verdicts[i]
		}
		a.reply <- r
	}
}

// answerBoth asks the model that sees through both encoders.
func (a *ask) answerBoth() answered {
	verdicts, err := guarded(func() []model.Verdict { return a.sight.by.Ask([]model.Query{a.query}, a.sight.see) })
	if err != nil {
		return answered{err: err}
	}
	return answered{verdict: verdicts[0]}
}

func (w *Worker) guarded(m *model.Model, queries []model.Query) ([]model.Verdict, error) {
	return guarded(func() []model.Verdict { return w.opt.Ask(m, queries) })
}

// guarded asks a model and turns a panic into an error. A damaged model could cause a
// panic, and that must not end the process.
func guarded(ask func() []model.Verdict) (v []model.Verdict, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the model panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return ask(), nil
}
