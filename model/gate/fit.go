package gate

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// Bounds of the fit.
const (
	ridge      = 10.0 // pull towards the prior of a standardised weight
	ridgeBias  = 0.5  // the same for the biases
	maxSweeps  = 40
	enoughStep = 1e-3
)

// example is a record as the fit sees it.
type example struct {
	x      [inputs]float64
	z, p   [causes]float64 // logits under the weights of the moment, and probabilities
	left   float64         // share of the probability that words that turn the meaning leave
	right  bool
	weight float64
	of     *seen
	half   int // of the trials that it was learned from
}

// fitting is a fit at work.
type fitting struct {
	examples []example
	w, prior Confidence
	scale    [inputs]float64 // spread of each input
	ridge    float64
	biasPull float64
}

// fit returns the confidence that explains the records best by penalised maximum
// likelihood, pulled towards prior: with few records it says what prior says.
// Weights keep to their bounds. Without records it is prior.
//
// A step is halved until the loss falls, so that it never rises.
func fit(records []seen, prior Confidence, share float64) Confidence {
	f := newFitting(records, prior, share)
	f.run(maxSweeps)
	return f.w
}

func newFitting(records []seen, prior Confidence, share float64) *fitting {
	f := &fitting{w: prior, prior: prior, ridge: ridge, biasPull: ridgeBias}
	foreign := foreignWeights(records, share)
	for i := range records {
		r := &records[i]
		e := example{right: r.right, weight: 1, left: r.evidence.residualConfidence(), of: r}
		if r.foreign {
			e.weight = foreign[r.sort]
		}
		r.evidence.widen(&e.x, r.trees)
		finite := true
		for _, v := range e.x {
			finite = finite && !math.IsNaN(v) && !math.IsInf(v, 0)
		}
		if finite {
			f.examples = append(f.examples, e)
		}
	}
	f.standardise()
	return f
}

// standardise measures the spread of the inputs and sets the logits.
func (f *fitting) standardise() {
	n := float64(max(len(f.examples), 1))
	for i := range inputs {
		var sum, squares float64
		for j := range f.examples {
			x := f.examples[j].x[i]
			sum += x
			squares += x * x
		}
		f.scale[i] = math.Sqrt(max(squares/n-sum*sum/n/n, 1e-4))
	}
	for j := range f.examples {
		e := &f.examples[j]
		for k := range f.w {
			e.z[k] = f.w[k].logit(&e.x)
			e.p[k] = sigmoid(e.z[k])
		}
	}
}

// run goes through the causes in turn, each by Newton's method with the others
// held as they are, until none moves.
func (f *fitting) run(sweeps int) {
	if len(f.examples) == 0 {
		return
	}
	for range sweeps {
		far := 0.0
		for k := range f.w {
			far = max(far, f.improve(k))
		}
		if far < enoughStep {
			break
		}
	}
}

// places are the weights of a cause that are fitted; inputs stands for the bias.
func places(k int) (out []int) {
	for i := range inputs {
		if uses[k][i] {
			out = append(out, i)
		}
	}
	return append(out, inputs)
}

// at is weight i of cause k, the bias where i is inputs, with the same of the
// prior, the pull towards it and its scale.
func (f *fitting) at(k, i int) (w *float64, prior, pull, scale float64) {
	if i == inputs {
		return &f.w[k].Bias, f.prior[k].Bias, f.biasPull, 1
	}
	return &f.w[k].Weights[i], f.prior[k].Weights[i], f.ridge * f.scale[i] * f.scale[i], f.scale[i]
}

func (e *example) input(i int) float64 {
	if i == inputs {
		return 1
	}
	return e.x[i]
}

// improve takes a projected Newton step (Bertsekas, 1982) for cause k: weights at
// their bounds that would cross them stay. It returns the length of the step in
// standardised units.
func (f *fitting) improve(k int) float64 {
	at := places(k)
	gradient, hessian := f.slopes(k, at)
	free := at[:0:0]
	var rows []int
	for r, i := range at {
		w, _, _, scale := f.at(k, i)
		if i < inputs && bounded(k, i, *w-1e-3/scale*sign(gradient[r])) == *w && gradient[r] != 0 {
			continue
		}
		free, rows = append(free, i), append(rows, r)
	}
	step := solve(hessian, gradient, rows, len(at))
	if step == nil {
		return 0
	}
	before := f.loss(k, nil, nil)
	for share := 1.0; share > 1e-3; share /= 2 {
		to := make([]float64, len(free))
		far := 0.0
		for r, i := range free {
			w, _, _, scale := f.at(k, i)
			to[r] = *w - share*step[r]
			if i < inputs {
				to[r] = bounded(k, i, to[r])
			}
			far = max(far, math.Abs(to[r]-*w)*scale)
		}
		if far < enoughStep/10 {
			return 0
		}
		if f.loss(k, free, to) < before {
			f.move(k, free, to)
			return far
		}
	}
	return 0
}

