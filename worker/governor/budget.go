package governor

import (
	"sync"
	"time"
)

// budget is a token bucket of CPU time. It fills at the allowed share of the
// machine and is emptied by what training really used, so that the share taken
// in the long run is the share allowed, however long a slice was and whoever
// else was using the cores.
type budget struct {
	mu      sync.Mutex
	rate    float64 // CPU seconds a second
	balance float64 // CPU seconds; negative is a debt
	at      time.Time
}

// burst bounds what may be saved up: a pause is not repaid by a long burst.
const burst = 100 * time.Millisecond

// setRate changes the rate from now on.
func (b *budget) setRate(now time.Time, rate float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill(now)
	b.rate = rate
}

// spend takes used from the balance.
func (b *budget) spend(now time.Time, used time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	// First the cost, then what came in during the slice: the other way round a
	// long slice would lose to the burst bound what it was about to pay.
	b.balance -= used.Seconds()
	b.fill(now)
}

// wait returns how long until the debt is paid; zero if there is none.
func (b *budget) wait(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill(now)
	if b.balance >= 0 {
		return 0
	}
	if b.rate <= 0 {
		return time.Hour
	}
	return time.Duration(-b.balance / b.rate * float64(time.Second))
}

func (b *budget) fill(now time.Time) {
	if !b.at.IsZero() {
		if passed := now.Sub(b.at).Seconds(); passed > 0 {
			b.balance = min(b.balance+passed*b.rate, burst.Seconds())
		}
	}
	b.at = now
}
