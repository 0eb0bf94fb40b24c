package kernel

import (
	"fmt"
	"math"
)

// Tanh replaces the elements of x by their hyperbolic tangent, off by at most 2e-7. NaN stays NaN, ±Inf becomes ±1. No result
// is beyond ±1.
func Tanh(x []float32) { tanh(best, x) }

// TanhResidual takes one step of the flow on a state: z ← (1−damping)·z + damping·tanh(pre), with 0 < damping ≤ 1, and
// returns Σ(z_new−z_old)² and Σ z_new², whose ratio is the squared relative residual. z and pre have equal lengths; pre
// is left as it is.
func TanhResidual(z, pre []float32, damping float32) (diff2, norm2 float64) {
	if len(z) != len(pre) || !(damping > 0 && damping <= 1) {
		panic(fmt.Sprintf("kernel: tanh of %d elements onto %d with damping %g", len(pre), len(z), damping))
	}
	d, n := tanhResidual(best, z, pre, 1-damping, damping)
	return float64(d), float64(n)
}

// tanh(x) = E/(E+2) with E = exp(2x)−1, and E = 2ⁿ·(1+f·h(f)) − 1 for 2x·log₂e = n + f, n whole and |f| ≤ ½, where
// h approximates (2^f−1)/f by a polynomial of degree 5, 7.8e-9 off. The quotient forgives errors of E near ±1 and
// nothing cancels near 0, so that the error is 1.5e-7, and 2.4e-7 of the value itself however small. A rational
// function in x, such as the usual one of degrees 13 and 6, costs as much and rounds to 2.5e-7–3e-7 for |x| > 4 in float32.
const (
	tanhEnd = 9.02 // tanh is within 3e-8 of ±1 beyond
	tanhLog = 2 / math.Ln2

	tanhH0 = 0.693147188026
	tanhH1 = 0.240226507606
	tanhH2 = 0.0555035711422
	tanhH3 = 0.00961808255728
	tanhH4 = 0.00133908633647
	tanhH5 = 0.000154531629451
)

func tanhOne(x float32) float32 {
	if x != x {
		return x
	}
	y := tanhLog * max(min(x, tanhEnd), -tanhEnd)
	n := math.RoundToEven(float64(y))
	f := y - float32(n)
	h := float32(tanhH5)
	h = h*f + tanhH4
	h = h*f + tanhH3
	h = h*f + tanhH2
	h = h*f + tanhH1
	h = h*f + tanhH0
	power := math.Float32frombits(uint32(int32(n)+127) << 23)
	e := power*(h*f) + (power - 1)
	return e / (e + 2)
}

func tanhGeneric(x []float32) {
	for i, v := range x {
		x[i] = tanhOne(v)
	}
}

func tanhResidualGeneric(z, pre []float32, keep, damping float32) (diff2, norm2 float32) {
	pre = pre[:len(z)]
	for i, old := range z {
		v := keep*old + damping*tanhOne(pre[i])
		z[i] = v
		diff2 += (v - old) * (v - old)
		norm2 += v * v
	}
	return diff2, norm2
}
