package kernel

import "unsafe"

//go:generate go run -tags avo ./asm .

// The functions of this file choose the code of a level. The assembly takes pointers and lengths as its callers checked
// them; where a pointer is made from an empty slice the length keeps it from being used.

// panelWidth is the number of columns of a panel of packed weights, two vectors.
func panelWidth(l Level) int {
	switch {
	case l >= AVX512:
		return 32
	case l == AVX2:
		return 16
	default:
		return genericPanel
	}
}

// tileRows is the greatest number of rows that gemmTile takes.
func tileRows(l Level) int {
	if l >= AVX512 {
		return 14
	}
	return 6
}

// gemmTile computes C = op(A)·B + D for rows ≤ tileRows and whole panels of B.
func gemmTile(l Level, transA bool, rows, panels, k int, c []float32, ldc int, a []float32, lda int, b, d []float32, ldd int) {
	const size = unsafe.Sizeof(float32(0))
	cp, ap, bp, dp := unsafe.SliceData(c), unsafe.SliceData(a), unsafe.SliceData(b), unsafe.SliceData(d)
	lc, la, ld := uintptr(ldc)*size, uintptr(lda)*size, uintptr(ldd)*size
	switch {
	case l >= AVX512 && transA:
		gemmTransAVX512(cp, lc, ap, la, bp, dp, ld, k, rows, panels)
	case l >= AVX512:
		gemmAVX512(cp, lc, ap, la, bp, dp, ld, k, rows, panels)
	case l == AVX2 && transA:
		gemmTransAVX2(cp, lc, ap, la, bp, dp, ld, k, rows, panels)
	case l == AVX2:
		gemmAVX2(cp, lc, ap, la, bp, dp, ld, k, rows, panels)
	default:
		gemmTileGeneric(transA, rows, panels, k, c, ldc, a, lda, b, d, ldd)
	}
}

func dot(l Level, x, y []float32) float32 {
	switch {
	case l >= AVX512:
		return dotAVX512(unsafe.SliceData(x), unsafe.SliceData(y), len(x))
	case l == AVX2:
		return dotAVX2(unsafe.SliceData(x), unsafe.SliceData(y), len(x))
	default:
		return dotGeneric(x, y)
	}
}

func axpy(l Level, alpha float32, x, y []float32) {
	switch {
	case l >= AVX512:
		axpyAVX512(alpha, unsafe.SliceData(x), unsafe.SliceData(y), len(x))
	case l == AVX2:
		axpyAVX2(alpha, unsafe.SliceData(x), unsafe.SliceData(y), len(x))
	default:
		axpyGeneric(alpha, x, y)
	}
}

func scale(l Level, alpha float32, x []float32) {
	switch {
	case l >= AVX512:
		scaleAVX512(alpha, unsafe.SliceData(x), len(x))
	case l == AVX2:
		scaleAVX2(alpha, unsafe.SliceData(x), len(x))
	default:
		scaleGeneric(alpha, x)
	}
}

func relu(l Level, x []float32) {
	switch {
	case l >= AVX512:
		reluAVX512(unsafe.SliceData(x), len(x))
	case l == AVX2:
		reluAVX2(unsafe.SliceData(x), len(x))
	default:
		reluGeneric(x)
	}
}

func maximum(l Level, dst, x []float32) {
	switch {
	case l >= AVX512:
		maximumAVX512(unsafe.SliceData(dst), unsafe.SliceData(x), len(x))
	case l == AVX2:
		maximumAVX2(unsafe.SliceData(dst), unsafe.SliceData(x), len(x))
	default:
		maximumGeneric(dst, x)
	}
}

func addRows(l Level, dst, table []float32, ids []uint32) {
	switch {
	case len(ids) == 0:
	case l >= AVX512:
		addRowsAVX512(unsafe.SliceData(dst), len(dst), unsafe.SliceData(table), unsafe.SliceData(ids), len(ids))
	case l == AVX2:
		addRowsAVX2(unsafe.SliceData(dst), len(dst), unsafe.SliceData(table), unsafe.SliceData(ids), len(ids))
	default:
		addRowsGeneric(dst, table, ids)
	}
}

func tanh(l Level, x []float32) {
	switch {
	case l >= AVX512:
		tanhAVX512(unsafe.SliceData(x), len(x))
	case l == AVX2:
		tanhAVX2(unsafe.SliceData(x), len(x))
	default:
		tanhGeneric(x)
	}
}

func tanhResidual(l Level, z, pre []float32, keep, damping float32) (diff2, norm2 float32) {
	switch {
	case l >= AVX512:
		return tanhResidualAVX512(unsafe.SliceData(z), unsafe.SliceData(pre), len(z), keep, damping)
	case l == AVX2:
		return tanhResidualAVX2(unsafe.SliceData(z), unsafe.SliceData(pre), len(z), keep, damping)
	default:
		return tanhResidualGeneric(z, pre, keep, damping)
	}
}

// dotRows writes the products of len(out) consecutive rows with q.
func dotRows(l Level, out, rows, q []float32) {
	switch {
	case l >= AVX512:
		dotRowsAVX512(unsafe.SliceData(out), len(out), unsafe.SliceData(rows), unsafe.SliceData(q), len(q))
	case l == AVX2:
		dotRowsAVX2(unsafe.SliceData(out), len(out), unsafe.SliceData(rows), unsafe.SliceData(q), len(q))
	default:
		dotRowsGeneric(out, rows, q)
	}
}
