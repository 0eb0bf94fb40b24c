package accelerator

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/model/cuda"
	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/kernel"
	"github.com/nexus-continuum/nexus/telemetry/heartbeat"
)

// Wait before a failed card is opened again. It doubles each time.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// unit is one card with its state. A card that fails is closed and opened again later.
type unit struct {
	info   cuda.Info
	opt    *Options
	queued atomic.Int32 // batches on their way

	card atomic.Pointer[cuda.Card] // nil while it is not open

	closing sync.WaitGroup // of cards that failed

	mu      sync.Mutex // for the fields below; held during uploads
	weights encoder.Encoder
	rows    *kernel.Rows
	tryAt   time.Time
	wait    time.Duration
	stopped bool

	told sync.Mutex // for the fields below; held only briefly
	lost string     // why the card is not open
	full string     // why it does not hold all that it should
}

// ready reports whether the card may compute now.
func (u *unit) ready() bool {
	return u.card.Load() != nil && !u.opt.Governor.Card(u.info.UUID).Stop
}

func (u *unit) leave() { u.queued.Add(-1) }

// most returns how many prompts the card takes at once.
func (u *unit) most(asked int) int {
	if u.opt.Governor.Card(u.info.UUID).Halve {
		return (model.MaxBatch + 1) / 2
	}
	return asked
}

// compute runs f on the card and reports whether it succeeded.
func (u *unit) compute(f func(*cuda.Card) error) bool {
	c := u.card.Load()
	if c == nil {
		return false
	}
	err := f(c)
	switch {
	case err == nil:
		return true
	case broken(err):
		u.markFailed(c, err)
	case !errors.Is(err, cuda.ErrNotHere): // memory
		u.setStatus(&u.full, err.Error())
	}
	return false
}

// markFailed records that a card failed. maintain closes it later, so that no prompt waits.
func (u *unit) markFailed(c *cuda.Card, err error) {
	if u.card.CompareAndSwap(c, nil) {
		u.setStatus(&u.lost, err.Error())
		u.opt.Log.Error("a GPU failed; its work goes on on the cores", "gpu", u.info.Name, "uuid", u.info.UUID, "error", err)
		u.closing.Go(c.Close)
		u.mu.Lock()
		u.weights, u.rows = nil, nil
		u.later()
		u.mu.Unlock()
	}
}

// later postpones the next try. The caller holds mu.
func (u *unit) later() {
	u.wait = min(max(2*u.wait, firstRetry), lastRetry)
	u.tryAt = u.opt.Now().Add(u.wait)
}

// maintain opens the card when it is due, and uploads what it should hold.
func (u *unit) maintain(wanted *model.Placement) {
	if u.card.Load() == nil && !u.open() {
		return
	}
	if wanted != nil {
		u.upload(wanted)
	}
}

func (u *unit) open() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.stopped || u.opt.Now().Before(u.tryAt) {
		return false
	}
	if g := u.opt.Governor.Card(u.info.UUID); g.Stop {
		u.setStatus(&u.lost, g.Reason)
		return false
	}
	c, err := cuda.Open(cuda.Options{Library: u.opt.Library, Ordinal: u.info.Ordinal, MemoryLimit: u.opt.MemoryLimit})
	if err != nil {
		u.setStatus(&u.lost, err.Error())
		u.later()
		u.opt.Log.Warn("a GPU cannot be used; trying again", "gpu", u.info.Name, "error", err, "in", u.wait)
		return false
	}
	u.card.Store(c)
	u.setStatus(&u.lost, "")
	u.opt.Log.Info("a GPU computes", "gpu", u.info.Name, "uuid", u.info.UUID)
	return true
}

// upload copies a model's numbers to the card unless they are there already. Exemplars are
// copied only if the card searches them.
func (u *unit) upload(p *model.Placement) {
	if c := u.card.Load(); c != nil {
		if err := u.fill(c, p); err != nil {
			u.markFailed(c, err)
		}
	}
}

// fill does the work of upload. It returns an error if the card failed.
func (u *unit) fill(c *cuda.Card, p *model.Placement) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	searched := p.Rows.Len() >= u.opt.ScanFrom
	if u.weights == p.Encoder && (u.rows == p.Rows || !searched) {
		return nil
	}
	var full error
	if u.weights != p.Encoder {
		u.weights = nil
		err := c.Load(p.Encoder, p.Weights, p.Options)
		switch {
		case err == nil:
			u.weights = p.Encoder
		case broken(err):
			return err
		}
		full = err
	}
	if searched && u.rows != p.Rows {
		u.rows = nil
		err := c.Place(p.Rows)
		switch {
		case err == nil:
			u.rows = p.Rows
		case broken(err):
			return err
		}
		full = errors.Join(full, err)
	}
	if full != nil {
		u.setStatus(&u.full, full.Error())
		return nil
	}
	u.wait = 0 // it works: the next failure is the first
	u.setStatus(&u.full, "")
	return nil
}

// setStatus sets one line of the card's status and logs a change.
func (u *unit) setStatus(what *string, why string) {
	u.told.Lock()
	defer u.told.Unlock()
	if why != "" && *what == "" && what == &u.full {
		u.opt.Log.Warn("a GPU cannot hold what it should; the cores compute that", "gpu", u.info.Name, "reason", why)
	}
	*what = why
}

// close releases the card.
func (u *unit) close() {
	u.mu.Lock()
	u.stopped = true
	c := u.card.Swap(nil)
	u.mu.Unlock()
	if c != nil {
		c.Close()
	}
	u.closing.Wait()
	u.setStatus(&u.lost, "the worker stopped")
}

// state describes the card for people.
func (u *unit) state() heartbeat.Card {
	s := heartbeat.Card{Ordinal: u.info.Ordinal, Name: u.info.Name, UUID: u.info.UUID, State: heartbeat.CardComputes}
	g := u.opt.Governor.Card(u.info.UUID)
	u.told.Lock()
	lost, full := u.lost, u.full
	u.told.Unlock()
	switch {
	case g.Stop:
		s.State, s.Why = heartbeat.CardStopped, g.Reason
	case u.card.Load() == nil:
		s.State, s.Why = heartbeat.CardLost, lost
		if lost == "" {
			s.Why = "it was not opened yet"
		}
	case full != "":
		s.State, s.Why = heartbeat.CardFull, full
	case g.Halve, g.Slow:
		s.State, s.Why = heartbeat.CardSlowed, g.Reason
	}
	if s.State == heartbeat.CardLost || s.State == heartbeat.CardStopped {
		s.Why = fmt.Sprintf("%s; the cores compute", s.Why)
	}
	return s
}
