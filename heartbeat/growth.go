package heartbeat

import (
	"slices"
	"time"
)

// Growth finds how fast memory grows, in MB per hour. It looks at the lowest
// reading of each quarter minute, so that the sawtooth of garbage collection
// falls away, and takes the median of all slopes between them (Theil–Sen),
// which a single jump does not move.
type Growth struct {
	lows []low
	last int64
}

type low struct {
	at time.Time
	mb float64
}

const (
	growthSlot = 15 * time.Second
	// growthSpan slots are an hour.
	growthSpan = 240
	// growthMin slots are the five minutes before which nothing is claimed:
	// every process grows while it starts.
	growthMin = 20
	// growthStart slots at the beginning are left out for the same reason.
	growthStart = 4
)

// Add takes a reading.
func (g *Growth) Add(at time.Time, mb float64) {
	slot := at.UnixNano() / int64(growthSlot)
	if len(g.lows) > 0 && slot == g.last {
		l := &g.lows[len(g.lows)-1]
		l.mb = min(l.mb, mb)
		return
	}
	g.last = slot
	g.lows = append(g.lows, low{at: at, mb: mb})
	if len(g.lows) > growthSpan+growthStart {
		g.lows = slices.Delete(g.lows, 0, 1)
	}
}

// MBPerHour is the slope; zero until five minutes have been seen.
func (g *Growth) MBPerHour() float64 {
	// The newest slot is not over, so its lowest reading is not known yet.
	if len(g.lows) < growthStart+growthMin+1 {
		return 0
	}
	lows := g.lows[growthStart : len(g.lows)-1]
	slopes := make([]float64, 0, len(lows)*(len(lows)-1)/2)
	for i := range lows {
		for j := i + 1; j < len(lows); j++ {
			if hours := lows[j].at.Sub(lows[i].at).Hours(); hours > 0 {
				slopes = append(slopes, (lows[j].mb-lows[i].mb)/hours)
			}
		}
	}
	if len(slopes) == 0 {
		return 0
	}
	slices.Sort(slopes)
	return finite(slopes[len(slopes)/2])
}
