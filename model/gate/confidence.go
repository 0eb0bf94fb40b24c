package gate

import "math"

// Confidence is the modelled probability that the best candidate is right. Three
// things must hold for that, and each has a logistic model of its own: the prompt
// is about something that was taught (Familiar), no other answer is as near
// (Clear), and the lesson asks for the same and not for something else in like words
// (Meant). The probability is the product of the three, and of what an opposite, a
// negation and their like leave of it.
type Confidence [causes]Logistic

// The causes of being right, and so of a refusal.
const (
	Familiar = iota
	Clear
	Meant
	causes
)

// The inputs of the models: the features, and some of them once more times Lone,
// since what tells much of an answer with one lesson tells little of one with many.
const (
	loneBest = Features + iota
	loneMean
	loneCover
	loneMissing
	loneBack
	loneCore
	loneSame
	loneInstead
	loneMargin
	loneLone
	odds // of the forest
	inputs
)

// Logistic is a logistic model over the inputs.
type Logistic struct {
	Weights [inputs]float64
	Bias    float64
}

// lonely are the features that count once more times Lone, in the order of the inputs.
var lonely = [odds - Features]int{Best, Mean, Cover, Missing, Back, Core, Same, Instead, Margin, Lone}

// widen gives the inputs of some evidence, of which a forest gives those odds.
func (e *Evidence) widen(x *[inputs]float64, trees float64) {
	copy(x[:], e[:])
	x[odds] = trees
	for i, f := range lonely {
		x[Features+i] = e[f] * e[Lone]
	}
}

// uses tells which inputs each cause may lean on.
var uses = [causes][inputs]bool{
	Familiar: {
		Best: true, Mean: true, Cover: true, Missing: true, Core: true, Sense: true, Echo: true, Lone: true, Strange: true, Same: true,
		Margin: true, Distinct: true, Unknown: true, Alien: true, Unseen: true, Saturation: true, Answers: true, Crowd: true,
		loneBest: true, loneMean: true, loneCover: true, loneMissing: true, loneCore: true, loneSame: true, loneLone: true, odds: true,
	},
	Clear: {
		Best: true, Mean: true, Cover: true, Core: true, Lone: true, Twin: true, Margin: true, Answers: true, Crowd: true, loneMargin: true, loneLone: true,
	},
	Meant: {
		Best: true, Cover: true, Missing: true, Back: true, Lone: true, Instead: true, Same: true, Asked: true,
		loneBest: true, loneCover: true, loneBack: true, loneSame: true, loneInstead: true, loneLone: true,
	},
}

// kept is what is left of a confidence where something turns the meaning between the
// prompt and the lesson, or no word of the prompt says what is meant. These are no
// weights that a fit could set: people teach few pairs of opposites, so few lessons
// say anything of them.
var kept = [...]struct {
	feature int
	share   float64
}{{Negated, 0.1}, {Opposite, 0.05}, {Other, 0.1}, {Swapped, 0.05}, {Plain, 0.2}}

// residualConfidence is the share of confidence that is left.
func (e *Evidence) residualConfidence() float64 {
	left := 1.0
	for _, k := range kept {
		left *= 1 - (1-k.share)*min(max(e[k.feature], 0), 1)
	}
	replaced := (e[Instead] - insteadFrom) / (insteadTo - insteadFrom)
	return left * (1 - (1-insteadLeft)*e[Lone]*min(max(replaced, 0), 1))
}

// Where one telling word stands for another of another meaning, in a frame that is
// the same, the confidence in an answer with one lesson falls from insteadFrom on, to
// insteadLeft at insteadTo: "reset my router" for "reset my password". Where an answer
// has many lessons they show which words may change.
const (
	insteadFrom = 0.22
	insteadTo   = 0.32
	insteadLeft = 0.2
)

// bounded cuts weight i of a cause to what it may be.
func bounded(cause, i int, w float64) float64 {
	switch {
	case !uses[cause][i]:
		return 0
	case i == odds:
		return max(w, 0)
	case i >= Features && cause == Meant:
		// What is nearly a repeat is the more suspicious, within bounds.
		return max(w, leastLonely)
	case w*direction[source(i)] < 0:
		return 0
	}
	return w
}

// leastLonely bounds how much nearness may speak against an answer.
const leastLonely = -15

// source is the feature that input i is made of.
func source(i int) int {
	if i < Features {
		return i
	}
	return lonely[i-Features]
}

// Of is the probability for some evidence, of which a forest gives those odds, with
// that of each cause. Evidence that is not finite has none.
func (c *Confidence) Of(e *Evidence, trees float64) (p float64, by [causes]float64) {
	var x [inputs]float64
	e.widen(&x, trees)
	p = e.residualConfidence()
	for k := range c {
		by[k] = sigmoid(c[k].logit(&x))
		p *= by[k]
	}
	if math.IsNaN(p) {
		return 0, by
	}
	return p, by
}

func (l *Logistic) logit(x *[inputs]float64) float64 {
	z := l.Bias
	for i, v := range x {
		z += l.Weights[i] * v
	}
	return z
}

func sigmoid(z float64) float64 { return 1 / (1 + math.Exp(-z)) }
