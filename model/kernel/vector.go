package kernel

import (
	"fmt"
	"math"
)

// Dot returns Σ x_i·y_i. The slices must have equal lengths.
func Dot(x, y []float32) float32 {
	mustMatch("dot", len(x), len(y))
	return dot(best, x, y)
}

// Axpy adds alpha·x to y. The slices must have equal lengths.
func Axpy(alpha float32, x, y []float32) {
	mustMatch("axpy", len(x), len(y))
	axpy(best, alpha, x, y)
}

// Scale multiplies x by alpha in place.
func Scale(alpha float32, x []float32) { scale(best, alpha, x) }

// ReLU replaces the negative elements of x by zero; NaN stays NaN.
func ReLU(x []float32) { relu(best, x) }

// Norm returns the Euclidean norm of x, whose elements should be far below 1e19 (their squares are summed in float32).
func Norm(x []float32) float32 { return float32(math.Sqrt(float64(dot(best, x, x)))) }

// Normalise scales x to unit length and returns the length it had; a zero vector, or one whose length is not finite,
// is left alone.
func Normalise(x []float32) float32 {
	n := Norm(x)
	if n > 0 && n <= math.MaxFloat32 {
		Scale(1/n, x)
	}
	return n
}

// Max replaces each element of dst by the greater of itself and that of x; NaN in x wins. Equal lengths.
func Max(dst, x []float32) {
	mustMatch("max", len(dst), len(x))
	maximum(best, dst, x)
}

// AddRows adds to dst, of length d, the rows of table that ids name: dst += Σ table[id·d : (id+1)·d]. An id beyond the
// table panics.
func AddRows(dst, table []float32, ids []uint32) {
	if len(dst) == 0 {
		return
	}
	n := uint(len(table) / len(dst))
	for _, id := range ids {
		if uint(id) >= n {
			panic(fmt.Sprintf("kernel: row %d of a table of %d rows", id, n))
		}
	}
	addRows(best, dst, table, ids)
}

// MeanMax pools the rows of x, [T×d] with T ≥ 1: mean and most, each of length d, receive the mean and the greatest value of
// each column.
func MeanMax(mean, most, x []float32) {
	d := len(mean)
	mustMatch("mean and max", d, len(most))
	if d == 0 || len(x) == 0 || len(x)%d != 0 {
		panic(fmt.Sprintf("kernel: mean and max of %d elements in rows of %d", len(x), d))
	}
	copy(mean, x[:d])
	copy(most, x[:d])
	for at := d; at < len(x); at += d {
		axpy(best, 1, x[at:at+d], mean)
		maximum(best, most, x[at:at+d])
	}
	if len(x) > d {
		scale(best, float32(d)/float32(len(x)), mean)
	}
}

func mustMatch(what string, a, b int) {
	if a != b {
		panic(fmt.Sprintf("kernel: %s of slices of %d and %d elements", what, a, b))
	}
}
