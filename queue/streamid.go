package queue

import (
	"strconv"
	"strings"
)

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
