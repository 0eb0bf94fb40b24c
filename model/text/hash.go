package text

// The hashes below are part of the checkpoint format: a trained table is only
// of use with the very same bucket for the very same n-gram.

const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

// hashBytes continues the FNV-1a hash h over b.
func hashBytes(h uint64, b []byte) uint64 {
	for _, c := range b {
		h = (h ^ uint64(c)) * fnvPrime
	}
	return h
}

// mix spreads h over all 64 bits (the finaliser of MurmurHash3), since the low
// bits of FNV-1a alone are uneven for short keys.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// hashWord hashes a whole word.
func hashWord(w []byte) uint64 { return mix(hashBytes(fnvOffset, w)) }

// hashGram hashes an n-gram. The borders are told apart from letters by bytes
// that UTF-8 never holds, and n keeps a word from meeting its own n-gram.
func hashGram(g []byte, n int, first, last bool) uint64 {
	h := uint64(fnvOffset)
	h = (h ^ uint64(0xF8+n-3)) * fnvPrime
	if first {
		h = (h ^ 0xFE) * fnvPrime
	}
	h = hashBytes(h, g)
	if last {
		h = (h ^ 0xFF) * fnvPrime
	}
	return mix(h)
}

// Hash is the 64-bit hash by which whole prompts are looked up.
func Hash(s string) uint64 {
	h := uint64(fnvOffset)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * fnvPrime
	}
	return mix(h)
}

// WordKey is the key that Form gives a word in its canonical form.
func WordKey(w string) uint64 { return hashWord([]byte(w)) }
