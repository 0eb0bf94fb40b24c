package kernel

// genericPanel is the panel width of the pure Go kernel: two rows of four accumulators fit the 16 registers of amd64.
const genericPanel = 4

// gemmTileGeneric computes rows × (panels·genericPanel) elements of C = op(A)·B + D, any number of rows.
func gemmTileGeneric(transA bool, rows, panels, k int, c []float32, ldc int, a []float32, lda int, b, d []float32, ldd int) {
	rowStep, kStep := lda, 1
	if transA {
		rowStep, kStep = 1, lda
	}
	for p := range panels {
		panel := b[p*genericPanel*k : (p+1)*genericPanel*k]
		for i := 0; i < rows; i += 2 {
			two := i+1 < rows
			var s, t [genericPanel]float32
			if d != nil {
				copy(s[:], d[i*ldd+p*genericPanel:])
				if two {
					copy(t[:], d[(i+1)*ldd+p*genericPanel:])
				}
			}
			x, y := i*rowStep, (i+1)*rowStep
			if !two {
				y = x
			}
			dot2x4(&s, &t, panel, a[x:], a[y:], kStep)
			copy(c[i*ldc+p*genericPanel:], s[:])
			if two {
				copy(c[(i+1)*ldc+p*genericPanel:], t[:])
			}
		}
	}
}

// dot2x4 adds to s and t the products of two rows of A, elements step apart, with a panel.
func dot2x4(s, t *[genericPanel]float32, panel, x, y []float32, step int) {
	s0, s1, s2, s3 := s[0], s[1], s[2], s[3]
	t0, t1, t2, t3 := t[0], t[1], t[2], t[3]
	for at := 0; len(panel) >= genericPanel; at += step {
		u, v := x[at], y[at]
		s0 += u * panel[0]
		s1 += u * panel[1]
		s2 += u * panel[2]
		s3 += u * panel[3]
		t0 += v * panel[0]
		t1 += v * panel[1]
		t2 += v * panel[2]
		t3 += v * panel[3]
		panel = panel[genericPanel:]
	}
	*s = [genericPanel]float32{s0, s1, s2, s3}
	*t = [genericPanel]float32{t0, t1, t2, t3}
}
