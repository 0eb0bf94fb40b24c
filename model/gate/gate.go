package gate

import (
	"cmp"
	"math"
	"slices"
)

// Window is how many judged prompts are kept; older ones give way.
const Window = 2560

// PriorWorth is how many judged prompts the default calibration is worth beside
// none of the deployment's own. It is worth less the more there are: half of that
// beside priorHalved.
const (
	PriorWorth  = 100
	priorHalved = 50
)

// priorWeight is what the default is worth beside n judged prompts.
func priorWeight(n int) float64 { return PriorWorth * priorHalved / float64(priorHalved+n) }

// MaxFeedback is how much of the window people's judgements may take up.
const MaxFeedback = Window * 3 / 8

// Enough is how many judged prompts make a calibration the deployment's own: from
// then on they count for more than the default.
const Enough = PriorWorth

// Gate holds what calibration made of the judged prompts. It is immutable.
type Gate struct {
	alpha     float64
	records   []Record // those that people judged come last
	heldOut   int      // how many of the records are not feedback
	profile   Profile
	ranker    Ranker
	model     Confidence
	forest    *Forest
	stretch   Stretch
	base      []Judged // what sets the threshold beside feedback
	wrong     Prior    // of deployments like this one
	right     Prior
	threshold float64
	topics    map[string]float64 // thresholds of topics that need a higher one
	from      *Default
}

// New makes a gate that knows of no judged prompts yet.
func New(alpha float64) *Gate { return Calibrate(nil, alpha) }

// Calibrate makes a gate from judged prompts, the oldest first, and the default
// calibration. Two folds of the held-out ones each shape the confidence by which
// the other is judged (cross-conformal prediction: Vovk, 2015), so that none is
// judged by a confidence that it shaped; the one that answers is shaped by all.
// What people judged only sets the threshold.
func Calibrate(records []Record, alpha float64) *Gate {
	return shipped.Calibrate(records, alpha)
}

// Calibrate is Calibrate from d instead of the default that ships.
func (d *Default) Calibrate(records []Record, alpha float64) *Gate {
	heldOut, feedback := window(records)
	g := &Gate{from: d, alpha: alpha, heldOut: len(heldOut), records: slices.Concat(heldOut, feedback)}
	g.profile = d.typical()
	if len(g.records) > 0 {
		g.profile = g.records[max(len(heldOut), 1)-1].profile()
	}
	g.wrong, g.right = d.Risk(g.profile)
	g.shape(d, heldOut)
	parts := folds(heldOut)
	for i, part := range parts {
		other := Gate{}
		other.shape(d, parts[1-i])
		g.base = append(g.base, other.judge(part)...)
	}
	for i := range g.base {
		g.base[i].Counts = d.LeftOut[leftBand(g.profile.Phrasings)]
	}
	g.setThresholds()
	return g
}

// shape makes ranker and confidence of the default and the records.
func (g *Gate) shape(d *Default, records []Record) {
	g.ranker, g.model, g.forest, g.stretch = d.Ranker, d.Confidence, &d.Forest, d.Stretch
	own := 0
	for i := range records {
		if !records[i].Foreign {
			own++
		}
	}
	if own < leastShaping {
		return
	}
	g.ranker = fitRanker(records, d.Ranker)
	all := g.ranker.see(records, g.forest)
	// Made-up words are all Alien: a fit that saw nothing else would lay everything
	// on it and learn nothing for names that are known to language and not to memory.
	order, known := slices.Clone(all), false
	for i := range order {
		if order[i].foreign && order[i].sort == MadeUp {
			if known = !known; known {
				order[i].evidence[Alien] = 0
			}
		}
	}
	g.model = fit(order, d.Confidence, shapingShare)
	g.stretch = fitStretch(&g.model, all, d.Stretch, stretchRidge)
}

// leastShaping is how many prompts that have an answer say anything about the
// confidence. Foreign ones alone would say that nothing is right.
const leastShaping = 20

// folds deals the records out in turn, right, wrong and foreign ones each by
// themselves, so that both parts are alike.
func folds(records []Record) (out [2][]Record) {
	var seen [2 + sorts]int
	for i := range records {
		kind := 0
		switch {
		case records[i].Foreign:
			kind = 2 + int(records[i].Sort)
		case records[i].Right < 0:
			kind = 1
		}
		seen[kind]++
		out[seen[kind]%2] = append(out[seen[kind]%2], records[i])
	}
	return out
}

