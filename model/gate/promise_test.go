package gate_test

import (
	"math/rand/v2"
	"testing"

	"github.com/nexus-continuum/nexus/model/gate"
)

// What is shown as wrong, and as answered of foreign prompts, is what the threshold
// bounds: with few judged prompts, many, none, and with people's judgements.
func TestWhatIsShownIsWhatIsBounded(t *testing.T) {
	t.Parallel()
	for _, alpha := range []float64{0.02, 0.05, 0.1} {
		for _, n := range []int{0, 10, 60, 500} {
			for seed := range uint64(10) {
				rng := rand.New(rand.NewPCG(seed, uint64(n)))
				records := drawn(rng, n)
				for range n / 10 {
					r := draw(rng, false)
					r.Feedback = true
					records = append(records, r)
				}
				g := gate.Calibrate(records, alpha)
				p := g.Promise()
				if p.Wrong > alpha || p.Foreign > 5*alpha {
					t.Errorf("target %.2f, %d judged, seed %d: %+v is shown at threshold %.3f", alpha, n, seed, p, g.Threshold())
				}
				if g.Threshold() < 1 && p.Answered <= 0 {
					t.Errorf("target %.2f, %d judged, seed %d: nothing is answered at threshold %.3f", alpha, n, seed, g.Threshold())
				}
			}
		}
	}
}
