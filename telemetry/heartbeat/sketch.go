package heartbeat

import (
	"fmt"

	"github.com/DataDog/sketches-go/ddsketch"
	"github.com/DataDog/sketches-go/ddsketch/mapping"
	"github.com/DataDog/sketches-go/ddsketch/store"
)

// Sketch is an encoded DDSketch (Masson, Rim, Lee: "DDSketch: a fast and
// fully-mergeable quantile sketch with relative-error guarantees", VLDB 2019):
// quantiles of merged sketches are as true as those of one, which averages of
// percentiles are not. Empty means that nothing was seen.
type Sketch []byte

const (
	relativeAccuracy = 0.01
	// maxBins bounds a sketch: at 1 % accuracy 1024 bins span nine decades.
	maxBins = 1024
)

func newSketch() *ddsketch.DDSketchWithExactSummaryStatistics {
	m, err := mapping.NewLogarithmicMapping(relativeAccuracy)
	if err != nil {
		panic(fmt.Sprintf("heartbeat: the accuracy constant is out of range: %v", err))
	}
	return ddsketch.NewDDSketchWithExactSummaryStatistics(m, func() store.Store {
		return store.NewCollapsingLowestDenseStore(maxBins)
	})
}

func encode(s *ddsketch.DDSketchWithExactSummaryStatistics) Sketch {
	if s == nil || s.IsEmpty() {
		return nil
	}
	var b []byte
	s.Encode(&b, false)
	return b
}

// Summary is what a sketch, or a sum of sketches, says. All figures are zero
// when Count is.
type Summary struct {
	Count   int64
	Average float64
	Max     float64
	P50     float64
	P95     float64
	P99     float64
}

// accumulator sums encoded sketches.
type accumulator struct {
	sum *ddsketch.DDSketchWithExactSummaryStatistics
}

// add merges s. A sketch that does not decode (a beat of a newer version) is
// left out and reported.
func (a *accumulator) add(s Sketch) error {
	if len(s) == 0 {
		return nil
	}
	if a.sum == nil {
		a.sum = newSketch()
	}
	if err := a.sum.DecodeAndMergeWith(s); err != nil {
		return fmt.Errorf("merge a sketch of %d bytes: %w", len(s), err)
	}
	return nil
}

func (a *accumulator) summary() Summary {
	if a.sum == nil || a.sum.IsEmpty() {
		return Summary{}
	}
	out := Summary{Count: int64(a.sum.GetCount())}
	out.Average = finite(a.sum.GetSum() / a.sum.GetCount())
	if v, err := a.sum.GetMaxValue(); err == nil {
		out.Max = finite(v)
	}
	if q, err := a.sum.GetValuesAtQuantiles([]float64{0.5, 0.95, 0.99}); err == nil {
		out.P50, out.P95, out.P99 = finite(q[0]), finite(q[1]), finite(q[2])
	}
	return out
}
