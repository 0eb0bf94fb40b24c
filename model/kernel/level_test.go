package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// levels returns all levels that this CPU can run.
func levels() []Level {
	var all []Level
	for l := Generic; l <= best; l++ {
		all = append(all, l)
	}
	return all
}

// eachLevel runs a test at every level as a parallel subtest.
func eachLevel(t *testing.T, test func(t *testing.T, l Level)) {
	t.Helper()
	for _, l := range levels() {
		t.Run(l.String(), func(t *testing.T) {
			t.Parallel()
			test(t, l)
		})
	}
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 17)) }

// normal fills a new slice with normally distributed numbers.
func normal(r *rand.Rand, n int) []float32 { return fill(r, make([]float32, n)) }

func fill(r *rand.Rand, x []float32) []float32 {
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// canary is a NaN that arithmetic does not make, put where nothing may be written.
var canary = math.Float32frombits(0x7fc0dead)

func fillCanary(x []float32) []float32 {
	for i := range x {
		x[i] = canary
	}
	return x
}

func isCanary(v float32) bool { return math.Float32bits(v) == math.Float32bits(canary) }

func TestFeaturesNameTheLevel(t *testing.T) {
	t.Parallel()
	names := map[string]bool{"generic": true, "avx2": true, "avx512": true, "avx512-vnni": true}
	if !names[Features()] || Features() != Best().String() {
		t.Errorf("Features() = %q at level %v", Features(), Best())
	}
}
