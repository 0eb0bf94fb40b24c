package kernel

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// clustered makes n unit vectors of length d around a few centres, as exemplars of answers are, and queries beside some of
// them.
func clustered(r *rand.Rand, n, d, queries int) (vectors []float32, qs []Query) {
	centres := normal(r, 12*d)
	near := func(spread float32) []float32 {
		v := normal(r, d)
		Scale(spread, v)
		c := r.IntN(12) * d
		Axpy(1, centres[c:c+d], v)
		Normalise(v)
		return v
	}
	for range n {
		vectors = append(vectors, near(0.7)...)
	}
	for range queries {
		qs = append(qs, Query{Vector: near(0.7)})
	}
	return vectors, qs
}

// brute scores the allowed rows in float64 and sorts.
func brute(vectors []float32, d int, q Query) []Hit {
	var all []Hit
	for i := range len(vectors) / d {
		if !q.Allowed.Has(i) {
			continue
		}
		var sum float64
		for j, v := range q.Vector {
			sum += float64(v) * float64(vectors[i*d+j])
		}
		if sum == sum {
			all = append(all, Hit{Row: i, Score: float32(sum)})
		}
	}
	slices.SortFunc(all, func(a, b Hit) int { return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Row, b.Row)) })
	return all
}

// matches reports how hits differ from the k best of want, taking scores within tolerance for equal; "" if they do not.
func matches(hits, want []Hit, k int, tolerance float64) string {
	if k = min(k, len(want)); len(hits) != k {
		return fmt.Sprintf("%d hits, want %d", len(hits), k)
	}
	seen := map[int]bool{}
	score := map[int]float32{}
	for _, h := range want {
		score[h.Row] = h.Score
	}
	for i, h := range hits {
		exact, ok := score[h.Row]
		switch {
		case !ok || seen[h.Row]:
			return fmt.Sprintf("hit %d is row %d, which is not allowed or was found before", i, h.Row)
		case math.Abs(float64(h.Score-exact)) > tolerance:
			return fmt.Sprintf("row %d scores %v, want %v", h.Row, h.Score, exact)
		case math.Abs(float64(h.Score-want[i].Score)) > tolerance:
			return fmt.Sprintf("hit %d scores %v, want %v", i, h.Score, want[i].Score)
		case i > 0 && (h.Score > hits[i-1].Score || h.Score == hits[i-1].Score && h.Row < hits[i-1].Row):
			return fmt.Sprintf("hit %d is out of order", i)
		}
		seen[h.Row] = true
	}
	return ""
}

func TestScanFindsTheBestRows(t *testing.T) {
	t.Parallel()
	for _, size := range []struct{ n, d int }{{0, 8}, {1, 1}, {7, 128}, {64, 3}, {65, 16}, {513, 33}, {1500, 128}, {2048, 50}} {
		for _, queries := range []int{1, 7, 40} {
			r := newRand(uint64(size.n + queries))
			vectors, qs := clustered(r, size.n, size.d, queries)
			rows := NewRows(size.d).Append(vectors)
			t.Run(fmt.Sprintf("n=%d,d=%d,queries=%d", size.n, size.d, queries), func(t *testing.T) {
				t.Parallel()
				want := make([][]Hit, queries)
				for i, q := range qs {
					want[i] = brute(vectors, size.d, q)
				}
				for _, l := range levels() {
					var s Scanner
					fast, exact := make([][]Hit, queries), make([][]Hit, queries)
					s.topMany(l, rows, qs, 8, fast)
					s.topManyExact(l, rows, qs, 8, exact)
					for i := range qs {
						if e := matches(fast[i], want[i], 8, 1e-6); e != "" {
							t.Errorf("%v: query %d: %s", l, i, e)
						}
						if e := matches(exact[i], want[i], 8, 1e-6); e != "" {
							t.Errorf("%v: query %d, exact: %s", l, i, e)
						}
					}
				}
			})
		}
	}
}

