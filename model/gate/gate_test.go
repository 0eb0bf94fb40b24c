package gate_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/nexus-continuum/nexus/model/gate"
)

// draw makes a record as a service might see it: the nearer the lesson and the
// farther the second answer, the likelier right.
func draw(rng *rand.Rand, foreign bool) gate.Record {
	near := rng.Float64()
	if foreign {
		near *= 0.6
	}
	r := gate.Record{Foreign: foreign, Right: -1}
	for i := range 4 {
		c := gate.Candidate{}
		base := near * (1 - 0.25*float64(i))
		c[gate.Best], c[gate.Mean] = base, base
		c[gate.Cover], c[gate.Core], c[gate.Back] = base, base, base
		c[gate.Missing] = 1 - base
		r.Candidates = append(r.Candidates, c)
	}
	switch {
	case foreign:
	case rng.Float64() < near:
		r.Right = 0
	case rng.Float64() < 0.5:
		r.Right = 1 + rng.IntN(3)
	}
	return r
}

func drawn(rng *rand.Rand, n int) []gate.Record {
	out := make([]gate.Record, n)
	for i := range out {
		out[i] = draw(rng, rng.Float64() < gate.ForeignShare)
	}
	return out
}

// The promise of conformal risk control: over many deployments, the share of
// prompts answered wrongly stays below the target on average.
func TestWrongAnswersStayBelowTheTarget(t *testing.T) {
	t.Parallel()
	for _, alpha := range []float64{0.02, 0.05, 0.1} {
		const splits = 50
		sum, squares, answered := 0.0, 0.0, 0.0
		for seed := range uint64(splits) {
			rng := rand.New(rand.NewPCG(seed, 7))
			g := gate.Calibrate(drawn(rng, 500), alpha)
			if !g.Own() {
				t.Fatal("500 judged prompts are not enough")
			}
			wrong, n := 0.0, 1000.0
			for range int(n) {
				r := draw(rng, rng.Float64() < gate.ForeignShare)
				if best, confidence, _ := g.Weigh(&r.Look); confidence >= g.Threshold() {
					answered++
					if best != r.Right {
						wrong++
					}
				}
			}
			sum += wrong / n
			squares += wrong / n * wrong / n
		}
		mean := sum / splits
		spread := math.Sqrt(squares/splits - mean*mean)
		t.Logf("target %.2f: wrong-and-answered %.4f ± %.4f, answered %.2f", alpha, mean, spread, answered/splits/1000)
		// Two standard errors for the chance in fifty splits.
		if mean > alpha+2*spread/math.Sqrt(splits) {
			t.Errorf("target %.2f: %.4f of all prompts answered wrongly on average", alpha, mean)
		}
		if answered == 0 {
			t.Errorf("target %.2f: nothing is ever answered", alpha)
		}
	}
}

func TestThresholdLoosensWithEvidence(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	last := math.Inf(1)
	for _, n := range []int{5, 19, 50, 200, 1000, 5000} {
		// Ever more prompts of the same kind: the same share is wrong.
		judged := make([]gate.Judged, n)
		for i := range judged {
			c := (float64(i) + 0.5) / float64(n)
			judged[i] = gate.Judged{Confidence: c, Wrong: i%5 == 0}
		}
		rng.Shuffle(n, func(i, j int) { judged[i], judged[j] = judged[j], judged[i] })
		tau := gate.Threshold(judged, 0.05)
		if n < 19 && tau != gate.Never {
			t.Errorf("%d prompts allow a threshold of %.2f, want none", n, tau)
		}
		if tau > last {
			t.Errorf("%d prompts: threshold %.3f, above %.3f with fewer", n, tau, last)
		}
		last = tau
	}
	if last > 0.8 {
		t.Errorf("threshold %.3f after 5000 prompts", last)
	}
}

func TestConfidenceIsCalibrated(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	g := gate.Calibrate(drawn(rng, gate.Window), 0.05)
	var n, right, confidence [10]float64
	for range 8_000 {
		r := draw(rng, rng.Float64() < gate.ForeignShare)
		best, c, _ := g.Weigh(&r.Look)
		i := min(int(c*10), 9)
		n[i]++
		confidence[i] += c
		if best == r.Right {
			right[i]++
		}
	}
	e := 0.0
	for i := range n {
		e += math.Abs(right[i]-confidence[i]) / 8_000
	}
	if e > 0.03 {
		t.Errorf("expected calibration error %.4f, want at most 0.03", e)
	}
}

func TestMoreEvidenceNeverLowersConfidence(t *testing.T) {
	t.Parallel()
	g := gate.Calibrate(drawn(rand.New(rand.NewPCG(5, 6)), 400), 0.05)
	look := gate.Look{Candidates: []gate.Candidate{{gate.Best: 0.6, gate.Mean: 0.5, gate.Cover: 0.5, gate.Missing: 0.3, gate.Back: 0.5, gate.Core: 0.5}, {}}}
	_, before, _ := g.Weigh(&look)
	for feature, by := range map[int]float64{gate.Best: 0.2, gate.Mean: 0.2, gate.Cover: 0.2, gate.Missing: -0.2, gate.Back: 0.2, gate.Core: 0.2} {
		more := gate.Look{Candidates: append([]gate.Candidate(nil), look.Candidates...)}
		more.Candidates[0][feature] += by
		if _, after, _ := g.Weigh(&more); after < before-1e-9 {
			t.Errorf("feature %d: confidence falls from %.4f to %.4f", feature, before, after)
		}
	}
}

func TestStoredGateIsTheSame(t *testing.T) {
	t.Parallel()
	records := drawn(rand.New(rand.NewPCG(8, 9)), 300)
	records[7].Feedback = true
	g := gate.Calibrate(records, 0.05)
	again, err := gate.Open(0.05, g.Bytes())
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	if again.Threshold() != g.Threshold() || !bytes.Equal(again.Bytes(), g.Bytes()) || len(again.Feedback()) != 1 {
		t.Errorf("threshold %v and then %v", g.Threshold(), again.Threshold())
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(gate.New(0.05).Bytes())
	f.Add(gate.Calibrate(drawn(rand.New(rand.NewPCG(8, 9)), 5), 0.05).Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := gate.Open(0.05, data)
		if err != nil {
			return
		}
		if tau := g.Threshold(); math.IsNaN(tau) || tau < 0 || tau > gate.Never {
			t.Fatalf("threshold %v", tau)
		}
	})
}

func BenchmarkCalibrate(b *testing.B) {
	records := drawn(rand.New(rand.NewPCG(8, 9)), 1000)
	for b.Loop() {
		gate.Calibrate(records, 0.05)
	}
}
