package gate

import (
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
}

// Never is a threshold that no confidence reaches.
const Never = 1.01

// Threshold returns the smallest τ such that answering at confidence ≥ τ keeps
// the expected share of prompts answered wrongly, over all prompts, at or below
// alpha: with n judged prompts of which a share R̂(τ) would be answered wrongly,
//
//	(n/(n+1))·R̂(τ) + 1/(n+1) ≤ alpha
//
// (conformal risk control, Angelopoulos et al., 2208.02814). The bound holds
// for prompts that are exchangeable with the judged ones. With too few of them
// no threshold is safe, and Never is returned: caution that shrinks with
// experience. The order of judged is changed.
func Threshold(judged []Judged, alpha float64) float64 {
	return lowest(judged, allowed(prompts(judged), alpha))
}

// prompts is the number of judged prompts less the complaints.
func prompts(judged []Judged) int {
	n := 0
	for i := range judged {
		if !judged[i].Complaint {
			n++
		}
	}
	return n
}

// allowed is the number k of wrong answers with (k + 1)/(n + 1) ≤ alpha; below
// 0 if not even none is few enough.
func allowed(n int, alpha float64) float64 {
	return math.Floor(alpha*float64(n+1) - 1 + 1e-9)
}

// lowest is the smallest threshold with at most so many wrong answers.
func lowest(judged []Judged, allowed float64) float64 {
	if allowed < 0 {
		return Never
	}
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
		if wrong > allowed {
			return math.Nextafter(at, 2)
		}
	}
	return 0
}
