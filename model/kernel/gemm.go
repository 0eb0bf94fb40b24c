package kernel

// chunkElems bounds the packed panels that one pass over the rows of A uses, 256 KiB, so that they stay in the L2 cache
// when there are more rows than one pass takes.
const chunkElems = 64 << 10

// maxTile bounds the elements of one register tile of any level: 14 rows of 32.
const maxTile = 14 * 32

// gemmPacked computes C = op(A)·B + D with B packed at the level. With transA element (i, p) of op(A) is a[p*lda+i].
// The caller has checked the shapes.
func gemmPacked(l Level, transA bool, c []float32, ldc int, a []float32, lda int, b []float32, m, n, k int, d []float32, ldd int) {
	nr := panelWidth(l)
	full := n / nr
	step := max(1, chunkElems/(nr*k))
	blocks := (m + tileRows(l) - 1) / tileRows(l)
	aStep := lda
	if transA {
		aStep = 1
	}
	for p := 0; p < full; p += step {
		panels := min(step, full-p)
		for i, r := 0, 0; r < blocks; r++ {
			rows := (m - i) / (blocks - r)
			gemmTile(l, transA, rows, panels, k, c[i*ldc+p*nr:], ldc, a[i*aStep:], lda, b[p*nr*k:], from(d, i*ldd+p*nr), ldd)
			i += rows
		}
	}
	if full*nr == n {
		return
	}
	// The last columns go through a tile on the stack, since the kernels store whole panels.
	var tile [maxTile]float32
	j, w := full*nr, n-full*nr
	for i, r := 0, 0; r < blocks; r++ {
		rows := (m - i) / (blocks - r)
		var init []float32
		if d != nil {
			for x := range rows {
				copy(tile[x*nr:x*nr+w], d[(i+x)*ldd+j:])
			}
			init = tile[:]
		}
		gemmTile(l, transA, rows, 1, k, tile[:], nr, a[i*aStep:], lda, b[j*k:], init, nr)
		for x := range rows {
			copy(c[(i+x)*ldc+j:(i+x)*ldc+n], tile[x*nr:x*nr+w])
		}
		i += rows
	}
}

// from is s[i:] that keeps nil nil.
func from(s []float32, i int) []float32 {
	if s == nil {
		return nil
	}
	return s[i:]
}
