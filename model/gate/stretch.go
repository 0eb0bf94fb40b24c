package gate

import "math"

// Stretch corrects the height of a confidence: logit p becomes a·logit p + b
// (Platt, 1999). Which of two prompts has the more confidence stays as it was.
type Stretch struct{ A, B float64 }

const (
	stretchRidge = 30.0 // pull of the stretch towards the one before, in judgements
	leastStretch = 0.2
	farLogit     = 12 // no probability is nearer to 0 or 1 than this logit says
)

// Of is the stretched probability.
func (s Stretch) Of(p float64) float64 { return sigmoid(s.A*logit(p) + s.B) }

func logit(p float64) float64 {
	return min(max(math.Log(p)-math.Log1p(-p), -farLogit), farLogit)
}

// fitStretch finds the stretch under which c is calibrated on the records.
func fitStretch(c *Confidence, records []seen, prior Stretch, pull float64) Stretch {
	foreign := foreignWeights(records, ForeignShare)
	out := prior
	for range maxSweeps {
		ga, gb := pull*(out.A-prior.A), pull*(out.B-prior.B)
		haa, hab, hbb := pull, 0.0, pull
		for i := range records {
			r := &records[i]
			raw, _ := c.Of(&r.evidence, r.trees)
			z := logit(raw)
			p := sigmoid(out.A*z + out.B)
			y, w := 0.0, 1.0
			if r.right {
				y = 1
			}
			if r.foreign {
				w = foreign[r.sort]
			}
			v := w * p * (1 - p)
			ga, gb = ga+w*(p-y)*z, gb+w*(p-y)
			haa, hab, hbb = haa+v*z*z, hab+v*z, hbb+v
		}
		det := haa*hbb - hab*hab
		da, db := (hbb*ga-hab*gb)/det, (haa*gb-hab*ga)/det
		out.A, out.B = out.A-da, out.B-db
		if !(out.A > leastStretch && out.A < 1/leastStretch) || math.IsNaN(out.B) {
			return prior
		}
		if math.Abs(da)+math.Abs(db) < enoughStep {
			break
		}
	}
	return out
}
