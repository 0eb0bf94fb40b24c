package kernel

import (
	"slices"
	"testing"
)

func TestAppendLeavesTheOldListAsItWas(t *testing.T) {
	t.Parallel()
	const d = 5
	vectors := normal(newRand(1), 1600*d)
	lists := []*Rows{NewRows(d)}
	cuts := []int{0, 1, 63, 64, 65, 512, 513, 1023, 1600}
	for i := 1; i < len(cuts); i++ {
		lists = append(lists, lists[i-1].Append(vectors[cuts[i-1]*d:cuts[i]*d]))
	}
	// A second branch from the middle must not disturb the first.
	branch := lists[3].Append(normal(newRand(2), 700*d))
	for i, r := range lists {
		if r.Len() != cuts[i] || r.Dim() != d {
			t.Fatalf("list %d has %d rows of %d, want %d of %d", i, r.Len(), r.Dim(), cuts[i], d)
		}
		for j := range r.Len() {
			if !slices.Equal(r.Row(j), vectors[j*d:(j+1)*d]) {
				t.Fatalf("list %d: row %d changed", i, j)
			}
		}
	}
	if !slices.Equal(branch.Row(0), vectors[:d]) || branch.Len() != 764 {
		t.Errorf("branch of %d rows begins with %v", branch.Len(), branch.Row(0))
	}
}

func TestListsBuiltInPiecesScanAlike(t *testing.T) {
	t.Parallel()
	const n, d = 1100, 20
	vectors, qs := clustered(newRand(3), n, d, 3)
	whole, pieces := NewRows(d).Append(vectors), NewRows(d)
	for i := 0; i < n; i += 11 {
		pieces = pieces.Append(vectors[i*d : (i+11)*d])
	}
	var s Scanner
	a, b := make([][]Hit, 3), make([][]Hit, 3)
	s.TopMany(whole, qs, 8, a)
	s.TopMany(pieces, qs, 8, b)
	for i := range a {
		if !slices.Equal(a[i], b[i]) {
			t.Errorf("query %d: %v in pieces, %v as a whole", i, b[i], a[i])
		}
	}
}

func TestRowsRefuseWrongShapes(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]func(){
		"no columns":     func() { NewRows(0) },
		"part of a row":  func() { NewRows(3).Append(make([]float32, 4)) },
		"row beyond end": func() { NewRows(3).Append(make([]float32, 3)).Row(1) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if recover() == nil {
					t.Error("accepted")
				}
			}()
			call()
		})
	}
}

func TestBitmap(t *testing.T) {
	t.Parallel()
	b := NewBitmap(100)
	b.Set(99)
	b.Set(3)
	b.Clear(3)
	if b.Has(3) || !b.Has(99) || b.Has(5000) || !Bitmap(nil).Has(7) {
		t.Errorf("bitmap %x", b)
	}
}
