// Package gate decides which candidate is the best and whether it is to be
// answered: it turns what memory found into a calibrated probability of being
// right, and sets the threshold on it such that wrong answers stay below a
// target, by conformal risk control.
package gate

import "math"

// Candidate are the figures of one answer that may be right, by the features
// Best to Asked.
type Candidate [Margin]float64

// Look is what was seen of one prompt.
type Look struct {
	Candidates []Candidate
	// Rest are the features that belong to the prompt as a whole or to the
	// memory, from Distinct on.
	Rest [Features - Distinct]float64
}

// Evidence is what speaks for and against the best candidate. All are numbers
// without unit, most of them between 0 and 1.
type Evidence [Features]float64

// The features. Which of them tell how much is in docs/architecture.
const (
	Best       = iota // cosine to the nearest lesson of the answer
	Mean              // cosine to the mean of the answer's exemplars
	Cover             // share of the prompt's words, by weight, that the answer knows
	Missing           // weight of the most telling word that it does not know
	Back              // share of the nearest lesson's words that the prompt holds
	Core              // share of what the answer's lessons have in common that the prompt holds
	Sense             // Cover by meaning instead of by letters, times Lone
	Echo              // Back by meaning, times Lone
	Lone              // 1 for an answer of one lesson, 0 for one of many
	Strange           // weight by itself of the most telling word that is like none of the nearest lesson, times Lone
	Instead           // how far the prompt is the nearest with one telling word for another
	Twin              // of an answer with few lessons: cosine of the nearest to that of another candidate
	Same              // share of words that the prompt and the nearest lesson have in common
	Negated           // one of the two is negated
	Opposite          // a word stands for its opposite
	Other             // both name one of a kind, and not the same
	Swapped           // two words change their roles
	Asked             // the question words differ
	Margin            // log(1 + score less that of the second answer)
	Distinct          // Best less the mean cosine of the nearest few lessons, at most MaxDistinct
	Unknown           // weight of the words that nobody taught
	Alien             // 1 where a word is a name that neither language nor any lesson knows
	Plain             // high where no word of the prompt tells anything
	Unseen            // share of features that no training step touched
	Saturation        // mean of 1−z² over the equilibrium
	Answers           // of the memory: logarithm of the number of answers
	Phrasings         // of the memory: logarithm of the number of lessons an answer
	Crowd             // of the memory: mean cosine of a lesson to the nearest one of another answer
	Features
)

// MaxDistinct is as far as a lesson can stand out of its neighbours: where a
// memory is small the neighbours are far whatever is asked.
const MaxDistinct = 0.2

// direction tells which way a feature may speak: 1 for, −1 against the
// candidate, 0 either way. A model that found otherwise in a few hundred
// prompts would be wrong about all that are unlike them: gibberish is.
var direction = [Features]float64{
	Best: 1, Mean: 1, Cover: 1, Missing: -1, Back: 1, Core: 1, Sense: 1, Echo: 1, Strange: -1, Instead: -1, Twin: -1,
	Same: 1, Negated: -1, Opposite: -1, Other: -1, Swapped: -1, Asked: -1,
	Margin: 1, Distinct: 1, Unknown: -1, Alien: -1, Plain: -1, Unseen: -1,
}

// alone is the margin of the only candidate, in scores.
const alone = 6

// Evidence ranks the candidates of a look and collects what speaks for the
// best and, as far as it goes, which is the second; both are −1 where there is
// none.
func (r *Ranker) Evidence(l *Look) (best, second int, e Evidence) {
	best, second = -1, -1
	var first, next float64
	for i := range l.Candidates {
		switch s := r.Score(&l.Candidates[i]); {
		case best < 0 || s > first:
			second, next = best, first
			best, first = i, s
		case second < 0 || s > next:
			second, next = i, s
		}
	}
	if best < 0 {
		return best, second, e
	}
	copy(e[:], l.Candidates[best][:])
	if second < 0 {
		next = first - alone
	}
	e[Margin] = math.Log1p(max(first-next, 0))
	copy(e[Distinct:], l.Rest[:])
	return best, second, e
}

// Record is one judged prompt.
type Record struct {
	Look
	// Right is the place of the right answer among the candidates, −1 if it is
	// not there.
	Right int
	// Foreign says that no answer was right.
	Foreign bool
	// Sort tells of a foreign prompt that was made up how it was made.
	Sort Sort
	// Held says that its lesson is held out of gradient steps. It is not kept.
	Held bool
	// Topic is that of the lesson that was left out.
	Topic string
	// Feedback says that a person judged it; such records outlive the weights
	// they were made with.
	Feedback bool
	// Of names what was judged; of two judgements of the same the later counts.
	Of string
}

// Sort is how a foreign prompt came about. Real ones are of many kinds, and each
// of these is like some of them.
type Sort uint8

// The sorts of foreign prompts that calibration makes up.
const (
	LeftOut   Sort = iota // a lesson whose whole answer was left out of memory: near what is known
	MadeUp                // a lesson about a made-up thing: the frame of a known question
	Elsewhere             // a prompt about something else altogether, the same for all deployments
	Turned                // a lesson changed by what turns its meaning
	sorts
)

// complaint reports whether a person called the answer wrong, without any
// answer being known that would have been right.
func (r *Record) complaint() bool { return r.Feedback && r.Right < 0 && !r.Foreign }

// seen is a record as ranker and forest see it.
type seen struct {
	evidence  Evidence
	trees     float64 // odds of the forest
	right     bool
	foreign   bool
	sort      Sort
	complaint bool
}

func (r *Ranker) see(records []Record, f *Forest) []seen {
	out := make([]seen, 0, len(records))
	for i := range records {
		best, _, e := r.Evidence(&records[i].Look)
		out = append(out, seen{
			evidence: e, trees: f.Odds(&e), right: best >= 0 && best == records[i].Right,
			foreign: records[i].Foreign, sort: records[i].Sort, complaint: records[i].complaint(),
		})
	}
	return out
}
