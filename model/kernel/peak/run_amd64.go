package peak

func run(width, turns int) bool {
	switch width {
	case 16:
		fmaAVX512(turns)
	case 8:
		fmaAVX2(turns)
	default:
		return false
	}
	return true
}
