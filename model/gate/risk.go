package gate

// Point is what a threshold makes of prompts that were not taught word for word.
type Point struct {
	Threshold float64
	// Answered and Wrong are shares of the prompts that have an answer: those that
	// would be answered, and wrongly.
	Answered, Wrong float64
	// Foreign is the share of prompts without an answer that would be answered.
	Foreign float64
}

// At is what to expect with the threshold tau.
func (g *Gate) At(tau float64) Point {
	p := Point{Threshold: tau}
	p.Answered, p.Wrong = g.expected("", tau)
	foreign, taken := 0, 0
	for i := range g.base {
		if j := &g.base[i]; j.Foreign {
			foreign++
			if j.Confidence >= tau {
				taken++
			}
		}
	}
	if foreign > 0 {
		p.Foreign = float64(taken) / float64(foreign)
	}
	return p
}

// Curve is the risk-coverage curve: a point for each level at which the threshold
// may stand.
func (g *Gate) Curve() []Point {
	out := make([]Point, levels)
	for l := range out {
		out[l] = g.At(level(l))
	}
	return out
}

// Bin are the held-out prompts of a range of confidence.
type Bin struct {
	From, To   float64
	Prompts    int
	Confidence float64 // their mean
	Right      float64 // share of which the best answer was right
}

// Reliability compares the confidence of held-out prompts with how often it was
// right, in n ranges of the same width (Guo et al., 1706.04599). No prompt is in it
// with a confidence that it shaped.
func (g *Gate) Reliability(n int) []Bin {
	out := make([]Bin, n)
	for i := range out {
		out[i].From, out[i].To = float64(i)/float64(n), float64(i+1)/float64(n)
	}
	for i := range g.base {
		j := &g.base[i]
		if j.Foreign {
			continue
		}
		b := &out[min(int(j.Confidence*float64(n)), n-1)]
		b.Prompts++
		b.Confidence += j.Confidence
		if !j.Wrong {
			b.Right++
		}
	}
	for i := range out {
		b := &out[i]
		b.Confidence /= float64(max(b.Prompts, 1))
		b.Right /= float64(max(b.Prompts, 1))
	}
	return out
}

// HeldOut counts the prompts behind the curve: those that have an answer, and those
// that have none.
func (g *Gate) HeldOut() (known, foreign int) {
	for i := range g.base {
		if g.base[i].Foreign {
			foreign++
		} else {
			known++
		}
	}
	return known, foreign
}
