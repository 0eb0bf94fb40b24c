package gate_test

import (
	"math/rand/v2"
	"testing"

	"github.com/nexus-continuum/nexus/model/gate"
)

// together makes a record that is right where either both of two features are high
// or neither is: nothing that can be told by adding up.
func together(rng *rand.Rand) gate.Record {
	r := gate.Record{Right: -1}
	c := gate.Candidate{}
	high, strange := rng.IntN(2), rng.IntN(2)
	c[gate.Best], c[gate.Mean], c[gate.Lone] = 0.6+0.2*float64(high), 0.6, 1
	c[gate.Strange] = 0.1 + 0.6*float64(strange)
	if high == strange {
		r.Right = 0
	}
	r.Candidates = []gate.Candidate{c}
	return r
}

func TestADefaultLearnsWhatCountsOnlyTogether(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	var trials []gate.Trial
	for range 8 {
		var trial gate.Trial
		for range 200 {
			trial.Records = append(trial.Records, together(rng))
		}
		trials = append(trials, trial)
	}
	d := gate.Learn(trials)
	again, err := gate.OpenDefault(d.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	g := again.Calibrate(nil, 0.05)
	var sum, n [2]float64
	for range 200 {
		r := together(rng)
		_, confidence, _ := g.Weigh(&r.Look)
		right := min(r.Right+1, 1)
		sum[right], n[right] = sum[right]+confidence, n[right]+1
	}
	if wrong, right := sum[0]/n[0], sum[1]/n[1]; right < wrong+0.1 {
		t.Errorf("mean confidence %.2f where the answer is right and %.2f where it is not", right, wrong)
	}
}
