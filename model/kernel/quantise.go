package kernel

import "math"

// zeroByte stands for 0 in a panel: rows are stored as element + 128, since VPDPBUSD takes one unsigned factor.
const zeroByte = 128

// levels8 is the greatest magnitude of a quantised element.
const levels8 = 127

// quantiseRow writes x as row i of a panel and returns its scale, the value of one step. A vector with an element that is
// not finite gets the scale NaN, so that it never is among the best.
func quantiseRow(panel []uint8, i int, x []float32) float32 {
	step := stepOf(x)
	inv := inverse(step)
	for j, v := range x {
		panel[j/4*4*panelRows+i*4+j%4] = uint8(zeroByte + quantise(v, inv))
	}
	return step
}

// quantiseQuery writes q into out, whose length is that of q rounded up to a multiple of four, and returns 128·Σ out, which a
// product with panel bytes has too much. The step is left out: it does not change the order of the scores.
func quantiseQuery(out []int8, q []float32) (excess int32) {
	inv := inverse(stepOf(q))
	for j, v := range q {
		x := quantise(v, inv)
		out[j] = int8(x)
		excess += x
	}
	clear(out[len(q):])
	return zeroByte * excess
}

func stepOf(x []float32) float32 {
	var most float32
	for _, v := range x {
		if v < 0 {
			v = -v
		}
		if !(v <= most) { // also when v is NaN
			most = v
		}
		if !(v <= math.MaxFloat32) {
			return float32(math.NaN())
		}
	}
	return most / levels8
}

// inverse is 1/step, or 0 where the elements cannot be told apart.
func inverse(step float32) float32 {
	if step > 0 && 1/step <= math.MaxFloat32 {
		return 1 / step
	}
	return 0
}

// quantise rounds v·inv to the nearest integer, halves away from zero, within ±levels8; inv = 0 stands for a vector that
// cannot be quantised, since v may be NaN then.
func quantise(v, inv float32) int32 {
	switch s := v * inv; {
	case inv == 0:
		return 0
	case s < 0:
		return max(int32(s-0.5), -levels8)
	default:
		return min(int32(s+0.5), levels8)
	}
}
