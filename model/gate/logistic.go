package gate

import "math"

// Logistic is a logistic model of being right.
type Logistic struct {
	Weights [Features]float64
	Bias    float64
}

// Confidence is the modelled probability that the answer is right. Evidence
// that is not finite has none.
func (l *Logistic) Confidence(e *Evidence) float64 {
	z := l.logit(e)
	if math.IsNaN(z) {
		return 0
	}
	return 1 / (1 + math.Exp(-z))
}

func (l *Logistic) logit(e *Evidence) float64 {
	z := l.Bias
	for i, x := range e {
		z += l.Weights[i] * x
	}
	return z
}

// Bounds of the fit.
const (
	ridge        = 10.0 // pull towards the prior of a standardised weight
	ridgeBias    = 0.01 // the same for the bias
	stretchRidge = 1.0  // pull of the stretch towards 1
	leastStretch = 0.1
	maxSweeps    = 40
	enoughStep   = 1e-3
)

// fit returns the monotone logistic model that explains the records best by
// penalised maximum likelihood, pulled towards prior: with few records it says
// what prior says. Weights keep to the direction of their feature. Without
// records it is prior. Foreign records count as foreignShare of all.
//
// The loss is convex and the bounds are on single weights, so going through
// the weights one by one, each by a Newton step that is cut at its bound, ends
// at the minimum (Tseng, 2001).
func fit(records []seen, prior Logistic, foreignShare float64) Logistic {
	if len(records) == 0 {
		return prior
	}
	f := fitting{records: records, scale: spread(records), logits: make([]float64, len(records)), foreign: foreignWeights(records, foreignShare)}
	f.w, f.prior = prior.vector(), prior.vector()
	for i := range records {
		f.logits[i] = prior.logit(&records[i].evidence)
		if math.IsNaN(f.logits[i]) || math.IsInf(f.logits[i], 0) {
			return prior
		}
	}
	for range maxSweeps {
		far := 0.0
		for i := range f.w {
			far = max(far, f.improve(i))
		}
		if far < enoughStep {
			break
		}
	}
	out := Logistic{Bias: f.w[Features]}
	copy(out.Weights[:], f.w[:Features])
	return out
}

// fitting is a fit at work.
type fitting struct {
	records  []seen
	logits   []float64 // of the records under w
	w, prior [Features + 1]float64
	foreign  [sorts]float64        // weight of a foreign record of each sort; 1 for the others
	scale    [Features + 1]float64 // spread of each feature; 1 for the bias
}

func (l *Logistic) vector() (v [Features + 1]float64) {
	copy(v[:], l.Weights[:])
	v[Features] = l.Bias
	return v
}

// input i of record r; the last is that of the bias.
func (f *fitting) input(r, i int) float64 {
	if i == Features {
		return 1
	}
	return f.records[r].evidence[i]
}

func (f *fitting) weight(r int) float64 {
	if f.records[r].foreign {
		return f.foreign[f.records[r].sort]
	}
	return 1
}

// ForeignShare is the share of foreign prompts for which a confidence is made.
// A service that is asked more of them is answered with too much confidence,
// one that is asked fewer with too little; the bound on answers to foreign
// prompts does not depend on it.
const ForeignShare = 0.1

// sortShare is how the sorts share in ForeignShare.
var sortShare = [sorts]float64{LeftOut: 1, Swapped: 0.5, Elsewhere: 2}

// foreignWeights makes foreign records count as share of all.
func foreignWeights(records []seen, share float64) (weights [sorts]float64) {
	var n [sorts]float64
	others, shares := 0.0, 0.0
	for i := range records {
		if records[i].foreign {
			n[records[i].sort]++
		} else {
			others++
		}
	}
	for s := range n {
		if n[s] > 0 {
			shares += sortShare[s]
		}
	}
	for s := range n {
		if n[s] > 0 {
			weights[s] = max(others, 1) * share / (1 - share) * sortShare[s] / shares / n[s]
		}
	}
	return weights
}

