package encoder

import (
	"fmt"
	"math"
	"slices"
)

// Fill copies sections, as they were stored, into w. Every section of w must
// be there once, with its very shape; order does not matter and unknown names
// are an error, so that no trained number is dropped in silence.
func Fill(w Weights, stored []Section) error {
	want := w.Sections()
	if len(stored) != len(want) {
		return fmt.Errorf("%w: %d sections, want %d", ErrShape, len(stored), len(want))
	}
	for _, s := range stored {
		i := slices.IndexFunc(want, func(o Section) bool { return o.Name == s.Name })
		if i < 0 {
			return fmt.Errorf("%w: section %q is unknown or there twice", ErrShape, s.Name)
		}
		if !slices.Equal(s.Shape, want[i].Shape) || len(s.Data) != len(want[i].Data) {
			return fmt.Errorf("%w: section %q is %v with %d numbers, want %v", ErrShape, s.Name, s.Shape, len(s.Data), want[i].Shape)
		}
		copy(want[i].Data, s.Data)
		want = slices.Delete(want, i, i+1)
	}
	return nil
}

// CheckFinite returns ErrNotFinite if any number of w is not.
func CheckFinite(w Weights) error {
	for _, s := range w.Sections() {
		if i := slices.IndexFunc(s.Data, notFinite); i >= 0 {
			return fmt.Errorf("%w: section %q holds %v at %d", ErrNotFinite, s.Name, s.Data[i], i)
		}
	}
	return nil
}

// notFinite is true for NaN and both infinities: exponent bits all set.
func notFinite(v float32) bool { return math.Float32bits(v)&0x7f800000 == 0x7f800000 }

// Parameters counts the trainable numbers of w.
func Parameters(w Weights) int {
	n := 0
	for _, s := range w.Sections() {
		if s.Name != sectionSeen {
			n += len(s.Data)
		}
	}
	return n
}
