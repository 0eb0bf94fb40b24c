package interaction

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/internal/redisfault"
	"github.com/nexus-continuum/nexus/internal/streamid"
)

const (
	// ledgerStep is how many entries are read in one exchange.
	ledgerStep = 2000
	// ledgerEvents limits how many drops are remembered. A process that missed more
	// reads the list again.
	ledgerEvents = 10_000
)

// book is the ledger of one list, made on first use.
type book struct {
	mu     sync.Mutex
	ledger *ledger
}

// books are the ledgers of a process.
type books struct {
	mu sync.Mutex
	of map[List]*book
}

func (log *Log) book(list List) *book {
	log.books.mu.Lock()
	defer log.books.mu.Unlock()
	if log.books.of == nil {
		log.books.of = map[List]*book{}
	}
	if log.books.of[list] == nil {
		log.books.of[list] = &book{}
	}
	return log.books.of[list]
}

// ledgerEvent tells other processes which entries were removed from the lists.
type ledgerEvent struct {
	Op    string   `json:"op"` // drop, settle or unsettle
	List  List     `json:"list,omitempty"`
	Owner *string  `json:"owner,omitempty"`
	IDs   []string `json:"ids"` // of wordings
	Upto  string   `json:"upto,omitempty"`
}

// eventKey is the stream of ledger events.
func (log *Log) eventKey() string { return log.key("groups") }

// addEvent adds an event to a pipeline.
func (log *Log) addEvent(ctx context.Context, pipe redis.Pipeliner, e ledgerEvent) error {
	b, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode a change of groups: %w", err)
	}
	pipe.XAdd(ctx, &redis.XAddArgs{Stream: log.eventKey(), MaxLen: ledgerEvents, Approx: true, Values: []any{"v", b}})
	return nil
}

// follow brings a ledger up to date. If the ledger then disagrees with the list, it is
// built again, because the list was changed in another way.
func (log *Log) follow(ctx context.Context, list List, b *book) error {
	if b.ledger != nil {
		agrees, err := log.catchUp(ctx, list, b.ledger)
		if err != nil || agrees {
			return err
		}
	}
	b.ledger = nil
	l := newLedger()
	rctx, cancel := log.withTimeout(ctx)
	events, err := log.redis.XRevRangeN(rctx, log.eventKey(), "+", "-", 1).Result()
	cancel()
	if err != nil {
		return redisfault.Unavailable("read changes of groups", err)
	}
	if len(events) > 0 {
		l.event = events[0].ID
	}
	if err := log.readResolved(ctx, l); err != nil {
		return err
	}
	b.ledger = l // what was read when ctx ends is not read again
	_, err = log.catchUp(ctx, list, l)
	return err
}

func (log *Log) readResolved(ctx context.Context, l *ledger) error {
	rctx, cancel := log.withTimeout(ctx)
	defer cancel()
	ids, err := log.redis.ZRange(rctx, log.resolvedKey(), 0, -1).Result()
	if err != nil {
		return redisfault.Unavailable("read settled groups", err)
	}
	clear(l.settled)
	for _, id := range ids {
		l.settled[id] = true
	}
	for _, w := range l.byID {
		l.touch(w.id)
	}
	return nil
}

// catchUp reads new entries and reports whether the ledger agrees with the list.
func (log *Log) catchUp(ctx context.Context, list List, l *ledger) (agrees bool, err error) {
	key := log.listKey(list)
	for {
		rctx, cancel := log.withTimeout(ctx)
		pipe := log.redis.TxPipeline() // one moment for all of them
		entries := pipe.XRangeN(rctx, key, "("+l.last, "+", ledgerStep)
		events := pipe.XRangeN(rctx, log.eventKey(), "("+l.event, "+", ledgerStep)
		first, length, settled := pipe.XRangeN(rctx, key, "-", "+", 1), pipe.XLen(rctx, key), pipe.ZCard(rctx, log.resolvedKey())
		_, err := pipe.Exec(rctx)
		cancel()
		if err != nil {
			return false, redisfault.Unavailable("read "+string(list), err)
		}
		for _, e := range entries.Val() {
			id, _ := e.Values["id"].(string)
			s, _ := e.Values["v"].(string)
			it, err := decodeLine(id, s)
			if err != nil {
				return false, fmt.Errorf("read %s: entry %s: %w", list, e.ID, err)
			}
			l.add(e.ID, it)
		}
		for _, e := range events.Val() {
			l.event = e.ID
			s, _ := e.Values["v"].(string)
			var ev ledgerEvent
			if json.Unmarshal([]byte(s), &ev) == nil {
				l.apply(list, ev)
			}
		}
		if len(entries.Val()) == ledgerStep || len(events.Val()) == ledgerStep {
			if ctx.Err() != nil {
				return false, ctx.Err() //nolint:wrapcheck // the caller's own
			}
			continue
		}
		if len(first.Val()) > 0 {
			l.trim(streamid.Split(first.Val()[0].ID))
		} else {
			l.trim(^uint64(0), ^uint64(0))
		}
		if settled.Val() != int64(len(l.settled)) {
			if err := log.readResolved(ctx, l); err != nil {
				return false, err
			}
		}
		return int64(l.live) == length.Val(), nil
	}
}

func (l *ledger) apply(list List, e ledgerEvent) {
	ms, seq := streamid.Split(e.Upto)
	for _, id := range e.IDs {
		switch {
		case e.Op == "settle":
			l.settled[id] = true
			l.touch(id)
		case e.Op == "unsettle":
			delete(l.settled, id)
			l.touch(id)
		case e.Op == "drop" && e.List == list:
			l.drop(id, e.Owner, ms, seq)
		}
	}
}

// touch records that the visibility of a wording has changed.
func (l *ledger) touch(id string) {
	if w := l.byID[id]; w != nil && w.hidden != l.settled[id] {
		w.hidden = l.settled[id]
		l.changed(w.group)
	}
}