func TestScanFindsOnlyAllowedRows(t *testing.T) {
	t.Parallel()
	const n, d = 1300, 24
	vectors, qs := clustered(newRand(5), n, d, 4)
	// The first query may see all; the others one panel, every 97th row, and nothing.
	qs[1].Allowed, qs[2].Allowed, qs[3].Allowed = NewBitmap(n), NewBitmap(700), NewBitmap(0)
	for i := 64; i < 128; i++ {
		qs[1].Allowed.Set(i)
	}
	for i := 0; i < 700; i += 97 {
		qs[2].Allowed.Set(i)
	}
	rows := NewRows(d).Append(vectors)
	eachLevel(t, func(t *testing.T, l Level) {
		var s Scanner
		for name, scan := range map[string]func(Level, *Rows, []Query, int, [][]Hit){"fast": s.topMany, "exact": s.topManyExact} {
			for at, batch := range [][]Query{qs, qs[1:2], qs[2:3], qs[3:], qs[1:3]} {
				hits := make([][]Hit, len(batch))
				scan(l, rows, batch, 10, hits)
				for i, q := range batch {
					if e := matches(hits[i], brute(vectors, d, q), 10, 1e-6); e != "" {
						t.Errorf("%s, batch %d, query %d: %s", name, at, i, e)
					}
				}
			}
		}
	})
}

func TestScanPrefersTheLowerOfEqualRows(t *testing.T) {
	t.Parallel()
	const n, d = 1100, 16
	row := normal(newRand(9), d)
	var vectors []float32
	for range n {
		vectors = append(vectors, row...)
	}
	rows := NewRows(d).Append(vectors)
	eachLevel(t, func(t *testing.T, l Level) {
		var s Scanner
		q := []Query{{Vector: row}, {Vector: row}}
		for name, scan := range map[string]func(Level, *Rows, []Query, int, [][]Hit){"fast": s.topMany, "exact": s.topManyExact} {
			for _, batch := range [][]Query{q, q[:1]} {
				hits := make([][]Hit, len(batch))
				scan(l, rows, batch, 5, hits)
				for i, h := range hits[0] {
					if h.Row != i {
						t.Errorf("%s of %d: hit %d is row %d", name, len(batch), i, h.Row)
					}
				}
			}
		}
	})
}

func TestScanPassesOverRowsWithoutAScore(t *testing.T) {
	t.Parallel()
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	vectors := []float32{nan, 1, 0, 0, 1, 1, 0, nan, 3, 3, 1, nan}
	eachLevel(t, func(t *testing.T, l Level) {
		var s Scanner
		rows := NewRows(2).Append(vectors)
		hits := make([][]Hit, 1)
		for name, scan := range map[string]func(Level, *Rows, []Query, int, [][]Hit){"fast": s.topMany, "exact": s.topManyExact} {
			scan(l, rows, []Query{{Vector: []float32{1, 1}}}, 8, hits)
			if want := []Hit{{4, 6}, {2, 2}, {1, 0}}; !reflect.DeepEqual(hits[0], want) {
				t.Errorf("%s: %v, want %v", name, hits[0], want)
			}
			for _, v := range []float32{nan, inf, -inf} {
				// A query that is not finite must neither crash nor find a NaN.
				scan(l, rows, []Query{{Vector: []float32{v, 0}}}, 8, hits)
				for _, h := range hits[0] {
					if h.Score != h.Score {
						t.Errorf("%s: query with %v found %v", name, v, h)
					}
				}
			}
		}
	})
}

