package gate

import (
	_ "embed"
	"math"
)

// standInTable is the calibration that counts while a deployment has not judged
// enough prompts of its own: the lessons of general_knowledge, each left out in
// turn and asked for, and foreign prompts of all sorts, by an untrained and by a
// trained model. A test of package model writes it.
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

// MakeStandIn writes a table from judged prompts: half of them shape the
// confidence, the others are the table.
func MakeStandIn(records []Record) []byte {
	shaping, checking := halves(records)
	model := shape(standInRanker, shaping, records, Logistic{})
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
