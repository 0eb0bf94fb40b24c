package gate

import (
	"math"
	"slices"
)

// Window is how many judged prompts are kept; older ones give way.
const Window = 2560

// Enough is how many prompts of a deployment's own must have been judged
// before its threshold comes from them. Until then the stand-in counts, at
// half the target; where the prompts are those that people judged, the stand-in
// goes on to count beside them, since they say little of what nobody answers.
const Enough = 200

// MaxFeedback is how much of the window people's judgements may take up.
const MaxFeedback = Window * 3 / 8

// Gate holds what calibration made of the judged prompts. It is immutable.
type Gate struct {
	alpha     float64
	records   []Record // those that people judged come last
	heldOut   int      // how many of the records are not feedback
	ranker    Ranker
	model     Logistic
	base      []Judged // what sets the threshold beside feedback
	threshold float64
}

// New makes a gate that knows of no judged prompts yet.
func New(alpha float64) *Gate { return Calibrate(nil, alpha) }

// Calibrate makes a gate from judged prompts, the oldest first. Every second
// held-out one shapes which prompt has more confidence than another, the others
// set the threshold: conformal risk control wants prompts that had no part in
// that order. How high the confidence is where the order is given, all of them
// tell. What people judged only sets the threshold.
func Calibrate(records []Record, alpha float64) *Gate {
	heldOut, feedback := window(records)
	g := &Gate{alpha: alpha, heldOut: len(heldOut), records: slices.Concat(heldOut, feedback)}
	standIn := readStandIn(standInTable)
	if g.lessons() >= Enough {
		shaping, checking := halves(heldOut)
		g.ranker = fitRanker(shaping, priorRanker)
		g.model = shape(g.ranker, shaping, heldOut, priorModel)
		g.base = g.model.judge(g.ranker.see(checking))
	} else {
		g.ranker, g.model, g.base = standInRanker, standIn.model, standIn.judged
	}
	g.threshold = g.bound()
	return g
}

// shape makes the confidence: its order from some of the records, its height
// from all. Swapped prompts are all made to be Alien: a fit that saw it would lay
// everything on it and learn nothing from them for names that are known to
// language and not to memory. How much it tells, the others say: where people
// ask about names all day, as in CLINC150, it is little.
func shape(r Ranker, shaping, all []Record, prior Logistic) Logistic {
	order := r.see(shaping)
	for i := range order {
		if order[i].foreign && order[i].sort == Swapped {
			order[i].evidence[Alien] = 0
		}
	}
	return fit(order, prior, ForeignShare).stretched(r.see(all))
}

// lessons is how many of the judged prompts come from this deployment's lessons.
func (g *Gate) lessons() int {
	n := 0
	for i := range g.records[:g.heldOut] {
		if r := &g.records[i]; !r.Foreign || r.Sort != Elsewhere {
			n++
		}
	}
	return n
}

// window parts what people judged from the rest and keeps the newest of both.
func window(records []Record) (heldOut, feedback []Record) {
	for i := range records {
		if records[i].Feedback {
			feedback = append(feedback, records[i])
		} else {
			heldOut = append(heldOut, records[i])
		}
	}
	feedback = feedback[max(0, len(feedback)-MaxFeedback):]
	return heldOut[max(0, len(heldOut)-(Window-len(feedback))):], feedback
}

// Judge is the gate with more of what people judged. What it knew of the same,
// by Record.Of or among over, is replaced. Its confidence stays as it is, and
// so a complaint never lowers the threshold and a refusal that was right never
// raises it, as long as the window has room.
func (g *Gate) Judge(over []string, more []Record) *Gate {
	var records []Record
	for i := range g.records {
		if r := &g.records[i]; r.Of == "" || !slices.Contains(over, r.Of) {
			records = append(records, *r)
		}
	}
	for i := range more {
		r := more[i]
		again := func(known Record) bool { return r.Of != "" && known.Of == r.Of }
		records = append(slices.DeleteFunc(records, again), r)
	}
	heldOut, feedback := window(records)
	if len(heldOut) != g.heldOut {
		return Calibrate(records, g.alpha)
	}
	out := *g
	out.records = slices.Concat(heldOut, feedback)
	out.threshold = out.bound()
	return &out
}

// halves deals the records out in turn, right, wrong and foreign ones each by
// themselves, so that both halves are alike.
func halves(records []Record) (fit, check []Record) {
	var seen [2 + sorts]int
	for i := range records {
		kind := 0
		switch {
		case records[i].Foreign:
			kind = 2 + int(records[i].Sort)
		case records[i].Right < 0:
			kind = 1
		}
		if seen[kind]++; seen[kind]%2 == 1 {
			fit = append(fit, records[i])
		} else {
			check = append(check, records[i])
		}
	}
	return fit, check
}