func TestEveryLevelQuantisesAlike(t *testing.T) {
	t.Parallel()
	r := newRand(6)
	for _, d := range []int{1, 4, 5, 31, 128} {
		for _, queries := range []int{1, 2, 6, 7, 13} {
			const n = 3 * panelRows
			width := (d + 3) / 4 * 4
			panels := guarded[uint8](t, n*width, d%2 == 0)
			scales := guarded[float32](t, n, d%2 == 0)
			quant := guarded[int8](t, queries*width, d%2 == 0)
			excess := guarded[int32](t, queries, d%2 == 0)
			for i := range panels {
				panels[i] = zeroByte
			}
			for i := range n {
				scales[i] = quantiseRow(panels[i/panelRows*panelRows*width:], i%panelRows, normal(r, d))
			}
			for i := range excess {
				excess[i] = quantiseQuery(quant[i*width:(i+1)*width], normal(r, d))
			}
			want := make([]float32, queries*n)
			scanPanels(Generic, want, n, panels, scales, quant, excess)
			for _, l := range levels()[1:] {
				got := guarded[float32](t, queries*n, d%2 == 1)
				scanPanels(l, got, n, panels, scales, quant, excess)
				if !slices.Equal(got, want) {
					t.Errorf("%v: d = %d, %d queries: scores differ", l, d, queries)
				}
			}
		}
	}
}

func TestQuantisedRowIsWithinHalfAStep(t *testing.T) {
	t.Parallel()
	const d = 37
	x := normal(newRand(7), d)
	panel := make([]uint8, (d+3)/4*4*panelRows)
	step := quantiseRow(panel, 63, x)
	for j, v := range x {
		got := (float32(panel[j/4*4*panelRows+63*4+j%4]) - zeroByte) * step
		if math.Abs(float64(got-v)) > 0.5001*float64(step) {
			t.Errorf("element %d: %v stands for %v, step %v", j, got, v, step)
		}
	}
}

func TestScanRefusesWrongArguments(t *testing.T) {
	t.Parallel()
	rows := NewRows(2).Append([]float32{1, 2})
	for name, call := range map[string]func(s *Scanner){
		"no hits wanted":  func(s *Scanner) { s.Top(rows, Query{Vector: []float32{1, 2}}, 0, nil) },
		"too many wanted": func(s *Scanner) { s.Top(rows, Query{Vector: []float32{1, 2}}, MaxTop+1, nil) },
		"short query":     func(s *Scanner) { s.TopExact(rows, Query{Vector: []float32{1}}, 1, nil) },
		"missing lists":   func(s *Scanner) { s.TopMany(rows, make([]Query, 2), 1, make([][]Hit, 1)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if recover() == nil {
					t.Error("accepted")
				}
			}()
			call(&Scanner{})
		})
	}
}

func FuzzScan(f *testing.F) {
	f.Add(uint16(100), uint8(16), uint8(1), uint8(8), uint64(1), uint64(0))
	f.Add(uint16(700), uint8(33), uint8(9), uint8(3), uint64(2), uint64(0xaaaa))
	f.Fuzz(func(t *testing.T, n uint16, d, queries, k uint8, seed, filter uint64) {
		rowsN, dim, m, top := int(n)%1200, int(d)%70+1, int(queries)%34+1, int(k)%40+1
		vectors, qs := clustered(newRand(seed), rowsN, dim, m)
		if filter != 0 {
			for i := range qs {
				qs[i].Allowed = NewBitmap(rowsN)
				for r := range rowsN {
					if filter>>((r/7+i)%64)&1 == 1 {
						qs[i].Allowed.Set(r)
					}
				}
			}
		}
		cut := int(seed % uint64(rowsN+1))
		rows := NewRows(dim).Append(vectors[:cut*dim]).Append(vectors[cut*dim:])
		want := make([][]Hit, m)
		for i, q := range qs {
			want[i] = brute(vectors, dim, q)
		}
		for _, l := range levels() {
			var s Scanner
			hits := make([][]Hit, m)
			s.topManyExact(l, rows, qs, top, hits)
			for i := range qs {
				if e := matches(hits[i], want[i], top, 2e-6); e != "" {
					t.Fatalf("%v: query %d, exact: %s", l, i, e)
				}
			}
			s.topMany(l, rows, qs, top, hits)
			for i := range qs {
				// Quantised, a row may be missed, but all scores must be right, and about as good as the best.
				if e := matches(hits[i], want[i], top, 0.03); e != "" {
					t.Fatalf("%v: query %d: %s", l, i, e)
				}
			}
		}
	})
}
