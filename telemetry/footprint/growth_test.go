package footprint

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// sure is the confidence from which growth is reported (see api and deploy).
const sure = 0.95

// watch feeds readings of one a second and returns what is found at the end.
func watch(span time.Duration, mb func(second float64) float64) Trend {
	var g Growth
	at := time.Date(2026, 1, 10, 12, 0, 7, 0, time.UTC)
	for i := range int(span.Seconds()) {
		g.Add(at.Add(time.Duration(i)*time.Second), mb(float64(i)))
	}
	return g.Trend()
}

// leak grows by 60 MB an hour.
func leak(second float64) float64 { return 200 + second/60 }

// sawtooth rises by height MB until a collection each period seconds.
func sawtooth(period, height float64) func(float64) float64 {
	return func(second float64) float64 { return height * math.Mod(second, period) / period }
}

func TestALeakIsFoundWithinTenMinutes(t *testing.T) {
	t.Parallel()
	noise := rand.New(rand.NewPCG(1, 2))
	for name, over := range map[string]func(float64) float64{
		"bare":             func(float64) float64 { return 0 },
		"noise":            func(float64) float64 { return 2 * noise.NormFloat64() },
		"fast collections": sawtooth(13, 150),
		"slow collections": sawtooth(110, 150),
		"a burst of work":  func(s float64) float64 { return map[bool]float64{true: 80}[s > 200 && s < 260] },
		"it began lower":   func(float64) float64 { return -100 },
	} {
		got := watch(10*time.Minute, func(s float64) float64 { return leak(s) + over(s) })
		if math.Abs(got.MBPerHour-60) > 20 || got.Confidence < sure || got.Low > got.MBPerHour || got.High < got.MBPerHour {
			t.Errorf("%s: %+v, want 60 MB/h with a confidence of 95 %% or more", name, got)
		}
	}
}

// Go's heap comes from the system in lumps.
func TestALeakInStepsIsFoundToo(t *testing.T) {
	t.Parallel()
	if got := watch(time.Hour, func(s float64) float64 { return 200 + 4*math.Floor(s/240) }); math.Abs(got.MBPerHour-60) > 6 || got.Confidence < sure {
		t.Errorf("%+v, want 60 MB/h", got)
	}
}

func TestWhatIsNoLeakIsNotTakenForOne(t *testing.T) {
	t.Parallel()
	noise := rand.New(rand.NewPCG(3, 4))
	for name, mb := range map[string]func(float64) float64{
		"steady":                func(float64) float64 { return 0 },
		"noise":                 func(float64) float64 { return 20 * noise.Float64() },
		"collected every 13 s":  sawtooth(13, 260),
		"collected every 47 s":  sawtooth(47, 500),
		"collected every 2 min": sawtooth(120, 500),
		"collected every 4 min": sawtooth(240, 300),
		"a model was loaded":    func(s float64) float64 { return map[bool]float64{true: 80}[s > 1800] },
		"and another":           func(s float64) float64 { return map[bool]float64{true: 80}[s > 3000] },
		"training came by":      func(s float64) float64 { return map[bool]float64{true: 300}[s > 1000 && s < 1700] },
	} {
		for _, span := range []time.Duration{10 * time.Minute, 27 * time.Minute, time.Hour} {
			got := watch(span, func(s float64) float64 { return 200 + mb(s) })
			if got.MBPerHour > 10 && got.Confidence >= sure {
				t.Errorf("%s, after %v: %+v", name, span, got)
			}
		}
	}
}

func TestShrinkingIsSeen(t *testing.T) {
	t.Parallel()
	if got := watch(30*time.Minute, func(s float64) float64 { return 900 - s/6 }); math.Abs(got.MBPerHour+600) > 60 || got.Confidence < sure || got.High >= 0 {
		t.Errorf("%+v, want -600 MB/h", got)
	}
}

func TestNothingIsClaimedAtStart(t *testing.T) {
	t.Parallel()
	if got := watch(5*time.Minute, func(s float64) float64 { return s }); got != (Trend{}) {
		t.Errorf("%+v in the first five minutes", got)
	}
}

func TestWhatIsKeptIsBounded(t *testing.T) {
	t.Parallel()
	var g Growth
	at := time.Now()
	for i := range 5000 {
		g.Add(at.Add(time.Duration(i)*growthSlot), float64(i))
	}
	if n := len(g.lows); n > growthSpan+growthStart {
		t.Errorf("%d readings are kept", n)
	}
}

func BenchmarkTrend(b *testing.B) {
	var g Growth
	at := time.Now()
	for i := range 5000 {
		g.Add(at.Add(time.Duration(i)*growthSlot), float64(i))
	}
	for b.Loop() {
		g.Trend()
	}
}
