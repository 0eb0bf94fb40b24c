package gate

import (
	"cmp"
	"math"
	"slices"
)

// Judged is the confidence of one calibration prompt and whether answering it
// would have been wrong.
type Judged struct {
	Confidence float64
	Wrong      bool
	Foreign    bool // no answer would have been right
	Sort       Sort // of a foreign one
	// Complaint says that a person called the answer wrong. It counts among the
	// wrong answers and not among the prompts, so that none ever loosens the
	// threshold.
	Complaint bool
	// Counts is how much of a wrong answer it is; 1 where it is 0.
	Counts float64
	Topic  string // of the lesson that was left out to judge it
}

// Never is a threshold that no confidence reaches.
const Never = 1.01

// The levels at which a threshold may stand: from one half, since an answer that
// is sooner wrong than right is not given, in steps of a hundredth, and finer
// where confidence is high.
const (
	hundredths = 48
	levels     = hundredths + 8
)

var finer = [levels - hundredths]float64{0.98, 0.985, 0.99, 0.993, 0.995, 0.997, 0.998, 0.999}

func level(l int) float64 {
	if l < hundredths {
		return 0.5 + float64(l)/100
	}
	return finer[l-hundredths]
}

// Threshold returns the smallest level τ from which on answering keeps the
// expected share of prompts answered wrongly at or below alpha: with n judged
// prompts of which a share R̂(τ) would be answered wrongly, and with a prior that
// is worth n₀ prompts of which a share R₀(τ) would be,
//
//	(n·R̂(τ) + n₀·R₀(τ) + 1)/(n + n₀ + 1) ≤ alpha
//
// Without the prior this is conformal risk control (Angelopoulos et al.,
// 2208.02814), and the bound holds for prompts that are exchangeable with the
// judged ones. As far as it rests on the prior it holds for deployments that are
// exchangeable with those that the prior was learned from. With neither no
// threshold is safe, and Never is returned.
func Threshold(judged []Judged, prior *Prior, weight, alpha float64) float64 {
	n, wrong := 0.0, [levels]float64{}
	for i := range judged {
		if !judged[i].Complaint {
			n++
		}
		if !judged[i].Wrong {
			continue
		}
		counts := cmp.Or(judged[i].Counts, 1)
		for l := range wrong {
			if judged[i].Confidence < level(l) {
				break
			}
			wrong[l] += counts
		}
	}
	return lowest(func(l int) bool {
		return (wrong[l]+weight*prior[l]+1)/(n+weight+1) <= alpha+1e-12
	})
}

// Prior is the share of prompts that are answered wrongly at each level.
type Prior = [levels]float64

// NoPrior knows of no wrong answers; it is for use with no weight.
func NoPrior() *Prior { return new(Prior) }

// countLevels counts a prompt at every level at which it is answered.
func countLevels(counts *[levels]float64, confidence float64) {
	for l := range counts {
		if confidence < level(l) {
			break
		}
		counts[l]++
	}
}

// lowest is the lowest level from which on all are safe.
func lowest(safe func(l int) bool) float64 {
	tau := Never
	for l := levels - 1; l >= 0 && safe(l); l-- {
		tau = level(l)
	}
	return tau
}

// foreignBound is the threshold at which at most far of the prompts about
// something else altogether are answered, and at most near of all foreign ones,
// the sorts in equal shares.
func foreignBound(judged []Judged, far, near float64) float64 {
	var n [sorts]float64
	var answered [sorts][levels]float64
	for i := range judged {
		if judged[i].Foreign {
			n[judged[i].Sort]++
			countLevels(&answered[judged[i].Sort], judged[i].Confidence)
		}
	}
	return lowest(func(l int) bool {
		share, of := 0.0, 0.0
		for s := range n {
			if n[s] > 0 {
				share += boundShare[s] * answered[s][l] / n[s]
				of += boundShare[s]
			}
		}
		elsewhere := (answered[Elsewhere][l] + 1) / (n[Elsewhere] + 1)
		return (n[Elsewhere] < leastForeign || elsewhere <= far) && (of == 0 || share/of <= near)
	})
}

// boundShare is how the sorts share in the second bound on foreign prompts.
var boundShare = [sorts]float64{LeftOut: 1, MadeUp: 1, Elsewhere: 2, Turned: 1}

// leastForeign is how many foreign prompts must have been judged for the first
// bound to be met at all.
const leastForeign = 20

// allowed is the number k of wrong answers with (k + 1)/(n + 1) ≤ alpha; below
// 0 if not even none is few enough.
func allowed(n int, alpha float64) float64 {
	return math.Floor(alpha*float64(n+1) - 1 + 1e-9)
}

// feedbackBound is the smallest threshold with at most so many wrong answers among the
// judged. The order of judged is changed.
func feedbackBound(judged []Judged, most float64) float64 {
	slices.SortFunc(judged, func(a, b Judged) int {
		switch {
		case a.Confidence > b.Confidence:
			return -1
		case a.Confidence < b.Confidence:
			return 1
		}
		return 0
	})
	wrong := 0.0
	for i := 0; i < len(judged); {
		// Equal confidences stand or fall together.
		at := judged[i].Confidence
		for ; i < len(judged) && judged[i].Confidence == at; i++ {
			if judged[i].Wrong {
				wrong++
			}
		}
		if wrong > most {
			return math.Nextafter(at, 2)
		}
	}
	return 0
}
