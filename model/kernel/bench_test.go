package kernel

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/model/kernel/peak"
	"gonum.org/v1/gonum/blas"
	gonum "gonum.org/v1/gonum/blas/gonum"
)

// share reports what part of the core's multiply-add peak at a level work of flops makes, and returns the seconds that one
// run of it takes. The peak is measured before and after, since the clock changes and other processes disturb. Pure Go is
// set against the best level's.
func share(b *testing.B, l Level, flops float64, run func()) float64 {
	b.Helper()
	width := 16
	if l == AVX2 || best < AVX512 {
		width = 8
	}
	const during = 25 * time.Millisecond
	var before, after float64
	if best > Generic {
		before = peak.Flops(width, during, time.Now)
	}
	seconds := fastest(run)
	if best > Generic {
		after = peak.Flops(width, during, time.Now)
	}
	if most := max(before, after); most > 0 && flops > 0 {
		b.ReportMetric(100*flops/seconds/most, "%peak")
	}
	return seconds
}

// gemmSize is C [m×n] = A [m×k]·B as the product computes it.
type gemmSize struct{ m, n, k, lda int }

// gemmSizes are the products of nine words: a square matrix, and a flow step with K = 3d.
func gemmSizes() []gemmSize {
	var all []gemmSize
	for _, d := range []int{128, 256, 512} {
		all = append(all, gemmSize{9, d, d, d}, gemmSize{9, d, 3 * d, d})
	}
	return append(all, gemmSize{1, 128, 128, 128}, gemmSize{4, 128, 128, 128}, gemmSize{20, 128, 384, 128}, gemmSize{64, 256, 768, 256})
}

// BenchmarkGemm reports the GFLOP/s of the fastest run, the share of the core's peak at that level and, from the same run, the ratio to gonum.
func BenchmarkGemm(b *testing.B) {
	for _, s := range gemmSizes() {
		r := newRand(1)
		a, w, c := normal(r, (s.m-1)*s.lda+s.k), normal(r, s.k*s.n), make([]float32, s.m*s.n)
		flops := 2 * float64(s.m) * float64(s.n) * float64(s.k)
		// gonum takes no overlapping rows; it gets a plain matrix of the same shape.
		plain := normal(r, s.m*s.k)
		baseline := sync.OnceValue(func() float64 {
			return fastest(func() {
				gonum.Implementation{}.Sgemm(blas.NoTrans, blas.NoTrans, s.m, s.n, s.k, 1, plain, s.k, w, s.n, 0, c, s.n)
			})
		})
		for _, l := range []Level{Generic, AVX2, AVX512} {
			if l > best {
				continue
			}
			b.Run(fmt.Sprintf("%dx%dx%d/%v", s.m, s.k, s.n, l), func(b *testing.B) {
				p := packAt(l, s.k, s.n, w, s.n, false)
				run := func() { p.Gemm(c, s.n, a, s.lda, s.m) }
				for b.Loop() {
					run()
				}
				quick := share(b, l, flops, run)
				b.ReportMetric(flops/quick/1e9, "GFLOP/s")
				b.ReportMetric(baseline()/quick, "xgonum")
			})
		}
	}
}

// fastest returns the seconds of one run: the least of many short samples, since whatever else the machine does only adds.
func fastest(run func()) float64 {
	run()
	n := 1
	for ; ; n *= 2 {
		start := time.Now()
		for range n {
			run()
		}
		if time.Since(start) > 200*time.Microsecond {
			break
		}
	}
	least := time.Duration(1 << 62)
	for begin := time.Now(); time.Since(begin) < 50*time.Millisecond; {
		start := time.Now()
		for range n {
			run()
		}
		least = min(least, time.Since(start))
	}
	return least.Seconds() / float64(n)
}

