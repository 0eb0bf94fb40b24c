package gate

import (
	_ "embed"
	"math"
	"slices"

	"github.com/nexus-continuum/nexus/model/wire"
)

// defaultTable is what a deployment starts from. It is learned from hundreds of
// simulated deployments, made of many data sets: their answers, phrasings and
// nearness differ, and so does what they are asked. `make calibration` makes it.
//
//go:embed default.bin
var defaultTable string

// Default is a calibration learned from other deployments.
type Default struct {
	Ranker     Ranker
	Confidence Confidence
	Forest     Forest
	Stretch    Stretch
	Seen       []Deployment
	// LeftOut is how many prompts are answered wrongly for each left-out lesson that
	// is, by the number of lessons an answer: with one lesson less an answer of two
	// is harder to find than it is with both. The places are those of leftBand.
	LeftOut [leftBands]float64
}

// leftBand is the place in LeftOut of a memory with so many lessons an answer.
func leftBand(phrasings float64) int {
	for i, most := range [...]float64{2.5, 3.5, 6, 12} {
		if math.Exp(phrasings) <= most {
			return i
		}
	}
	return leftBands - 1
}

const leftBands = 5

// Deployment is one that the default was learned from: what its memory is like,
// and the share of its prompts that were answered wrongly at each level.
type Deployment struct {
	Profile Profile
	Wrong   [levels]float32
	Right   [levels]float32 // and rightly
}

// Profile describes a memory, as far as the risk of wrong answers hangs on it.
type Profile struct {
	Answers   float64 // natural logarithm of their number
	Phrasings float64 // natural logarithm of the lessons an answer, at most MaxPhrasings
	Crowd     float64 // mean cosine of a lesson to the nearest one of another answer
}

// MaxPhrasings is the number of lessons an answer beyond which more change little.
const MaxPhrasings = 20

// Widths of the kernel over profiles.
const (
	widthAnswers   = 0.8
	widthPhrasings = 0.8
	widthCrowd     = 0.12
)

// near is how much another deployment says about this one.
func (p Profile) near(q Profile) float64 {
	a, b, c := (p.Answers-q.Answers)/widthAnswers, (p.Phrasings-q.Phrasings)/widthPhrasings, (p.Crowd-q.Crowd)/widthCrowd
	return math.Exp(-(a*a + b*b + c*c) / 2)
}

// typical is the mean of the profiles that d was learned from.
func (d *Default) typical() (p Profile) {
	n := float64(max(len(d.Seen), 1))
	for i := range d.Seen {
		q := &d.Seen[i].Profile
		p.Answers, p.Phrasings, p.Crowd = p.Answers+q.Answers/n, p.Phrasings+q.Phrasings/n, p.Crowd+q.Crowd/n
	}
	return p
}

// Where an answer has a single lesson nothing of the deployment itself shows how it
// differs from those like it, so it is given a margin in standard deviations of
// theirs: loneSpreads with up to fewAnswers answers, and none from manyAnswers on,
// since deployments of few answers differ most. From lonePhrasings lessons an answer
// on its own prompts say enough.
const (
	loneSpreads   = 0.9
	lonePhrasings = 3
	fewAnswers    = 30
	manyAnswers   = 120
)

// margin is that number for a memory like p.
func (p Profile) margin() float64 {
	lone := max(0, 1-p.Phrasings/math.Log(lonePhrasings))
	few := min(max((math.Log(manyAnswers)-p.Answers)/math.Log(manyAnswers/fewAnswers), 0), 1)
	return loneSpreads * lone * few
}

