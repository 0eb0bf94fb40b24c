package encoder

import "math"

// normEpsilon keeps a constant row from being blown up by layer norm.
const normEpsilon = 1e-5

// LayerNorm writes the row src, shifted to mean 0 and scaled to variance 1,
// into dst; the two may be the same. There are no gain and bias: the matrix
// that follows holds them (Ba et al., 1607.06450).
func LayerNorm(dst, src []float32) (invStd float32) {
	var sum, squares float32
	for _, v := range src {
		sum += v
	}
	mean := sum / float32(len(src))
	for _, v := range src {
		squares += (v - mean) * (v - mean)
	}
	inv := float32(1 / math.Sqrt(float64(squares)/float64(len(src))+normEpsilon))
	dst = dst[:len(src)]
	for i, v := range src {
		dst[i] = (v - mean) * inv
	}
	return inv
}
