package queue

import (
	"strconv"
	"strings"
)

// isStreamID reports whether Redis accepts s as the id of an entry: one or two 64-bit
// numbers.
func isStreamID(s string) bool {
	head, tail, two := strings.Cut(s, "-")
	digits := func(s string) bool {
		_, err := strconv.ParseUint(s, 10, 64)
		return err == nil && len(s) <= 20 && s[0] != '+'
	}
	return digits(head) && (!two || digits(tail))
}

// newer reports whether stream id a comes after b. A missing sequence is 0.
func newer(a, b string) bool {
	am, as := splitStreamID(a)
	bm, bs := splitStreamID(b)
	return am > bm || am == bm && as > bs
}

func splitStreamID(s string) (ms, seq uint64) {
	head, tail, _ := strings.Cut(s, "-")
	ms, _ = strconv.ParseUint(head, 10, 64)
	seq, _ = strconv.ParseUint(tail, 10, 64)
	return ms, seq
}
