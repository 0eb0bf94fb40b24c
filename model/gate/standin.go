package gate

import (
	_ "embed"
	"math"
	"slices"
)

// standInTable is the calibration that counts while a deployment has not judged
// enough prompts of its own. It comes from memories of several makes, facts and
// help desks, taught in one phrasing or in more, untrained and trained: each is
// asked other phrasings and foreign prompts of all sorts. A test of package
// model writes it.
//
// Layout, little-endian: the weights of the logistic model and its bias as
// 64-bit floats; then for each judged prompt a 16-bit confidence, in steps of
// 1/65535, and a byte: 1 for wrong, 2 for foreign, and four times its sort.
//
//go:embed standin.bin
var standInTable string

type standIn struct {
	model  Logistic
	judged []Judged
}

// readStandIn reads the table. One that is cut short stands for caution: no
// judged prompts, so no answers.
func readStandIn(table string) (s standIn) {
	const head = 8 * (Features + 1)
	if len(table) < head {
		return s
	}
	number := func(at, size int) (v uint64) {
		for i := size - 1; i >= 0; i-- {
			v = v<<8 | uint64(table[at+i])
		}
		return v
	}
	for i := range s.model.Weights {
		s.model.Weights[i] = math.Float64frombits(number(8*i, 8))
	}
	s.model.Bias = math.Float64frombits(number(8*Features, 8))
	for at := head; at+3 <= len(table); at += 3 {
		kind := table[at+2]
		s.judged = append(s.judged, Judged{Confidence: float64(number(at, 2)) / math.MaxUint16, Wrong: kind&1 > 0, Foreign: kind&2 > 0, Sort: Sort(min(kind>>2, byte(sorts)-1))})
	}
	return s
}

// standInForeign is the share of foreign prompts in the order of the stand-in:
// where nothing is known yet, as much as all else. How high its confidence is
// goes by ForeignShare.
const standInForeign = 0.5

// MakeStandIn writes a table: some judged prompts shape the confidence, and the
// others, which had no part in that, are the table.
func MakeStandIn(shaping, checking []Record) []byte {
	model := fit(standInRanker.see(shaping), Logistic{}, standInForeign).stretched(standInRanker.see(slices.Concat(shaping, checking)))
	var out []byte
	put := func(v uint64, size int) {
		for range size {
			out = append(out, byte(v))
			v >>= 8
		}
	}
	for _, w := range model.Weights {
		put(math.Float64bits(w), 8)
	}
	put(math.Float64bits(model.Bias), 8)
	for _, j := range model.judge(standInRanker.see(checking)) {
		kind := uint64(0)
		if j.Wrong {
			kind |= 1
		}
		if j.Foreign {
			kind |= 2 | uint64(j.Sort)<<2
		}
		put(uint64(math.Round(j.Confidence*math.MaxUint16)), 2)
		put(kind, 1)
	}
	return out
}