// stretched corrects a model that was pulled: the pull makes evidence look
// weaker or stronger than it is, which the two numbers of Platt (1999) undo.
// Which of two prompts has the more confidence stays as it was, so a threshold
// parts the prompts as before, wherever the records come from.
func (l Logistic) stretched(records []seen) Logistic {
	foreign := foreignWeights(records, ForeignShare)
	a, b := 1.0, 0.0
	for range maxSweeps {
		ga, gb := stretchRidge*(a-1), ridgeBias*b
		haa, hab, hbb := stretchRidge, 0.0, ridgeBias
		for i := range records {
			z := l.logit(&records[i].evidence)
			p := 1 / (1 + math.Exp(-a*z-b))
			y, w := 0.0, 1.0
			if records[i].right {
				y = 1
			}
			if records[i].foreign {
				w = foreign[records[i].sort]
			}
			v := w * p * (1 - p)
			ga, gb = ga+w*(p-y)*z, gb+w*(p-y)
			haa, hab, hbb = haa+v*z*z, hab+v*z, hbb+v
		}
		det := haa*hbb - hab*hab
		da, db := (hbb*ga-hab*gb)/det, (haa*gb-hab*ga)/det
		a, b = a-da, b-db
		if !(a > leastStretch && a < 1/leastStretch) || math.IsNaN(b) {
			return l
		}
		if math.Abs(da)+math.Abs(db) < enoughStep {
			break
		}
	}
	for i := range l.Weights {
		l.Weights[i] *= a
	}
	l.Bias = a*l.Bias + b
	return l
}

// pull is the strength of the penalty on weight i.
func (f *fitting) pull(i int) float64 {
	if i == Features {
		return ridgeBias
	}
	return ridge * f.scale[i] * f.scale[i]
}

// improve takes a step along weight i and returns its length in standardised
// units.
func (f *fitting) improve(i int) float64 {
	pull := f.pull(i)
	gradient, curve := pull*(f.w[i]-f.prior[i]), pull
	for r := range f.records {
		x := f.input(r, i)
		p := 1 / (1 + math.Exp(-f.logits[r]))
		if f.records[r].right {
			p--
		}
		gradient += f.weight(r) * p * x
		curve += f.weight(r) * math.Abs(p) * (1 - math.Abs(p)) * x * x
	}
	if curve <= 0 {
		return 0
	}
	to := f.w[i] - gradient/curve
	if i < Features && to*direction[i] < 0 {
		to = 0
	}
	before := f.lossAlong(i, 0)
	for step := to - f.w[i]; math.Abs(step)*f.scale[i] > enoughStep/10; step /= 2 {
		if f.lossAlong(i, step) >= before {
			continue
		}
		f.w[i] += step
		for r := range f.records {
			f.logits[r] += step * f.input(r, i)
		}
		return math.Abs(step) * f.scale[i]
	}
	return 0
}

// lossAlong is the penalised negative log-likelihood, as far as weight i has a
// part in it, after a step along it.
func (f *fitting) lossAlong(i int, step float64) float64 {
	d := f.w[i] + step - f.prior[i]
	sum := f.pull(i) / 2 * d * d
	for r := range f.records {
		z := f.logits[r] + step*f.input(r, i)
		if f.records[r].right {
			z = -z
		}
		// log(1 + e^z), without overflow.
		sum += f.weight(r) * (max(z, 0) + math.Log1p(math.Exp(-math.Abs(z))))
	}
	return sum
}

// spread is the standard deviation of each feature, at least a little.
func spread(records []seen) (out [Features + 1]float64) {
	n := float64(len(records))
	for i := range Features {
		var sum, squares float64
		for j := range records {
			x := records[j].evidence[i]
			sum += x
			squares += x * x
		}
		out[i] = math.Sqrt(max(squares/n-sum*sum/n/n, 1e-4))
	}
	out[Features] = 1
	return out
}