func BenchmarkSgemm(b *testing.B) {
	const d, rows = 128, 576 // 64 sentences of nine words
	r := newRand(1)
	x, w, y := normal(r, rows*d), normal(r, d*d), make([]float32, rows*d)
	ours := NewBLAS()
	for _, c := range []struct {
		name    string
		tA, tB  blas.Transpose
		m, n, k int
		a, b, c []float32
		lda     int
		ldb     int
	}{
		{"forward", blas.NoTrans, blas.NoTrans, rows, d, d, x, w, y, d, d},
		{"input-gradient", blas.NoTrans, blas.Trans, rows, d, d, x, w, y, d, d},
		{"weight-gradient", blas.Trans, blas.NoTrans, d, d, rows, x, x, y, d, d},
	} {
		b.Run(c.name, func(b *testing.B) {
			run := func(impl blas.Float32Level3) {
				impl.Sgemm(c.tA, c.tB, c.m, c.n, c.k, 1, c.a, c.lda, c.b, c.ldb, 0, c.c, c.n)
			}
			for b.Loop() {
				run(ours)
			}
			quick := share(b, best, 2*float64(c.m)*float64(c.n)*float64(c.k), func() { run(ours) })
			b.ReportMetric(fastest(func() { run(gonum.Implementation{}) })/quick, "xgonum")
		})
	}
}

// BenchmarkVector reports nanoseconds an element and the share of the peak.
func BenchmarkVector(b *testing.B) {
	const words, d = 9, 128
	r := newRand(1)
	x, y, z := normal(r, words*d), normal(r, words*d), make([]float32, words*d)
	table := normal(r, 4096*d)
	ids := make([]uint32, 16*words)
	for i := range ids {
		ids[i] = r.Uint32N(4096)
	}
	for _, k := range []struct {
		name  string
		n     int     // elements
		flops float64 // an element, counting a multiply-add as two
		run   func(l Level)
	}{
		{"tanh-residual", words * d, 0, func(l Level) { tanhResidual(l, z, x, 0, 1) }},
		{"dot", words * d, 2, func(l Level) { dot(l, x, y) }},
		{"axpy", words * d, 2, func(l Level) { axpy(l, 1e-9, x, y) }},
		{"scale", words * d, 1, func(l Level) { scale(l, 1, x) }},
		{"relu", words * d, 1, func(l Level) { relu(l, z) }},
		{"maximum", words * d, 1, func(l Level) { maximum(l, z, x) }},
		{"add-rows", len(ids) * d, 1, func(l Level) { addRows(l, z[:d], table, ids) }},
	} {
		for _, l := range []Level{Generic, AVX2, AVX512} {
			if l > best {
				continue
			}
			b.Run(k.name+"/"+l.String(), func(b *testing.B) {
				for b.Loop() {
					k.run(l)
				}
				quick := share(b, l, k.flops*float64(k.n), func() { k.run(l) })
				b.ReportMetric(quick*1e9/float64(k.n), "ns/element")
			})
		}
	}
}

// BenchmarkScan looks for the best 8 of n rows. It reports microseconds a query, the gigabytes of rows a second that were read
// for the whole batch, and the share of the float32 multiply-add peak, which VNNI may exceed.
func BenchmarkScan(b *testing.B) {
	const d = 128
	for _, n := range []int{1_000, 10_000, 100_000} {
		vectors, qs := clustered(newRand(1), n, d, 32)
		rows := NewRows(d).Append(vectors)
		hits := make([][]Hit, len(qs))
		for _, queries := range []int{1, 8, 32} {
			for _, l := range levels() {
				if l == Generic && n > 10_000 {
					continue
				}
				for _, exact := range []bool{false, true} {
					if exact && l == AVX512VNNI {
						continue // VNNI changes the 8-bit scan only
					}
					name, bytes := "int8", 1
					if exact {
						name, bytes = "float32", 4
					}
					b.Run(fmt.Sprintf("%s/n=%d/queries=%d/%v", name, n, queries, l), func(b *testing.B) {
						var s Scanner
						run := func() {
							if exact {
								s.topManyExact(l, rows, qs[:queries], 8, hits[:queries])
							} else {
								s.topMany(l, rows, qs[:queries], 8, hits[:queries])
							}
						}
						for b.Loop() {
							run()
						}
						quick := share(b, l, 2*float64(n*d*queries), run)
						b.ReportMetric(quick*1e6/float64(queries), "µs/query")
						b.ReportMetric(float64(n*d*bytes)/quick/1e9, "GB/s")
					})
				}
			}
		}
	}
}

// BenchmarkAppend adds 100 lessons to memories of two sizes.
func BenchmarkAppend(b *testing.B) {
	const d = 128
	more := normal(newRand(2), 100*d)
	for _, n := range []int{1_000, 50_000} {
		rows := NewRows(d).Append(normal(newRand(1), n*d))
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			for b.Loop() {
				rows.Append(more)
			}
		})
	}
}
