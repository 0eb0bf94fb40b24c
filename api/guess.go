package api

import (
	"sync"
	"time"

	"github.com/nexus-continuum/nexus/job"
)

// How many wrong keys an address may send.
const (
	wrongRPM   = 20
	wrongBurst = 10
)

// guesses counts wrong keys by address, on every route. Beyond the limit an
// address gets in only with a key that it used before: neither does a guess tell
// anything then, nor can a neighbour behind the same address lock others out.
type guesses struct {
	wrong *buckets

	mu   sync.Mutex
	good map[string]bool // address and key
}

func newGuesses() *guesses { return &guesses{wrong: newBuckets(), good: map[string]bool{}} }

// heed says whether a key may be taken from an address; ok is whether it is right.
func (g *guesses) heed(address, name string, ok bool, now time.Time) *job.Error {
	if !ok {
		if _, _, wait := g.wrong.take(address, 1, wrongRPM, wrongBurst, now); wait > 0 {
			return tooManyGuesses(wait)
		}
		return job.Errorf(job.CodeUnauthorized, "the API key is not known here, or no longer valid")
	}
	pair := address + " " + name
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.good[pair] {
		return nil
	}
	if wait := g.wrong.blocked(address, wrongRPM, wrongBurst, now); wait > 0 {
		return tooManyGuesses(wait)
	}
	if len(g.good) >= maxBuckets {
		clear(g.good)
	}
	g.good[pair] = true
	return nil
}

func tooManyGuesses(wait time.Duration) *job.Error {
	return job.Errorf(job.CodeRateLimited, "too many wrong API keys came from this address; try again later").After(wait)
}
