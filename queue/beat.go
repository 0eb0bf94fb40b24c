package queue

import (
	"context"
	"time"
)

func (q *Queue) beatKey() string { return q.shared("beats", "all") }

// Beat tells every process what this one says of itself, for ttl. One hash
// holds all of them, so that reading costs one command.
func (q *Queue) Beat(ctx context.Context, id string, payload []byte, ttl time.Duration) error {
	ctx, cancel := q.patience(ctx)
	defer cancel()
	if err := q.scripts.beat.Run(ctx, q.redis, []string{q.beatKey()}, id, payload, ttl.Milliseconds()).Err(); err != nil {
		return unavailable("beat", err)
	}
	return nil
}

// Unbeat withdraws a beat: the process ends.
func (q *Queue) Unbeat(ctx context.Context, id string) error {
	ctx, cancel := q.patience(ctx)
	defer cancel()
	if err := q.redis.HDel(ctx, q.beatKey(), id).Err(); err != nil {
		return unavailable("withdraw beat", err)
	}
	return nil
}

// Beats returns what the living processes say of themselves, by id.
func (q *Queue) Beats(ctx context.Context) (map[string][]byte, error) {
	ctx, cancel := q.patience(ctx)
	defer cancel()
	all, err := q.scripts.beats.Run(ctx, q.redis, []string{q.beatKey()}).StringSlice()
	if err != nil {
		return nil, unavailable("read beats", err)
	}
	out := make(map[string][]byte, len(all)/2)
	for i := 0; i+1 < len(all); i += 2 {
		out[all[i]] = []byte(all[i+1])
	}
	return out, nil
}
