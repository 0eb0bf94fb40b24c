package gate

import "math"

// Ranker weighs the figures of a candidate: a conditional logit model of which
// candidate is the right one (McFadden, 1974). How much words tell beside the
// equilibrium differs: much in a book of facts, little in a help desk.
type Ranker [Margin]float64

// Score is a log-odds, up to a constant.
func (r *Ranker) Score(c *Candidate) float64 {
	s := 0.0
	for i, w := range *r {
		s += w * c[i]
	}
	return s
}

// rankerRidge pulls the weights to the prior.
const rankerRidge = 0.5

// fitRanker is the conditional logit model that explains best which candidates
// were right, pulled towards prior. Records without a right candidate among
// others tell it nothing.
func fitRanker(records []Record, prior Ranker) Ranker {
	return fitRankerWith(records, prior, rankerRidge)
}

func fitRankerWith(records []Record, prior Ranker, ridge float64) Ranker {
	var telling []*Record
	for i := range records {
		if r := &records[i]; r.Right >= 0 && r.Right < len(r.Candidates) && len(r.Candidates) > 1 {
			telling = append(telling, r)
		}
	}
	w := prior
	for range maxSweeps {
		far := 0.0
		for i := range w {
			far = max(far, w.improve(i, telling, &prior, ridge))
		}
		if far < rankerStep {
			break
		}
	}
	for _, x := range w {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return prior
		}
	}
	return w
}

// rankerStep is enough: scores differ by whole numbers.
const rankerStep = 1e-2

// improve takes a Newton step along weight i, cut at its bound, and returns its
// length.
func (r *Ranker) improve(i int, records []*Record, prior *Ranker, ridge float64) float64 {
	gradient, curve := ridge*(r[i]-prior[i]), ridge
	for _, rec := range records {
		mean, square, _ := r.moments(i, rec)
		gradient += mean - rec.Candidates[rec.Right][i]
		curve += square - mean*mean
	}
	to := turning(i, r[i]-gradient/curve)
	from := r[i]
	before := r.loss(i, records, prior, ridge)
	for step := to - from; math.Abs(step) > rankerStep/10; step /= 2 {
		r[i] = from + step
		if r.loss(i, records, prior, ridge) < before {
			return math.Abs(step)
		}
	}
	r[i] = from
	return 0
}

// moments are mean and mean square of feature i under the model's
// probabilities of the candidates, and the logarithm of their sum.
func (r *Ranker) moments(i int, rec *Record) (mean, square, logSum float64) {
	top := math.Inf(-1)
	for j := range rec.Candidates {
		top = max(top, r.Score(&rec.Candidates[j]))
	}
	sum := 0.0
	for j := range rec.Candidates {
		c := &rec.Candidates[j]
		p := math.Exp(r.Score(c) - top)
		sum += p
		mean += p * c[i]
		square += p * c[i] * c[i]
	}
	return mean / sum, square / sum, top + math.Log(sum)
}

// loss is the penalised negative log-likelihood, as far as weight i counts in
// the penalty.
func (r *Ranker) loss(i int, records []*Record, prior *Ranker, ridge float64) float64 {
	sum := ridge / 2 * (r[i] - prior[i]) * (r[i] - prior[i])
	for _, rec := range records {
		_, _, logSum := r.moments(i, rec)
		sum += logSum - r.Score(&rec.Candidates[rec.Right])
	}
	return sum
}

// leastTurning is how much at least speaks against a candidate from which the
// prompt differs by what turns the meaning, whatever the lessons at hand say of
// it: most deployments hold no such pair to learn it from.
const leastTurning = -2

// turning keeps a weight to the direction of its feature.
func turning(i int, w float64) float64 {
	switch {
	case i == Negated || i == Opposite || i == Other || i == Swapped:
		return min(w, leastTurning)
	case w*direction[i] < 0:
		return 0
	}
	return w
}
