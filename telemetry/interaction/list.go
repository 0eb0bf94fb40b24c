package interaction

import (
	"context"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/internal/redisfault"
	"github.com/nexus-continuum/nexus/job"
)

// List is one of the lists of the interaction log that a person can review.
type List string

// The lists.
const (
	ListRefused List = "refusals"
	ListWrong   List = "wrong"  // answers that people marked as wrong
	ListUnsure  List = "unsure" // answers given with little confidence
)

func (log *Log) listKey(l List) string { return log.key(string(l)) }

// lists holds every List.
var lists = []List{ListRefused, ListWrong, ListUnsure}

// Unsure reports whether an answer was given with little confidence: in the lower third
// between the threshold and certainty.
func Unsure(confidence, threshold float64) bool {
	return confidence < threshold+(1-threshold)/3
}

// inboxOf returns the list that an interaction belongs to when it is logged; empty
// means none.
func inboxOf(it *job.Interaction) List {
	switch {
	case it.Prompt == "":
		return ""
	case !it.Responded:
		return ListRefused
	case Unsure(it.Confidence, it.Threshold):
		return ListUnsure
	}
	return ""
}

// MarkWrong records that a person judged the answer of an interaction to be wrong.
func (log *Log) MarkWrong(ctx context.Context, it job.Interaction) error {
	b, err := encodeLine(&it)
	if err != nil {
		return err
	}
	rctx, cancel := log.withTimeout(ctx)
	defer cancel()
	pipe := log.redis.TxPipeline()
	pipe.XAdd(rctx, lineOf(log.listKey(ListWrong), it.ID, b))
	pipe.XTrimMaxLenApprox(rctx, log.listKey(ListWrong), max(log.opt.Length/5, 1), 0)
	pipe.ZRem(rctx, log.resolvedKey(), refusalID(it)) // who called it right before was mistaken
	if err := log.addEvent(rctx, pipe, ledgerEvent{Op: "unsettle", IDs: []string{refusalID(it)}}); err != nil {
		return err
	}
	if _, err := pipe.Exec(rctx); err != nil {
		return redisfault.Unavailable("note a wrong answer", err)
	}
	return nil
}

// Hits is how often lessons answered, and when they last did.
type Hits struct {
	Count  int64
	LastAt int64 // Unix ms
}

func (log *Log) hitsKey() string    { return log.key("hits") }
func (log *Log) lastHitKey() string { return log.key("lasthit") }

// countHits adds the answers of a batch to the counts of the lessons that gave them.
func (log *Log) countHits(ctx context.Context, pipe redis.Pipeliner, batch []job.Interaction) {
	hits := map[string]*Hits{}
	for i := range batch {
		it := &batch[i]
		if !it.Responded || len(it.Lessons) == 0 {
			continue
		}
		h := hits[it.Lessons[0]]
		if h == nil {
			h = &Hits{}
			hits[it.Lessons[0]] = h
		}
		h.Count++
		if it.At != nil {
			h.LastAt = max(h.LastAt, it.At.UnixMilli())
		}
	}
	var last []any
	for lesson, h := range hits {
		pipe.HIncrBy(ctx, log.hitsKey(), lesson, h.Count)
		if h.LastAt > 0 {
			last = append(last, lesson, h.LastAt)
		}
	}
	if len(last) > 0 {
		pipe.HSet(ctx, log.lastHitKey(), last...)
	}
}

// Hits returns how often each lesson answered, by lesson id. LastAt is not set. Errors:
// CodeUnavailable.
func (log *Log) Hits(ctx context.Context) (map[string]Hits, error) {
	rctx, cancel := log.withTimeout(ctx)
	defer cancel()
	counts, err := log.redis.HGetAll(rctx, log.hitsKey()).Result()
	if err != nil {
		return nil, redisfault.Unavailable("read how often lessons answered", err)
	}
	out := make(map[string]Hits, len(counts))
	for lesson, n := range counts {
		out[lesson] = Hits{Count: number(n)}
	}
	return out, nil
}

// HitsOf returns, for each list of lesson ids, how often those lessons answered in
// total and when one last did. Errors: CodeUnavailable.
func (log *Log) HitsOf(ctx context.Context, lessons ...[]string) ([]Hits, error) {
	var ids []string
	for _, l := range lessons {
		ids = append(ids, l...)
	}
	if len(ids) == 0 {
		return make([]Hits, len(lessons)), nil
	}
	rctx, cancel := log.withTimeout(ctx)
	defer cancel()
	pipe := log.redis.Pipeline()
	counts, last := pipe.HMGet(rctx, log.hitsKey(), ids...), pipe.HMGet(rctx, log.lastHitKey(), ids...)
	if _, err := pipe.Exec(rctx); err != nil {
		return nil, redisfault.Unavailable("read how often lessons answered", err)
	}
	out := make([]Hits, len(lessons))
	n := 0
	for i, l := range lessons {
		for range l {
			out[i].Count += number(counts.Val()[n])
			out[i].LastAt = max(out[i].LastAt, number(last.Val()[n]))
			n++
		}
	}
	return out, nil
}

// number is a count that Redis keeps as text, 0 where there is none.
func number(v any) int64 {
	s, _ := v.(string)
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}
