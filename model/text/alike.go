package text

// Alike is how far word a may stand for word b, 0 to 1: in full if they are
// equal, nearly so for another ending of one stem or a slip of the hand.
func Alike(a, b []byte) float32 {
	if string(a) == string(b) {
		return 1
	}
	if SameStem(a, b) {
		return 0.9
	}
	if Typo(a, b) && !IsWord(a) {
		return 0.8
	}
	return 0
}

// endings of English words that leave the meaning of the stem.
var endings = [...]string{"", "s", "es", "ed", "d", "ing", "er", "r", "ers", "ly", "e", "y", "ies", "ied", "ion", "ions", "or", "ors"}

// minStem is the length in bytes below which endings are part of the word.
const minStem = 4

// SameStem reports whether a and b are one stem with two endings: discover,
// discovered, discoverer.
func SameStem(a, b []byte) bool {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	for m := n; m >= minStem && m >= n-2; m-- {
		if isEnding(a[m:]) && isEnding(b[m:]) {
			return true
		}
	}
	return n >= 3 && (string(a[n:]) == "" && string(b[n:]) == "s" || string(a[n:]) == "s" && string(b[n:]) == "")
}

func isEnding(s []byte) bool {
	for _, e := range endings {
		if string(s) == e {
			return true
		}
	}
	return false
}
