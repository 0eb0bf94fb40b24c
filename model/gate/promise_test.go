package gate_test

import (
	"fmt"
	"math"
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
				if p.Wrong > alpha || p.Foreign > 5*alpha*(1+float64(n/10)/gate.PriorWorth) {
					t.Errorf("target %.2f, %d judged, seed %d: %+v is shown at threshold %.3f", alpha, n, seed, p, g.Threshold())
				}
				if g.Threshold() < 1 && p.Answered <= 0 {
					t.Errorf("target %.2f, %d judged, seed %d: nothing is answered at threshold %.3f", alpha, n, seed, g.Threshold())
				}
			}
		}
	}
}

// Where foreign prompts hold the threshold up, each refused prompt whose right answer
// a person names lowers it; complaints and refusals that were right do not.
func TestNamedAnswersLoosenTheBoundOnForeignPrompts(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(4, 4))
	records := drawn(rng, 300)
	for range 60 {
		r := draw(rng, false) // as near as what was taught
		r.Right, r.Foreign, r.Sort = -1, true, gate.Elsewhere
		records = append(records, r)
	}
	before := gate.Calibrate(records, 0.05)
	var named, foreign []gate.Record
	for i := range 60 {
		named = append(named, judgedAt(0.85, true, fmt.Sprint("named ", i)))
		f := judgedAt(0.2, false, fmt.Sprint("foreign ", i))
		f.Foreign = true
		foreign = append(foreign, f)
	}
	after := before.Judge(nil, named)
	if after.Threshold() >= before.Threshold() {
		t.Errorf("60 named answers leave the threshold at %.3f (before %.3f)", after.Threshold(), before.Threshold())
	}
	if p := after.Promise(); p.Wrong > 0.05 || p.Foreign > 0.4 {
		t.Errorf("%.3f wrong and %.3f of the foreign prompts answered after them", p.Wrong, p.Foreign)
	}
	if again := after.Judge(nil, foreign); again.Threshold() > after.Threshold() {
		t.Errorf("right refusals raise the threshold from %.3f to %.3f", after.Threshold(), again.Threshold())
	}
	if complained := before.Judge(nil, []gate.Record{judgedAt(0.9, false, "wrong")}); complained.Threshold() < before.Threshold() {
		t.Errorf("a complaint lowers the threshold from %.3f to %.3f", before.Threshold(), complained.Threshold())
	}
}

// Deployments differ from those like them. A memory whose answers have one lesson
// each cannot see how, so it expects more wrong answers than the mean of the others,
// the more the fewer answers it has; one with three lessons an answer sees it itself.
func TestSingleLessonsOfFewAnswersExpectTheWorse(t *testing.T) {
	risk := func(answers, lessons float64) float64 {
		p := gate.Profile{Answers: math.Log(answers), Phrasings: math.Log(lessons), Crowd: 0.5}
		d := gate.Default{Seen: []gate.Deployment{{Profile: p}, {Profile: p}}}
		for l := range d.Seen[0].Wrong {
			d.Seen[0].Wrong[l], d.Seen[1].Wrong[l] = 0.02, 0.08
		}
		wrong, _ := d.Risk(p)
		return wrong[0]
	}
	if few, more, many := risk(20, 1), risk(60, 1), risk(150, 1); few < 0.07 || more >= few || more <= many || math.Abs(many-0.05) > 1e-6 {
		t.Errorf("one lesson an answer: %.4f with 20 answers, %.4f with 60, %.4f with 150", few, more, many)
	}
	if two, three := risk(20, 2), risk(20, 3); two <= 0.05 || two >= risk(20, 1) || math.Abs(three-0.05) > 1e-6 {
		t.Errorf("20 answers: %.4f with two lessons each, %.4f with three", two, three)
	}
}
