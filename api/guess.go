package api

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/nexus-continuum/nexus/job"
)

// Limits on the wrong keys that an address may send.
const (
	wrongRPM   = 20
	wrongBurst = 10
)

// guesses counts wrong keys by address, on every route. A repeated wrong key does not
// count again, so that a client with an old key does not lock out its neighbours.
// Beyond the limit an address is admitted only with a key that it used before. A guess
// then reveals nothing, and a guesser cannot lock out others behind the same address.
type guesses struct {
	wrong *buckets

	mu   sync.Mutex
	good map[string]bool            // address and name of the key
	old  map[[sha256.Size]byte]bool // wrong keys that were counted, with their address
}

func newGuesses() *guesses {
	return &guesses{wrong: newBuckets(), good: map[string]bool{}, old: map[[sha256.Size]byte]bool{}}
}

// check returns an error if a key may not be accepted from an address. name is the name
// of the key; empty if the key is wrong.
func (g *guesses) check(address, given, name string, now time.Time) *job.Error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if name == "" {
		unknown := job.Errorf(job.CodeUnauthorized, "the API key is not known here, or no longer valid")
		sum := sha256.Sum256([]byte(address + " " + given))
		if g.old[sum] {
			return unknown
		}
		if _, _, wait := g.wrong.take(address, 1, wrongRPM, wrongBurst, now); wait > 0 {
			return tooManyGuesses(wait)
		}
		if len(g.old) >= maxBuckets {
			clear(g.old)
		}
		g.old[sum] = true
		return unknown
	}
	pair := address + " " + name
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
