package text

// Spelling is a word as it is compared with others by letters.
type Spelling struct {
	Word    []byte
	letters uint32 // the set of them
}

// Spell prepares a word that is compared once.
func Spell(w []byte) Spelling { return Spelling{w, letters(w)} }

// Alike is how far word a may stand for word b, 0 to 1: in full if they are
// equal, nearly so for another ending of one stem or a slip of the hand.
func Alike(a, b Spelling) float32 {
	switch {
	case string(a.Word) == string(b.Word):
		return 1
	case SameStem(a.Word, b.Word):
		return 0.9
	case a.typo(b) && !IsWord(a.Word):
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
	if len(a) < minStem-1 || len(b) < minStem-1 || a[0] != b[0] {
		return false
	}
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
