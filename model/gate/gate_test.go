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
	r.Rest[gate.Phrasings-gate.Distinct] = float64(float32(math.Log(gate.MaxPhrasings)))
	for i := range 4 {
		c := gate.Candidate{}
		base := near * (1 - 0.25*float64(i))
		// In the precision in which records are kept.
		base = float64(float32(base))
		c[gate.Best], c[gate.Mean] = base, base
		c[gate.Cover], c[gate.Core], c[gate.Back], c[gate.Same] = base, base, base, base
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
				r := draw(rng, false)
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
	for _, n := range []int{5, 18, 50, 200, 1000, 5000} {
		// Ever more prompts of the same kind: the same share is wrong.
		judged := make([]gate.Judged, n)
		for i := range judged {
			c := (float64(i) + 0.5) / float64(n)
			judged[i] = gate.Judged{Confidence: c, Wrong: i%5 == 0}
		}
		rng.Shuffle(n, func(i, j int) { judged[i], judged[j] = judged[j], judged[i] })
		tau := gate.Threshold(judged, gate.NoPrior(), 0, 0.05)
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

// What other deployments made of their prompts counts while there are few of one's
// own, and gives way to them without a jump.
func TestThePriorGivesWayToEvidence(t *testing.T) {
	t.Parallel()
	prior := gate.NoPrior()
	for l := range prior {
		prior[l] = 0.04 * float64(len(prior)-l) / float64(len(prior))
	}
	if tau := gate.Threshold(nil, prior, gate.PriorWorth, 0.05); tau == gate.Never {
		t.Errorf("nothing is answered although deployments like this one went well")
	}
	last := 0.0
	for n := range 400 {
		// Of one's own prompts a fifth is wrong up to a confidence of 0.9.
		judged := make([]gate.Judged, n)
		for i := range judged {
			judged[i] = gate.Judged{Confidence: 0.5 + 0.49*float64(i%97)/97, Wrong: i%5 == 0 && i%97 < 80}
		}
		tau := gate.Threshold(judged, prior, gate.PriorWorth*gate.PriorWorth/float64(gate.PriorWorth+n), 0.05)
		if n > 0 && math.Abs(tau-last) > 0.1 {
			t.Errorf("with %d judged prompts the threshold goes from %.3f to %.3f", n, last, tau)
		}
		last = tau
	}
	if last < 0.75 {
		t.Errorf("threshold %.3f after 400 prompts of which a fifth is wrong", last)
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
	for feature, by := range map[int]float64{gate.Mean: 0.2, gate.Cover: 0.2, gate.Missing: -0.2, gate.Back: 0.2, gate.Core: 0.2} {
		more := gate.Look{Candidates: append([]gate.Candidate(nil), look.Candidates...)}
		more.Candidates[0][feature] += by
		if _, after, _ := g.Weigh(&more); after < before-1e-9 {
			t.Errorf("feature %d: confidence falls from %.4f to %.4f", feature, before, after)
		}
	}
}

// A word that turns the meaning costs an answer its confidence, however near the
// lesson is.
func TestATurnedMeaningIsNotAnswered(t *testing.T) {
	t.Parallel()
	for name, g := range map[string]*gate.Gate{"fresh": gate.New(0.05), "calibrated": gate.Calibrate(drawn(rand.New(rand.NewPCG(5, 6)), 400), 0.05)} {
		for _, feature := range []int{gate.Negated, gate.Opposite, gate.Other, gate.Swapped} {
			near := gate.Candidate{gate.Best: 0.97, gate.Mean: 0.97, gate.Cover: 0.95, gate.Back: 0.9, gate.Core: 0.9, gate.Sense: 0.95, gate.Echo: 0.95, gate.Lone: 1, gate.Same: 0.9}
			near[feature] = 1
			look := gate.Look{Candidates: []gate.Candidate{near, {gate.Best: 0.2, gate.Lone: 1}}}
			if v := g.Verdict(&look); v.Best == 0 && v.Confidence >= g.Threshold() {
				t.Errorf("%s, feature %d: answered at %.3f over a threshold of %.3f", name, feature, v.Confidence, g.Threshold())
			}
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