// Risk is the share of prompts that deployments like p answered wrongly at each
// level, with a margin where p may differ without showing it, and the mean share
// that they answered rightly.
func (d *Default) Risk(p Profile) (wrong, right Prior) {
	total, squares := 0.0, Prior{}
	for i := range d.Seen {
		s := &d.Seen[i]
		w := p.near(s.Profile) + 1e-9
		total += w
		for l := range wrong {
			x := float64(s.Wrong[l])
			wrong[l] += w * x
			squares[l] += w * x * x
			right[l] += w * float64(s.Right[l])
		}
	}
	for l := range wrong {
		if total == 0 {
			wrong[l] = 1 // nothing is known of any deployment: nothing is safe
			continue
		}
		mean := wrong[l] / total
		wrong[l] = mean + p.margin()*math.Sqrt(max(squares[l]/total-mean*mean, 0))
		right[l] /= total
	}
	return wrong, right
}

// shipped is the default in the program. One that cannot be read stands for
// caution: it answers nothing.
var shipped = func() Default {
	d, err := OpenDefault([]byte(defaultTable))
	if err != nil {
		return Default{Stretch: Stretch{A: 1}}
	}
	return d
}()

// defaultVersion is that of the layout below.
const defaultVersion = 2

// Bytes writes d.
func (d *Default) Bytes() []byte {
	var w wire.Writer
	w.Uint(defaultVersion)
	w.Uint(inputs)
	for _, x := range d.Ranker {
		w.Double(x)
	}
	for k := range d.Confidence {
		for _, x := range d.Confidence[k].Weights {
			w.Double(x)
		}
		w.Double(d.Confidence[k].Bias)
	}
	d.Forest.write(&w)
	w.Double(d.Stretch.A)
	w.Double(d.Stretch.B)
	for _, x := range d.LeftOut {
		w.Double(x)
	}
	w.Uint(uint64(len(d.Seen)))
	for i := range d.Seen {
		s := &d.Seen[i]
		w.Floats([]float32{float32(s.Profile.Answers), float32(s.Profile.Phrasings), float32(s.Profile.Crowd)})
		for _, x := range slices.Concat(s.Wrong[:], s.Right[:]) {
			w.Uint(uint64(math.Round(float64(x) * shareUnit)))
		}
	}
	return w.Bytes
}

// shareUnit is the precision with which shares are kept.
const shareUnit = 2000

// OpenDefault reads what Bytes wrote.
func OpenDefault(data []byte) (d Default, err error) {
	r := wire.NewReader(data)
	version := r.Uint(1 << 10)
	if r.Err() == nil && (version < 1 || version > defaultVersion) {
		r.Fail("default calibration of version %d, this program reads 1 to %d", version, defaultVersion)
	}
	// The first version knew no forest.
	n := int(r.Uint(1 << 10)) //nolint:gosec // bounded
	if want := map[uint64]int{1: odds, defaultVersion: inputs}[version]; r.Err() == nil && n != want {
		r.Fail("default calibration over %d inputs, this program has %d", n, want)
	}
	for i := range d.Ranker {
		d.Ranker[i] = r.Double()
	}
	for k := range d.Confidence {
		for i := range min(n, inputs) {
			d.Confidence[k].Weights[i] = r.Double()
		}
		d.Confidence[k].Bias = r.Double()
	}
	if version > 1 {
		d.Forest.read(r)
	}
	d.Stretch = Stretch{r.Double(), r.Double()}
	for i := range d.LeftOut {
		d.LeftOut[i] = r.Double()
	}
	for range r.Uint(1 << 16) {
		p := r.Floats(3)
		if r.Err() != nil {
			break
		}
		s := Deployment{Profile: Profile{float64(p[0]), float64(p[1]), float64(p[2])}}
		for _, shares := range []*[levels]float32{&s.Wrong, &s.Right} {
			for l := range shares {
				shares[l] = float32(r.Uint(shareUnit)) / shareUnit
			}
		}
		d.Seen = append(d.Seen, s)
	}
	return d, r.Close()
}

// Trial is one simulated deployment: the records of what it was asked.
type Trial struct {
	Profile Profile
	Records []Record
	Own     []Record // by which the deployment calibrates itself
}

