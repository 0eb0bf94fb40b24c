// Package streamid reads the ids of the entries of Redis streams: milliseconds and a
// sequence number.
package streamid

import (
	"strconv"
	"strings"
)

// Valid reports whether Redis accepts s as the id of an entry: one or two 64-bit numbers.
func Valid(s string) bool {
	head, tail, two := strings.Cut(s, "-")
	digits := func(s string) bool {
		_, err := strconv.ParseUint(s, 10, 64)
		return err == nil && len(s) <= 20 && s[0] != '+'
	}
	return digits(head) && (!two || digits(tail))
}

// Newer reports whether a comes after b. A missing sequence is 0.
func Newer(a, b string) bool {
	am, as := Split(a)
	bm, bs := Split(b)
	return am > bm || am == bm && as > bs
}

// Split returns the parts of an id. A missing sequence is 0.
func Split(s string) (ms, seq uint64) {
	head, tail, _ := strings.Cut(s, "-")
	ms, _ = strconv.ParseUint(head, 10, 64)
	seq, _ = strconv.ParseUint(tail, 10, 64)
	return ms, seq
}