func sign(x float64) float64 {
	if x < 0 {
		return -1
	}
	return 1
}

// slopes are the gradient of the penalised loss by the weights of cause k, and a
// positive definite matrix in the place of its second derivatives [n×n].
func (f *fitting) slopes(k int, at []int) (gradient, hessian []float64) {
	n := len(at)
	gradient, hessian = make([]float64, n), make([]float64, n*n)
	x := make([]float64, n)
	for j := range f.examples {
		e := &f.examples[j]
		g, h := e.slope(k)
		g, h = g*e.weight, h*e.weight
		for r, i := range at {
			x[r] = e.input(i)
			gradient[r] += g * x[r]
		}
		for r, v := range x {
			if v == 0 {
				continue
			}
			row := hessian[r*n : r*n+r+1]
			for c := range row {
				row[c] += h * v * x[c]
			}
		}
	}
	for r, i := range at {
		w, prior, pull, _ := f.at(k, i)
		gradient[r] += pull * (*w - prior)
		hessian[r*n+r] += pull + 1e-9
		for c := range r {
			hessian[c*n+r] = hessian[r*n+c]
		}
	}
	return gradient, hessian
}

// solve gives the Newton step of the free rows of an n×n system; nil where there
// is none.
func solve(hessian, gradient []float64, rows []int, n int) []float64 {
	m := len(rows)
	if m == 0 {
		return nil
	}
	a, b := mat.NewSymDense(m, nil), mat.NewVecDense(m, nil)
	for r, i := range rows {
		b.SetVec(r, gradient[i])
		for c := range r + 1 {
			a.SetSym(r, c, hessian[i*n+rows[c]])
		}
	}
	var chol mat.Cholesky
	if !chol.Factorize(a) {
		return nil
	}
	var out mat.VecDense
	if chol.SolveVecTo(&out, b) != nil {
		return nil
	}
	return out.RawVector().Data
}

// others is the product of all else that the probability is made of.
func (e *example) others(k int) float64 {
	p := e.left
	for other := range causes {
		if other != k {
			p *= e.p[other]
		}
	}
	return p
}

// slope gives the first derivative of the loss of e by the logit of cause k, and
// a positive bound on the second.
func (e *example) slope(k int) (first, second float64) {
	s := e.p[k]
	if e.right {
		return s - 1, s * (1 - s)
	}
	c := e.others(k)
	rest := max(1-c*s, 1e-9)
	first = c * s * (1 - s) / rest
	return first, max(first*(1-2*s)+first*first, s*(1-s)*c*0.1)
}

// loss is the penalised negative log-likelihood as far as cause k has a part in
// it, with other values of some of its weights.
func (f *fitting) loss(k int, free []int, to []float64) float64 {
	sum := 0.0
	change := make([]float64, len(free))
	for r, i := range free {
		w, _, _, _ := f.at(k, i)
		change[r] = to[r] - *w
	}
	for _, i := range places(k) {
		w, prior, pull, _ := f.at(k, i)
		d := *w - prior
		if r := slices.Index(free, i); r >= 0 {
			d += change[r]
		}
		sum += pull / 2 * d * d
	}
	for j := range f.examples {
		e := &f.examples[j]
		z := e.z[k]
		for r, i := range free {
			z += change[r] * e.input(i)
		}
		if e.right {
			sum += e.weight * softplus(-z)
			continue
		}
		sum -= e.weight * math.Log(max(1-e.others(k)*sigmoid(z), 1e-12))
	}
	return sum
}

// move sets weights of cause k.
func (f *fitting) move(k int, free []int, to []float64) {
	for r, i := range free {
		w, _, _, _ := f.at(k, i)
		*w = to[r]
	}
	for j := range f.examples {
		e := &f.examples[j]
		e.z[k] = f.w[k].logit(&e.x)
		e.p[k] = sigmoid(e.z[k])
	}
}

// softplus is log(1 + e^z) without overflow.
func softplus(z float64) float64 { return max(z, 0) + math.Log1p(math.Exp(-math.Abs(z))) }

// ForeignShare is the share of foreign prompts for which a confidence is made.
// A service that is asked more of them is answered with too much confidence,
// one that is asked fewer with too little; the bound on answers to foreign
// prompts does not depend on it.
const ForeignShare = 0.1

// shapingShare is the share that foreign prompts have where the order of
// confidence is made: in tenths they would have too little say in it.
const shapingShare = 0.3

// sortShare is how the sorts share in either.
var sortShare = [sorts]float64{LeftOut: 1, MadeUp: 0.5, Elsewhere: 2.5, Turned: 1}

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
			weights[s] = others * share / (1 - share) * sortShare[s] / shares / n[s]
		}
	}
	return weights
}