// lessons is how many of the judged prompts come from this deployment's lessons
// and have an answer.
func (g *Gate) lessons() int {
	n := 0
	for i := range g.records[:g.heldOut] {
		if !g.records[i].Foreign {
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
		return g.from.Calibrate(records, g.alpha)
	}
	out := *g
	out.records = slices.Concat(heldOut, feedback)
	out.setThresholds()
	return &out
}

// foreignFactor: of prompts about something else altogether, at most this
// multiple of the target may be answered; nearFactor is that of all foreign ones,
// of which most are made to be as near as can be.
const (
	foreignFactor = 3
	nearFactor    = 5
)

// judge gives each record its confidence.
func (g *Gate) judge(records []Record) []Judged {
	out := make([]Judged, len(records))
	for i := range records {
		r := &records[i]
		best, c, _ := g.Weigh(&r.Look)
		out[i] = Judged{Confidence: c, Wrong: best < 0 || best != r.Right, Foreign: r.Foreign, Sort: r.Sort, Complaint: r.complaint(), Topic: r.Topic}
	}
	return out
}

// bound is the threshold that keeps three promises: of the prompts that have an
// answer, wrong answers stay below the target, by the deployment's own judged
// prompts and, as long as they are few, by what deployments like this one made of
// theirs; of foreign prompts, answers stay below multiples of it; and of what
// people judged alone, wrong answers stay below the target too, where prompts that
// nobody has judged yet are taken for right up to fewJudged. Complaints that come in
// a row count at once, whatever people said before (alarm). What people judge is no
// fair sample of foreign prompts, since nonsense is easily refused; so it has no
// part in the second.
func (g *Gate) bound() float64 {
	feedback := g.judge(g.records[g.heldOut:])
	own := make([]Judged, 0, len(g.base)+len(feedback))
	for _, j := range slices.Concat(g.base, feedback) {
		if !j.Foreign {
			own = append(own, j)
		}
	}
	tau := Threshold(own, &g.wrong, priorWeight(len(own)), g.alpha)
	alpha := g.alpha * foreignAllowance(feedback)
	tau = max(tau, foreignBound(g.base, min(foreignFactor*alpha, 1), min(nearFactor*alpha, 1)))
	n := 0
	for i := range feedback {
		if !feedback[i].Complaint {
			n++
		}
	}
	tau = max(tau, alarm(feedback, g.alpha)) // as they came; feedbackBound sorts them
	return max(tau, g.profile.Floor(), feedbackBound(feedback, max(0, allowed(max(n, fewJudged), g.alpha))))
}

// foreignAllowance is by how much more of the foreign prompts may be answered than where nobody
// has judged anything: the more of what people ask has an answer here, the rarer are
// foreign ones, and the smaller is their part of all wrong answers. Only judgements
// that name a right answer count, so that a complaint lowers nothing and a right
// refusal raises nothing.
func foreignAllowance(feedback []Judged) float64 {
	n := 0.0
	for i := range feedback {
		if j := &feedback[i]; !j.Complaint && !j.Foreign {
			n++
		}
	}
	return min(1+n/PriorWorth, mostAllowance)
}

// mostAllowance bounds it, since what people judge is no fair sample.
const mostAllowance = 2

// Floors of the threshold: an answer that is hardly likelier right than wrong is not
// given, and where hardly anything is known, all that comes is compared with it.
const (
	leastThreshold = 0.65
	tinyThreshold  = 0.32 // more for the only lesson
	tinyAnswers    = 12
	tinyPhrasings  = 4
)

// Floor is the least threshold of a memory.
func (p Profile) Floor() float64 {
	few := max(0, 1-p.Answers/math.Log(tinyAnswers)) * max(0, 1-p.Phrasings/math.Log(tinyPhrasings))
	return leastThreshold + tinyThreshold*few
}

// fewJudged is the number of people's judgements up to which those that are
// missing are taken for content.
const fewJudged = 200

// WithTarget is the gate with another bound. The confidences do not depend on it.
func (g *Gate) WithTarget(alpha float64) *Gate {
	out := *g
	out.alpha = alpha
	out.setThresholds()
	return &out
}

// Expected is the share of prompts that would be answered, and the share that would
// be answered wrongly; of one topic, or of all where topic is empty. It counts the
// deployment's own judged prompts and, while they are few, deployments like it.
func (g *Gate) Expected(topic string) (answered, wrong float64) {
	return g.expected(topic, g.ThresholdIn(topic))
}

// expected is Expected with another threshold.
func (g *Gate) expected(topic string, tau float64) (answered, wrong float64) {
	n := 0.0
	for i := range g.base {
		j := &g.base[i]
		if j.Foreign || topic != "" && j.Topic != topic {
			continue
		}
		n++
		if j.Confidence >= tau {
			answered++
			if j.Wrong {
				wrong += cmp.Or(j.Counts, 1)
			}
		}
	}
	weight := priorWeight(int(n))
	at := levels - 1
	for at > 0 && level(at-1) >= tau {
		at--
	}
	if tau < Never {
		answered += weight * (g.wrong[at] + g.right[at])
		wrong += weight * g.wrong[at]
	}
	return answered / (n + weight), wrong / (n + weight)
}

// Own reports whether the deployment's own judged prompts count for more than the
// default calibration.
func (g *Gate) Own() bool {
	n := g.lessons()
	for i := range g.records[g.heldOut:] {
		if r := &g.records[g.heldOut+i]; !r.complaint() && !r.Foreign {
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

// Profile describes the memory that the gate was calibrated on.
func (g *Gate) Profile() Profile { return g.profile }

// Threshold is the confidence from which on prompts are answered.
func (g *Gate) Threshold() float64 { return g.threshold }

// ThresholdIn is the threshold for answers of a topic. It is higher than Threshold
// where the topic's own judged prompts show that it must be.
func (g *Gate) ThresholdIn(topic string) float64 { return max(g.threshold, g.topics[topic]) }

// enoughInTopic is how many judged prompts of a topic make a bound of its own.
const enoughInTopic = 60

// setThresholds sets the threshold, and those of topics that break the promise under it.
func (g *Gate) setThresholds() {
	g.threshold, g.topics = g.bound(), map[string]float64{}
	byTopic := map[string][]Judged{}
	for _, j := range g.base {
		if !j.Foreign && j.Topic != "" {
			byTopic[j.Topic] = append(byTopic[j.Topic], j)
		}
	}
	if len(byTopic) < 2 {
		return
	}
	for topic, judged := range byTopic {
		if len(judged) < enoughInTopic {
			continue
		}
		if tau := Threshold(judged, &g.wrong, priorWeight(len(judged)), g.alpha); tau > g.threshold {
			g.topics[topic] = tau
		}
	}
}

// Verdict is what a gate makes of a look.
type Verdict struct {
	Best, Second int     // candidates, −1 where there is none
	Confidence   float64 // calibrated probability that Best is right
	// By is the probability of each cause: Familiar, Clear, Meant.
	By       [causes]float64
	Evidence Evidence
}

// Weigh picks the best candidate of a look, −1 if there is none, and gives the
// calibrated probability that it is right, with the evidence for it.
func (g *Gate) Weigh(l *Look) (best int, confidence float64, e Evidence) {
	v := g.Verdict(l)
	return v.Best, v.Confidence, v.Evidence
}

// Verdict is Weigh with all that it found.
func (g *Gate) Verdict(l *Look) (v Verdict) {
	if v.Best, v.Second, v.Evidence = g.ranker.Evidence(l); v.Best < 0 {
		return v
	}
	p, by := g.model.Of(&v.Evidence, g.forest.Odds(&v.Evidence))
	v.By = by
	if p > 0 {
		v.Confidence = g.stretch.Of(p)
	}
	return v
}

// Ranker is the model of which candidate is right.
func (g *Gate) Ranker() Ranker { return g.ranker }

// profile is that of the memory which the record was judged on.
func (r *Record) profile() Profile {
	return Profile{r.Rest[Answers-Distinct], r.Rest[Phrasings-Distinct], r.Rest[Crowd-Distinct]}
}
