// Package presence shows every process of the cluster to the others: the beat that each
// sends, the counts of those that have ended, and roll calls, which have all of them
// beat at once. It owns its keys in Redis; they begin with "nexus:{beats}:" and
// "nexus:{channel}:".
package presence

import (
	"context"
	_ "embed" // the scripts
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/internal/lifecycle"
	"github.com/nexus-continuum/nexus/internal/redisfault"
	"github.com/nexus-continuum/nexus/internal/redisreply"
	"github.com/nexus-continuum/nexus/job"
)

var (
	//go:embed totals.lua
	totalsLua string
	//go:embed beat.lua
	beatLua string
	//go:embed beats.lua
	beatsLua string
	//go:embed unbeat.lua
	unbeatLua string

	beatScript   = redis.NewScript(totalsLua + beatLua)
	beatsScript  = redis.NewScript(totalsLua + beatsLua)
	unbeatScript = redis.NewScript(totalsLua + unbeatLua)
)

// beatLate is the age from which a beat is late: processes beat every second.
const beatLate = 1250 * time.Millisecond

// Listener receives the messages of Redis; *queue.Queue implements it.
type Listener interface {
	// Listen calls onMessage for each message on a channel of Redis until off is called.
	// renewed says that messages may have been missed.
	Listen(ctx context.Context, channel string, onMessage func(msg string, renewed bool)) (off func())
	// AliveChannel returns channel if a script that counts its listeners learns whether
	// their process is alive, and something else if it does not.
	AliveChannel(channel string) string
}

// Options configure a Presence. Redis and Listener are required.
type Options struct {
	// Redis holds the beats; the caller closes it.
	Redis    redis.UniversalClient
	Listener Listener
	Prefix   string // of every key; "nexus:"
	// Timeout is how long one command to Redis may take; default 900 ms.
	Timeout time.Duration
}

// Presence is the part of one process in it. It is safe for concurrent use.
type Presence struct {
	opt   Options
	id    string // of this process, in roll calls
	redis redis.UniversalClient
	rolls rollCalls
	life  lifecycle.Life

	mu   sync.Mutex
	ttl  time.Duration     // of the last beat
	ends map[string]func() // of the subscriptions to the channels below, by process id
}

// New makes a Presence. It sends nothing to Redis before the first use.
func New(opt Options) *Presence {
	if opt.Prefix == "" {
		opt.Prefix = "nexus:"
	}
	if opt.Timeout == 0 {
		opt.Timeout = 900 * time.Millisecond
	}
	return &Presence{opt: opt, id: job.NewID(), redis: opt.Redis, ends: map[string]func(){}}
}

// Start makes it ready to answer roll calls.
func (p *Presence) Start(ctx context.Context) error {
	return p.life.Start(ctx, func(context.Context) error { return nil })
}

// Stop ends the answers to roll calls.
func (p *Presence) Stop(ctx context.Context) error { return p.life.Stop(ctx) }

func (p *Presence) key(tag, rest string) string { return p.opt.Prefix + "{" + tag + "}:" + rest }

// withTimeout limits one exchange with Redis to Options.Timeout.
func (p *Presence) withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, p.opt.Timeout)
}

func (p *Presence) beatKey() string { return p.key("beats", "all") }

// beatKeys are the keys of the beat scripts: all beats, the counts of ended processes,
// and the counts of each process that fell silent.
func (p *Presence) beatKeys() []string {
	return []string{p.beatKey(), p.key("beats", "past"), p.key("beats", "retired")}
}

// beatChannel begins the name of the channel of a process that beats. No messages are
// sent there. A process that was killed no longer listens.
func (p *Presence) beatChannel() string { return p.key("channel", "beat:") }

// Beat publishes payload as the state of process id for ttl. All beats are in one hash,
// so that reading them costs one command.
func (p *Presence) Beat(ctx context.Context, id string, payload []byte, ttl time.Duration) error {
	p.mu.Lock()
	p.ttl = ttl
	if p.ends[id] == nil {
		p.ends[id] = p.opt.Listener.Listen(ctx, p.beatChannel()+id, func(string, bool) {})
	}
	p.mu.Unlock()
	ctx, cancel := p.withTimeout(ctx)
	defer cancel()
	if err := beatScript.Run(ctx, p.redis, p.beatKeys(), id, payload, ttl.Milliseconds()).Err(); err != nil {
		return redisfault.Unavailable("beat", err)
	}
	return nil
}

// Remove removes the beat of a process that ends. Its counts stay in the totals.
func (p *Presence) Remove(ctx context.Context, id string) error {
	p.mu.Lock()
	if off := p.ends[id]; off != nil {
		off()
		delete(p.ends, id)
	}
	p.mu.Unlock()
	ctx, cancel := p.withTimeout(ctx)
	defer cancel()
	if err := unbeatScript.Run(ctx, p.redis, p.beatKeys()[:2], id).Err(); err != nil {
		return redisfault.Unavailable("withdraw beat", err)
	}
	return nil
}

// late returns the time that a late beat has left to live. It is zero where a process
// that does not listen may live.
func (p *Presence) late() time.Duration {
	if roll := p.rollChannel(); p.opt.Listener.AliveChannel(roll) != roll {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(0, p.ttl-beatLate)
}

// Beats returns the payloads of all living processes, by process id. A process is dead
// when its beat has run out, or when its beat is late and it no longer listens.
func (p *Presence) Beats(ctx context.Context) (map[string][]byte, error) {
	beats, _, err := p.BeatsAndPast(ctx)
	return beats, err
}

// BeatsAndPast returns Beats and, from the same moment, the counts of the processes
// that have ended. past holds the sums of the numbers under "total" in their last
// beats. The numbers in the map "refusals" there are summed as "refusals:<reason>". The
// counts last as long as Redis keeps its data.
func (p *Presence) BeatsAndPast(ctx context.Context) (beats map[string][]byte, past map[string]int64, err error) {
	ctx, cancel := p.withTimeout(ctx)
	defer cancel()
	got, err := beatsScript.Run(ctx, p.redis, p.beatKeys(), p.late().Milliseconds(), p.beatChannel()).Slice()
	if err != nil || len(got) != 2 {
		return nil, nil, redisfault.Unavailable("read beats", err)
	}
	living, sums := redisreply.Texts(got[0]), redisreply.Texts(got[1])
	beats, past = make(map[string][]byte, len(living)/2), make(map[string]int64, len(sums)/2)
	for i := 0; i+1 < len(living); i += 2 {
		beats[living[i]] = []byte(living[i+1])
	}
	for i := 0; i+1 < len(sums); i += 2 {
		past[sums[i]], _ = strconv.ParseInt(sums[i+1], 10, 64)
	}
	return beats, past, nil
}