// foreignFactor: of foreign prompts alone, at most this multiple of the target
// may be answered. How many of them come is for the world to decide.
const foreignFactor = 2

// judge gives each record its confidence.
func (l *Logistic) judge(records []seen) []Judged {
	out := make([]Judged, len(records))
	for i := range records {
		out[i] = Judged{Confidence: l.Confidence(&records[i].evidence), Wrong: !records[i].right, Foreign: records[i].foreign, Sort: records[i].sort, Complaint: records[i].complaint}
	}
	return out
}

// floor is the least threshold: an answer that is sooner wrong than right is
// not given, however few of its kind were among the judged prompts.
const floor = 0.5

// bound is the threshold that keeps three promises: of all prompts, of which
// ForeignShare are foreign, wrong answers stay below the target; of foreign
// ones alone, answers stay below foreignFactor times that; and of what people
// judged alone, wrong answers stay below the target too, where prompts that
// nobody has judged yet are taken for right up to Enough. What people judge is
// no fair sample of foreign prompts, since nonsense is easily refused; so it
// has no part in the second.
func (g *Gate) bound() float64 {
	feedback := g.model.judge(g.ranker.see(g.records[g.heldOut:]))
	alpha := g.alpha
	if !g.Own() {
		alpha /= 2
	}
	mixed, foreign := mix(g.base)
	tau := Threshold(append(mixed, feedback...), alpha)
	if len(foreign) > 0 {
		tau = max(tau, Threshold(foreign, min(foreignFactor*alpha, 1)))
	}
	return max(floor, tau, lowest(feedback, max(0, allowed(max(prompts(feedback), Enough), g.alpha))))
}

// mix thins the foreign prompts out: foreign are those that stand for all kinds
// in the shares of sortShare, and mixed has ForeignShare of them among all.
func mix(judged []Judged) (mixed, foreign []Judged) {
	var n [sorts]float64
	others := 0
	for _, j := range judged {
		if j.Foreign {
			n[j.Sort]++
		} else {
			others++
			mixed = append(mixed, j)
		}
	}
	// The sort that has the fewest for its share sets the number.
	whole, shares := math.Inf(1), 0.0
	for s := range n {
		if n[s] > 0 {
			whole = min(whole, n[s]/sortShare[s])
			shares += sortShare[s]
		}
	}
	var seen [sorts]float64
	every := max(1, int(math.Round(whole*shares/max(ForeignShare/(1-ForeignShare)*float64(others), 1))))
	for _, j := range judged {
		if !j.Foreign {
			continue
		}
		// Evenly over those of the sort.
		keep := whole * sortShare[j.Sort] / n[j.Sort]
		before := math.Floor(seen[j.Sort] * keep)
		seen[j.Sort]++
		if math.Floor(seen[j.Sort]*keep) == before {
			continue
		}
		foreign = append(foreign, j)
		if len(foreign)%every == 0 {
			mixed = append(mixed, j)
		}
	}
	return mixed, foreign
}

// WithTarget is the gate with another bound.
func (g *Gate) WithTarget(alpha float64) *Gate { return Calibrate(g.records, alpha) }

// Own reports whether the threshold comes from the deployment's own prompts.
// Complaints do not count: the target is then twice that of the stand-in, and
// no complaint may loosen anything.
func (g *Gate) Own() bool {
	if g.lessons() >= Enough {
		return true
	}
	n := 0
	for i := range g.records[g.heldOut:] {
		if !g.records[g.heldOut+i].complaint() {
			n++
		}
	}
	return n >= Enough
}

// Judged is the number of judged prompts in the window.
func (g *Gate) Judged() int { return len(g.records) }

// Records are the judged prompts, the oldest first. They must not be changed.
func (g *Gate) Records() []Record { return g.records }

// Feedback are those of the judged prompts that people judged, the oldest
// first. They must not be changed.
func (g *Gate) Feedback() []Record { return g.records[g.heldOut:] }

// Threshold is the confidence from which on prompts are answered.
func (g *Gate) Threshold() float64 { return g.threshold }

// Weigh picks the best candidate of a look, −1 if there is none, and gives the
// calibrated probability that it is right, with the evidence for it.
func (g *Gate) Weigh(l *Look) (best int, confidence float64, e Evidence) {
	if best, e = g.ranker.Evidence(l); best < 0 {
		return best, 0, e
	}
	return best, g.model.Confidence(&e), e
}

// Model is the model of confidence, and of which candidate is right.
func (g *Gate) Model() (Ranker, Logistic) { return g.ranker, g.model }
