package kernel

import "unsafe"

// vnniQueries is the most queries that one call of the VNNI kernel takes.
const vnniQueries = 6

// vnniBytes bounds the panels that all queries go through before the next ones, so that they stay in the L1 cache.
const vnniBytes = 16 << 10

// scanPanels scores len(scales) ≥ 1 rows of whole panels for len(excess) ≥ 1 queries; see scanPanelsGeneric.
func scanPanels(l Level, scores []float32, ld int, panels []uint8, scales []float32, quant []int8, excess []int32) {
	switch {
	case l >= AVX512VNNI:
		scanVNNI(scores, ld, panels, scales, quant, excess)
	case l >= AVX2:
		width := len(quant) / len(excess)
		for i := range excess {
			scanPanelsAVX2(&scores[i*ld], &panels[0], &scales[0], &quant[i*width], uintptr(width), &excess[i], len(scales)/panelRows)
		}
	default:
		scanPanelsGeneric(scores, ld, panels, scales, quant, excess)
	}
}

func scanVNNI(scores []float32, ld int, panels []uint8, scales []float32, quant []int8, excess []int32) {
	queries := len(excess)
	width := len(quant) / queries
	all := len(scales) / panelRows
	step := all
	if queries > vnniQueries {
		step = max(1, vnniBytes/(panelRows*width))
	}
	tiles := (queries + vnniQueries - 1) / vnniQueries
	for p := 0; p < all; p += step {
		n := min(step, all-p)
		for i, t := 0, 0; t < tiles; t++ {
			m := (queries - i) / (tiles - t)
			scanPanelsVNNI(&scores[i*ld+p*panelRows], uintptr(ld)*unsafe.Sizeof(scores[0]), &panels[p*panelRows*width],
				&scales[p*panelRows], &quant[i*width], uintptr(width), &excess[i], m, n)
			i += m
		}
	}
}

// above sets bit r%64 of words[r/64] where scores[r] > floor; 64 scores a word, at least one word.
func above(l Level, words []uint64, scores []float32, floor float32) {
	switch {
	case l >= AVX512:
		aboveAVX512(&words[0], len(words), &scores[0], floor)
	case l == AVX2:
		aboveAVX2(&words[0], len(words), &scores[0], floor)
	default:
		aboveGeneric(words, scores, floor)
	}
}

// aboveColumns sets bit j of masks[i] where scores[i·32+j] > floors[j], for at least one i.
func aboveColumns(l Level, masks []uint32, scores []float32, floors *[maxColumns]float32) {
	switch {
	case l >= AVX512:
		aboveColumnsAVX512(&masks[0], len(masks), &scores[0], &floors[0])
	case l == AVX2:
		aboveColumnsAVX2(&masks[0], len(masks), &scores[0], &floors[0])
	default:
		aboveColumnsGeneric(masks, scores, floors)
	}
}
