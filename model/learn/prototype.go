package learn

import (
	"fmt"
	"slices"

	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/kernel"
)

// perPrototype is how many examples of a label its start is the mean of.
const perPrototype = 32

// startPrototypes completes given prototypes: rows of zeros become the mean of
// the first examples of their label, as w encodes them.
func startPrototypes(w encoder.Weights, examples []Example, labels int, given []float32) ([]float32, error) {
	d, _ := w.Shape()
	start := slices.Clone(given)
	if start == nil {
		start = make([]float32, labels*d)
	}
	open := make([]int, labels) // examples still wanted
	for l := range labels {
		if kernel.Norm(start[l*d:(l+1)*d]) == 0 {
			open[l] = perPrototype
		}
	}
	enc, err := w.Encoder(encoder.Options{Threshold: 1e-2})
	if err != nil {
		return nil, fmt.Errorf("start prototypes: %w", err)
	}
	h, scratch := make([]float32, d), enc.NewScratch()
	for i := range examples {
		l := examples[i].Label
		if open[l] == 0 {
			continue
		}
		open[l]--
		enc.Encode(&examples[i].Prompt, h, scratch)
		kernel.Axpy(1, h, start[l*d:(l+1)*d])
	}
	for l := range labels {
		kernel.Normalise(start[l*d : (l+1)*d])
	}
	return start, nil
}
