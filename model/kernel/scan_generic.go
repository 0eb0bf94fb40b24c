package kernel

// scanPanelsGeneric scores whole panels of quantised rows for all queries: scores[i·ld+r] is the product of query i and row r in
// units of the query's step. quant is [len(excess) × 4·groups].
func scanPanelsGeneric(scores []float32, ld int, panels []uint8, scales []float32, quant []int8, excess []int32) {
	width := len(quant) / len(excess)
	for i, e := range excess {
		q := quant[i*width : (i+1)*width]
		out := scores[i*ld : i*ld+len(scales)]
		for p := 0; p < len(scales); p += panelRows {
			panel := panels[p*width : (p+panelRows)*width]
			var sums [panelRows]int32
			for len(q) >= 4 && len(panel) >= 4*panelRows {
				q0, q1, q2, q3 := int32(q[0]), int32(q[1]), int32(q[2]), int32(q[3])
				for r := range sums {
					x := panel[4*r : 4*r+4 : 4*r+4]
					sums[r] += q0*int32(x[0]) + q1*int32(x[1]) + q2*int32(x[2]) + q3*int32(x[3])
				}
				q, panel = q[4:], panel[4*panelRows:]
			}
			q = quant[i*width : (i+1)*width]
			for r, sum := range sums {
				out[p+r] = float32(sum-e) * scales[p+r]
			}
		}
	}
}

// aboveGeneric sets bit r%64 of words[r/64] where scores[r] > floor; 64 scores a word.
func aboveGeneric(words []uint64, scores []float32, floor float32) {
	for i := range words {
		var w uint64
		for j, v := range scores[i*panelRows : (i+1)*panelRows] {
			if v > floor {
				w |= 1 << j
			}
		}
		words[i] = w
	}
}

// aboveColumnsGeneric sets bit j of masks[i] where scores[i·32+j] > floors[j].
func aboveColumnsGeneric(masks []uint32, scores []float32, floors *[maxColumns]float32) {
	for i := range masks {
		var m uint32
		for j, v := range scores[i*maxColumns : (i+1)*maxColumns] {
			if v > floors[j] {
				m |= 1 << j
			}
		}
		masks[i] = m
	}
}
