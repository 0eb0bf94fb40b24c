package queue

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// beatLate is the age from which a beat is late: processes beat every second.
const beatLate = 1250 * time.Millisecond

// beating is what this process knows of its own beats.
type beating struct {
	mu   sync.Mutex
	ttl  time.Duration
	ends map[string]func() // of the subscriptions to the channels below, by process id
}

func (q *Queue) beatKey() string { return q.shared("beats", "all") }

// beatKeys are the keys of the beat scripts: all beats, the counts of ended processes,
// and the counts of each process that fell silent.
func (q *Queue) beatKeys() []string {
	return []string{q.beatKey(), q.shared("beats", "past"), q.shared("beats", "retired")}
}

// beatChannel begins the name of the channel of a process that beats. No messages are
// sent there. A process that was killed no longer listens.
func (q *Queue) beatChannel() string { return q.shared("channel", "beat:") }

// Beat publishes payload as the state of process id for ttl. All beats are in one hash,
// so that reading them costs one command.
func (q *Queue) Beat(ctx context.Context, id string, payload []byte, ttl time.Duration) error {
	b := &q.beating
	b.mu.Lock()
	b.ttl = ttl
	if b.ends[id] == nil {
		if b.ends == nil {
			b.ends = map[string]func(){}
		}
		b.ends[id] = q.subscriber.on(ctx, q.beatChannel()+id, func(string, bool) {})
	}
	b.mu.Unlock()
	ctx, cancel := q.withTimeout(ctx)
	defer cancel()
	if err := q.scripts.beat.Run(ctx, q.redis, q.beatKeys(), id, payload, ttl.Milliseconds()).Err(); err != nil {
		return unavailable("beat", err)
	}
	return nil
}

// Unbeat removes the beat of a process that ends. Its counts stay in the totals.
func (q *Queue) Unbeat(ctx context.Context, id string) error {
	q.beating.mu.Lock()
	if off := q.beating.ends[id]; off != nil {
		off()
		delete(q.beating.ends, id)
	}
	q.beating.mu.Unlock()
	ctx, cancel := q.withTimeout(ctx)
	defer cancel()
	if err := q.scripts.unbeat.Run(ctx, q.redis, q.beatKeys()[:2], id).Err(); err != nil {
		return unavailable("withdraw beat", err)
	}
	return nil
}

// late returns the time that a late beat has left to live. It is zero where a process
// that does not listen may live: on a Cluster each node knows only its own listeners,
// and shortly after a Redis outage all of them reconnect.
func (q *Queue) late() time.Duration {
	if _, cluster := q.redis.(*redis.ClusterClient); cluster || q.subscriber.renewedWithin(3*time.Second) {
		return 0
	}
	q.beating.mu.Lock()
	defer q.beating.mu.Unlock()
	return max(0, q.beating.ttl-beatLate)
}

// Beats returns the payloads of all living processes, by process id. A process is dead
// when its beat has run out, or when its beat is late and it no longer listens.
func (q *Queue) Beats(ctx context.Context) (map[string][]byte, error) {
	beats, _, err := q.BeatsAndPast(ctx)
	return beats, err
}

// BeatsAndPast returns Beats and, from the same moment, the counts of the processes
// that have ended. past holds the sums of the numbers under "total" in their last
// beats. The numbers in the map "refusals" there are summed as "refusals:<reason>". The
// counts last as long as Redis keeps its data.
func (q *Queue) BeatsAndPast(ctx context.Context) (beats map[string][]byte, past map[string]int64, err error) {
	ctx, cancel := q.withTimeout(ctx)
	defer cancel()
	got, err := q.scripts.beats.Run(ctx, q.redis, q.beatKeys(), q.late().Milliseconds(), q.beatChannel()).Slice()
	if err != nil || len(got) != 2 {
		return nil, nil, unavailable("read beats", err)
	}
	living, sums := texts(got[0]), texts(got[1])
	beats, past = make(map[string][]byte, len(living)/2), make(map[string]int64, len(sums)/2)
	for i := 0; i+1 < len(living); i += 2 {
		beats[living[i]] = []byte(living[i+1])
	}
	for i := 0; i+1 < len(sums); i += 2 {
		past[sums[i]], _ = strconv.ParseInt(sums[i+1], 10, 64)
	}
	return beats, past, nil
}
