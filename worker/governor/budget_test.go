package governor

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// Training that always has work and a free core takes what it is allowed, no
// less than five points below it and no more than five above, however long its
// slices are and however late a busy machine wakes it.
func TestBudgetIsUsed(t *testing.T) {
	t.Parallel()
	const cores, span = 2, 5 * time.Minute
	for _, limit := range []float64{5, 10, 25, 45} {
		for _, late := range []time.Duration{0, 20 * time.Millisecond, 60 * time.Millisecond} {
			t.Run(fmt.Sprintf("limit=%g/late=%s", limit, late), func(t *testing.T) {
				t.Parallel()
				rng := rand.New(rand.NewPCG(uint64(limit), uint64(late)))
				began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
				now, used := began, time.Duration(0)
				var b budget
				for now.Sub(began) < span {
					b.setRate(now, limit/100*cores)
					if wait := b.wait(now); wait > 0 {
						now = now.Add(wait)
						if late > 0 {
							now = now.Add(time.Duration(rng.Int64N(int64(late))))
						}
						continue
					}
					slice := time.Duration(5+rng.IntN(75)) * time.Millisecond
					now, used = now.Add(slice), used+slice
					b.spend(now, slice)
				}
				share := 100 * used.Seconds() / span.Seconds() / cores
				if share < limit-5 || share > limit+5 {
					t.Errorf("training takes %.1f %% of the machine, allowed are %g", share, limit)
				}
				t.Logf("%.1f %%", share)
			})
		}
	}
}