// Learn makes a default from trials. Each trial counts with the square root of
// the prompts that it was asked.
func Learn(trials []Trial) Default {
	d := Default{Stretch: Stretch{A: 1}}
	var all []Record
	for i := range trials {
		all = append(all, trials[i].Records...)
	}
	for i := range d.Ranker {
		d.Ranker[i] = turning(i, 0)
	}
	d.Ranker = fitRankerWith(all, d.Ranker, learnRidge)
	f := &fitting{ridge: learnRidge, biasPull: 0.05}
	for k := range f.w {
		f.w[k].Bias, f.prior[k].Bias = 1, 1
	}
	for k := range f.w {
		for i := range inputs {
			f.w[k].Weights[i] = bounded(k, i, 0)
		}
	}
	var seenBy [][]seen
	for i := range trials {
		records := d.Ranker.see(trials[i].Records, &d.Forest)
		seenBy = append(seenBy, records)
		one := newFitting(records, f.w, shapingShare)
		own := 0.0
		for j := range records {
			if !records[j].foreign {
				own++
			}
		}
		for j := range one.examples {
			one.examples[j].weight *= learnWeight / math.Sqrt(max(own, 1))
		}
		for j := range one.examples {
			one.examples[j].half = i % 2
		}
		f.examples = append(f.examples, one.examples...)
	}
	f.standardise()
	f.run(learnSweeps)
	d.Forest = f.trees()
	f.run(learnSweeps)
	d.Confidence = f.w
	var pool []seen
	for i := range seenBy {
		for j := range seenBy[i] {
			seenBy[i][j].trees = d.Forest.Odds(&seenBy[i][j].evidence)
		}
		pool = append(pool, seenBy[i]...)
	}
	d.Stretch = fitStretch(&d.Confidence, pool, d.Stretch, 1)
	for i := range trials {
		d.Seen = append(d.Seen, d.seen(&trials[i]))
	}
	d.LeftOut = d.leftOut(trials)
	return d
}

// leftOut compares what trials were asked with what their left-out lessons promised,
// at the levels at which thresholds stand.
func (d *Default) leftOut(trials []Trial) (out [leftBands]float64) {
	const from, to = 10, 40 // levels of 0.6 to 0.9
	var asked, promised [leftBands]float64
	for i := range trials {
		own := d.seen(&Trial{Profile: trials[i].Profile, Records: trials[i].Own})
		if own.Right[0]+own.Wrong[0] == 0 {
			continue // nothing of it could be left out
		}
		b := leftBand(trials[i].Profile.Phrasings)
		for l := from; l <= to; l++ {
			asked[b] += float64(d.Seen[i].Wrong[l])
			promised[b] += float64(own.Wrong[l])
		}
	}
	for b := range out {
		out[b] = 1
		if promised[b] > 0 {
			out[b] = min(max(asked[b]/promised[b]+leftOutMargin, leastLeftOut), 1)
		}
	}
	return out
}

// The comparison is kept on the safe side.
const (
	leftOutMargin = 0.02
	leastLeftOut  = 0.7
)

const (
	learnRidge  = 3.0
	learnWeight = 3.0
	learnSweeps = 60
	learnTrees  = 150 // of each half of the trials
)

// seen is how a trial went at each level.
func (d *Default) seen(t *Trial) Deployment {
	out := Deployment{Profile: t.Profile}
	g := Gate{ranker: d.Ranker, model: d.Confidence, forest: &d.Forest, stretch: d.Stretch}
	n := 0
	for i := range t.Records {
		if !t.Records[i].Foreign {
			n++
		}
	}
	for i := range t.Records {
		if t.Records[i].Foreign {
			continue
		}
		counts := &out.Wrong
		best, c, _ := g.Weigh(&t.Records[i].Look)
		if best >= 0 && best == t.Records[i].Right {
			counts = &out.Right
		}
		for l := range counts {
			if c >= level(l) {
				counts[l] += 1 / float32(n)
			}
		}
	}
	return out
}
