//go:build !amd64

package kernel

func panelWidth(Level) int { return genericPanel }

func tileRows(Level) int { return 8 }

func gemmTile(_ Level, transA bool, rows, panels, k int, c []float32, ldc int, a []float32, lda int, b, d []float32, ldd int) {
	gemmTileGeneric(transA, rows, panels, k, c, ldc, a, lda, b, d, ldd)
}

func dot(_ Level, x, y []float32) float32 { return dotGeneric(x, y) }

func axpy(_ Level, alpha float32, x, y []float32) { axpyGeneric(alpha, x, y) }

func scale(_ Level, alpha float32, x []float32) { scaleGeneric(alpha, x) }

func relu(_ Level, x []float32) { reluGeneric(x) }

func maximum(_ Level, dst, x []float32) { maximumGeneric(dst, x) }

func addRows(_ Level, dst, table []float32, ids []uint32) { addRowsGeneric(dst, table, ids) }

func tanh(_ Level, x []float32) { tanhGeneric(x) }

func tanhResidual(_ Level, z, pre []float32, keep, damping float32) (diff2, norm2 float32) {
	return tanhResidualGeneric(z, pre, keep, damping)
}

func dotRows(_ Level, out, rows, q []float32) { dotRowsGeneric(out, rows, q) }

func scanPanels(_ Level, scores []float32, ld int, panels []uint8, scales []float32, quant []int8, excess []int32) {
	scanPanelsGeneric(scores, ld, panels, scales, quant, excess)
}

func above(_ Level, words []uint64, scores []float32, floor float32) {
	aboveGeneric(words, scores, floor)
}

func aboveColumns(_ Level, masks []uint32, scores []float32, floors *[maxColumns]float32) {
	aboveColumnsGeneric(masks, scores, floors)
}
