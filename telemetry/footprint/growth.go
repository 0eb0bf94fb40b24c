package footprint

import (
	"math"
	"slices"
	"time"
)

// Growth finds how fast memory grows, and how sure that is. It keeps the lowest
// reading of each quarter minute and looks at the lowest of the last two
// minutes, so that the sawtooth of garbage collection falls away: Go collects
// at least once in that time. Through these it lays the median of all slopes
// (Theil–Sen), which a single jump does not move.
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
	// growthStart slots at the beginning are left out: every process grows while
	// it starts.
	growthStart = 4
	// growthFloor slots are the two minutes whose lowest reading counts.
	growthFloor = 8
	// growthMin points are asked for before anything is claimed: six minutes
	// after the start.
	growthMin = 12
)

// Trend is what was found of a growth.
type Trend struct {
	MBPerHour float64
	// Low and High bound it with a confidence of 95 % (Sen 1968).
	Low, High float64
	// Confidence, 0 to 1, is how sure it is that the memory moves at all in the
	// direction of MBPerHour (Mann and Kendall's test).
	Confidence float64
}

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

// Trend is zero until six minutes have been seen.
func (g *Growth) Trend() Trend {
	points := g.floor()
	n := len(points)
	if n < growthMin {
		return Trend{}
	}
	slopes := make([]float64, 0, n*(n-1)/2)
	rising, falling, level := 0, 0, 0
	for i := range points {
		for j := i + 1; j < n; j++ {
			hours := points[j].at.Sub(points[i].at).Hours()
			if hours <= 0 {
				continue // the clock was set back
			}
			s := (points[j].mb - points[i].mb) / hours
			switch {
			case s > 0:
				rising++
			case s < 0:
				falling++
			case j-i >= growthFloor:
				// Neighbours may have their lowest reading in common; others of the
				// same height speak against a trend, as beside a single jump.
				level++
			}
			slopes = append(slopes, s)
		}
	}
	if len(slopes) == 0 {
		return Trend{}
	}
	slices.Sort(slopes)
	all := len(slopes)
	// The deviation of Kendall's S without a trend; since neighbours share most of
	// their two minutes, points count for as many fewer. Simulated, it is 5 to
	// 10 % less.
	deviation := math.Sqrt(float64(n*(n-1)*(2*n+5)) / 18 * growthFloor)
	t := Trend{MBPerHour: slopes[all/2]}
	half := 1.96 * deviation / 2
	t.Low = slopes[max(0, int(float64(all)/2-half))]
	t.High = slopes[min(all-1, int(math.Ceil(float64(all)/2+half)))]
	excess := rising - falling
	if t.MBPerHour < 0 {
		excess = -excess
	}
	if excess -= level; excess > 0 {
		t.Confidence = math.Erf(float64(excess) / deviation / math.Sqrt2)
	}
	return t
}

// floor gives for each slot that is over the lowest reading of the two minutes
// that end with it.
func (g *Growth) floor() []low {
	// The newest slot is not over, so its lowest reading is not known yet.
	end := len(g.lows) - 1
	var out []low
	for i := growthStart + growthFloor - 1; i < end; i++ {
		l := low{at: g.lows[i].at, mb: g.lows[i].mb}
		for _, before := range g.lows[i-growthFloor+1 : i] {
			l.mb = min(l.mb, before.mb)
		}
		out = append(out, l)
	}
	return out
}
