package gate

import (
	"fmt"
	"math"

	"github.com/nexus-continuum/nexus/model/wire"
)

// formatVersion 2 added what a judgement is of, 3 the sort of a foreign prompt;
// in 4 figures take four bytes.
const formatVersion = 4

// maxCandidates bounds the candidates of one record.
const maxCandidates = 64

// Bytes writes the judged prompts; all else follows from them.
func (g *Gate) Bytes() []byte {
	var w wire.Writer
	w.Uint(formatVersion)
	w.Uint(Features)
	w.Uint(uint64(len(g.records)))
	for i := range g.records {
		r := &g.records[i]
		kind := uint64(0)
		if r.Foreign {
			kind |= 1
		}
		if r.Feedback {
			kind |= 2
		}
		kind |= uint64(r.Sort) << 2
		w.Uint(kind)
		if r.Feedback {
			w.String(r.Of)
		}
		w.Uint(uint64(r.Right + 1))
		w.String(r.Topic)
		w.Uint(uint64(len(r.Candidates)))
		for j := range r.Candidates {
			putFigures(&w, r.Candidates[j][:])
		}
		putFigures(&w, r.Rest[:])
	}
	return w.Bytes
}

// Open reads what Bytes wrote and calibrates for alpha.
func Open(alpha float64, data []byte) (*Gate, error) { return shipped.Open(alpha, data) }

// Open is Open with d instead of the default that ships.
func (d *Default) Open(alpha float64, data []byte) (*Gate, error) {
	r := wire.NewReader(data)
	version := r.Uint(1 << 32)
	if r.Err() == nil && (version < 1 || version > formatVersion) {
		r.Fail("version %d, this program reads 1 to %d", version, formatVersion)
	}
	features := r.Uint(1 << 10)
	n := r.Count(1)
	if n > Window {
		r.Fail("%d records, the window holds %d", n, Window)
	}
	if r.Err() == nil && (features != Features || version < formatVersion) {
		// Judged by other features than this program has: calibration starts
		// from the default again, and the next lessons or steps judge anew.
		return d.Calibrate(nil, alpha), nil
	}
	records := make([]Record, 0, min(n, Window))
	for range n {
		kind := r.Uint(4*uint64(sorts) - 1)
		rec := Record{Foreign: kind&1 > 0, Feedback: kind&2 > 0, Sort: Sort(kind >> 2)}
		if rec.Feedback {
			rec.Of = r.String()
		}
		rec.Right = int(r.Uint(maxCandidates)) - 1
		rec.Topic = r.String()
		for range r.Uint(maxCandidates) {
			var c Candidate
			figures(r, c[:])
			rec.Candidates = append(rec.Candidates, c)
		}
		figures(r, rec.Rest[:])
		if rec.Right >= len(rec.Candidates) {
			r.Fail("candidate %d of %d is right", rec.Right, len(rec.Candidates))
		}
		if r.Err() != nil {
			break
		}
		records = append(records, rec)
	}
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("read judged prompts: %w", err)
	}
	return d.Calibrate(records, alpha), nil
}

func putFigures(w *wire.Writer, figures []float64) {
	var narrow [Features]float32
	for i, x := range figures {
		narrow[i] = float32(x)
	}
	w.Floats(narrow[:len(figures)])
}

// figures reads features; all of them are small.
func figures(r *wire.Reader, out []float64) {
	for i, x := range r.Floats(len(out)) {
		if out[i] = float64(x); math.IsNaN(out[i]) || math.Abs(out[i]) > 1e3 {
			r.Fail("a figure of %g", x)
			return
		}
	}
}
