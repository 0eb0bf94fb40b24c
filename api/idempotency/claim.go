// Package idempotency sees to it that the work of an Idempotency-Key is done once,
// whichever process gets the repeats. It owns its keys in Redis.
package idempotency

import (
	"context"
	"crypto/sha256"
	_ "embed" // the scripts
	"encoding/hex"
	"errors"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/internal/redisfault"
	"github.com/nexus-continuum/nexus/job"
)

var (
	//go:embed claim.lua
	claimLua string
	//go:embed keep.lua
	keepLua string
	//go:embed drop.lua
	dropLua string

	claimScript, keepScript, dropScript = redis.NewScript(claimLua), redis.NewScript(keepLua), redis.NewScript(dropLua)
)

// claimTTL is how long a claim in flight lasts after its process has died.
const claimTTL = 15 * time.Second

// Unread is the digest of a body that was not read yet. It matches every other digest
// until SetDigest sets the real one.
const Unread = ""

// Listener receives the messages of Redis; *queue.Queue implements it.
type Listener interface {
	// Listen calls onMessage for each message on a channel of Redis until off is called.
	Listen(ctx context.Context, channel string, onMessage func(msg string, renewed bool)) (off func())
}

// Options configure Keys. Redis and Listener are required.
type Options struct {
	// Redis holds the claims and their outcomes; the caller closes it.
	Redis    redis.UniversalClient
	Listener Listener
	Prefix   string // of every key; "nexus:"
	// Timeout is how long one command to Redis may take; default 900 ms.
	Timeout time.Duration
}

// Keys are the Idempotency-Keys of the cluster, as one process claims them. They are safe
// for concurrent use.
type Keys struct {
	opt  Options
	life context.Context
}

// New makes Keys. Waiting for claims and renewing them ends with life.
func New(life context.Context, opt Options) *Keys {
	if opt.Prefix == "" {
		opt.Prefix = "nexus:"
	}
	if opt.Timeout == 0 {
		opt.Timeout = 900 * time.Millisecond
	}
	return &Keys{opt: opt, life: life}
}

// withTimeout limits one exchange with Redis to Options.Timeout.
func (k *Keys) withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, k.opt.Timeout)
}

// Claim is the right to do the work of an Idempotency-Key. It must be ended by exactly
// one of Keep and Drop.
type Claim struct {
	// JobID is the id for the job that the work makes. A later claim of the same key
	// gets the same JobID if the earlier caller could not tell whether its job was
	// made.
	JobID string

	keys    *Keys
	key     string
	channel string
	digest  string
	id      string
	ttl     time.Duration

	mu      sync.Mutex
	refresh *time.Timer
	ended   bool
}

// Once claims a key within a scope (the client and the route). The first caller gets a
// claim: it does the work and keeps the outcome, or drops the claim. A repeat with the
// same body digest gets the outcome, and waits for it while the first is in flight. If
// the first drops the claim or dies, one of the waiting repeats gets the claim. A
// repeat with another digest gets CodeIdempotencyReuse. ttl is how long the outcome is
// kept.
func (k *Keys) Once(ctx context.Context, scope, key, digest string, ttl time.Duration) (*Claim, []byte, error) {
	sum := sha256.Sum256([]byte(scope + "\x00" + key))
	name := hex.EncodeToString(sum[:16])
	c := &Claim{
		keys: k, key: k.opt.Prefix + "{" + name + "}:once", channel: k.opt.Prefix + "{" + name + "}:settled",
		JobID: job.NewID(), digest: digest, id: job.NewID(), ttl: ttl,
	}
	verdict, outcome, err := c.try(ctx, false)
	if err != nil || verdict != "busy" {
		return c.answer(verdict, outcome, err)
	}
	news := make(chan struct{}, 1)
	off := k.opt.Listener.Listen(ctx, c.channel, func(string, bool) {
		select {
		case news <- struct{}{}:
		default: // it has yet to look
		}
	})
	defer off()
	poll := time.NewTicker(time.Second) // for a first whose process died
	defer poll.Stop()
	for {
		verdict, outcome, err := c.try(ctx, false)
		if err != nil || verdict != "busy" {
			return c.answer(verdict, outcome, err)
		}
		select {
		case <-news:
		case <-poll.C:
		case <-k.life.Done():
			return nil, nil, redisfault.Unavailable("wait for the first use of an idempotency key", errors.New("this process is stopping"))
		case <-ctx.Done():
			return nil, nil, job.Errorf(job.CodeCanceled, "the caller went away").Because(context.Cause(ctx))
		}
	}
}

func (c *Claim) answer(verdict string, outcome []byte, err error) (*Claim, []byte, error) {
	switch {
	case err != nil:
		return nil, nil, redisfault.Unavailable("claim an idempotency key", err)
	case verdict == "done":
		return nil, outcome, nil
	case verdict == "reuse":
		return nil, nil, job.Errorf(job.CodeIdempotencyReuse,
			"this Idempotency-Key was used with another body; use a new key for a new request").On("Idempotency-Key")
	}
	c.JobID = string(outcome)
	c.again()
	return c, nil, nil
}

// try claims the key. With renew it only renews a claim that is ours.
func (c *Claim) try(ctx context.Context, renew bool) (string, []byte, error) {
	ctx, cancel := c.keys.withTimeout(ctx)
	defer cancel()
	got, err := claimScript.Run(ctx, c.keys.opt.Redis, []string{c.key}, c.currentDigest(), c.id, claimTTL.Milliseconds(), c.JobID, c.ttl.Milliseconds(), renew).StringSlice()
	if err != nil {
		return "", nil, err
	}
	if len(got) == 2 {
		return got[0], []byte(got[1]), nil
	}
	return got[0], nil, nil
}

// SetDigest sets the digest of a body that was unread when the key was claimed.
func (c *Claim) SetDigest(digest string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.digest = digest
}

func (c *Claim) currentDigest() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.digest
}

// again renews the claim while its work continues.
func (c *Claim) again() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || c.keys.life.Err() != nil {
		return
	}
	c.refresh = time.AfterFunc(claimTTL/3, func() {
		_, _, _ = c.try(c.keys.life, true) // a failure is made good by the next, or by Keep
		c.again()
	})
}

func (c *Claim) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if c.refresh != nil {
		c.refresh.Stop()
	}
}

// Keep ends the claim and stores its outcome, which every repeat gets from then on.
// Errors: CodeUnavailable.
func (c *Claim) Keep(ctx context.Context, outcome []byte) error {
	c.end()
	ctx, cancel := c.keys.withTimeout(ctx)
	defer cancel()
	err := keepScript.Run(ctx, c.keys.opt.Redis, []string{c.key}, c.currentDigest(), c.id, outcome, c.ttl.Milliseconds(), c.channel).Err()
	if err != nil && !errors.Is(err, redis.Nil) {
		return redisfault.Unavailable("keep the outcome of an idempotency key", err)
	}
	return nil
}

// Drop ends the claim without an outcome, so that the next use of the key counts as the
// first. unsure says that the job may have been made anyway; the next use then gets the
// same JobID. Drop does nothing after Keep. Errors: CodeUnavailable.
func (c *Claim) Drop(ctx context.Context, unsure bool) error {
	keep := "0"
	if unsure {
		keep = "1"
	}
	c.end()
	ctx, cancel := c.keys.withTimeout(ctx)
	defer cancel()
	err := dropScript.Run(ctx, c.keys.opt.Redis, []string{c.key}, c.id, c.channel, keep).Err()
	if err != nil && !errors.Is(err, redis.Nil) {
		return redisfault.Unavailable("drop an idempotency key", err)
	}
	return nil
}
