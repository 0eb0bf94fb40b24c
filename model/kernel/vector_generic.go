package kernel

func dotGeneric(x, y []float32) float32 {
	// Four sums hide the latency of the additions and lose less to rounding than one.
	var s0, s1, s2, s3 float32
	for len(x) >= 4 && len(y) >= 4 {
		s0 += x[0] * y[0]
		s1 += x[1] * y[1]
		s2 += x[2] * y[2]
		s3 += x[3] * y[3]
		x, y = x[4:], y[4:]
	}
	for i, v := range x {
		s0 += v * y[i]
	}
	return (s0 + s1) + (s2 + s3)
}

func axpyGeneric(alpha float32, x, y []float32) {
	y = y[:len(x)]
	for i, v := range x {
		y[i] += alpha * v
	}
}

func scaleGeneric(alpha float32, x []float32) {
	for i := range x {
		x[i] *= alpha
	}
}

func reluGeneric(x []float32) {
	for i, v := range x {
		if v < 0 {
			x[i] = 0
		}
	}
}

func maximumGeneric(dst, x []float32) {
	x = x[:len(dst)]
	for i, v := range dst {
		if !(v > x[i]) {
			dst[i] = x[i]
		}
	}
}

func addRowsGeneric(dst, table []float32, ids []uint32) {
	d := len(dst)
	for _, id := range ids {
		row := table[int(id)*d : (int(id)+1)*d]
		for i, v := range row {
			dst[i] += v
		}
	}
}

// dotRowsGeneric writes the products of len(out) consecutive rows with q.
func dotRowsGeneric(out, rows, q []float32) {
	d := len(q)
	for i := range out {
		out[i] = dotGeneric(rows[i*d:(i+1)*d], q)
	}
}
