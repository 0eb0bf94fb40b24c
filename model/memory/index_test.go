package memory

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// Keys are hashes and lie evenly, which lookups count on for speed alone: with
// any keys they find what was added, the oldest first, whatever the steps.
func TestIndexFindsWhatWasAdded(t *testing.T) {
	t.Parallel()
	draws := map[string]func(*rand.Rand) uint64{
		"even":         (*rand.Rand).Uint64,
		"at the start": func(r *rand.Rand) uint64 { return r.Uint64() >> 50 },
		"at the end":   func(r *rand.Rand) uint64 { return ^(r.Uint64() >> 50) },
		"in heaps":     func(r *rand.Rand) uint64 { return r.Uint64N(4)<<62 + r.Uint64N(9) },
		"few":          func(r *rand.Rand) uint64 { return r.Uint64N(3) },
	}
	for name, draw := range draws {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(1, 2))
			want, x, next := map[uint64][]uint32{}, index{}, uint32(0)
			for range 60 {
				var pairs []pair
				for range 1 + r.IntN(200) {
					key := draw(r)
					pairs = append(pairs, pair{key, next})
					want[key] = append(want[key], next)
					next++
				}
				x = x.with(pairs)
			}
			for range 2000 {
				key := draw(r) + r.Uint64N(3) - 1
				got := x.append(nil, key, len(want[key])+1)
				if !slices.Equal(got, want[key]) || x.count(key) != len(got) {
					t.Fatalf("key %d has %v (%d), want %v", key, got, x.count(key), want[key])
				}
				x.newest(key, func(v uint32) bool {
					if last := len(got) - 1; got[last] == v {
						got = got[:last]
						return true
					}
					t.Fatalf("key %d: the newest first gives %d, want the end of %v", key, v, got)
					return false
				})
			}
		})
	}
}
