package memory

import (
	"strconv"

	"github.com/nexus-continuum/nexus/model/kernel"
)

// Cursor names lesson n as the place from which a list goes on.
func Cursor(n uint32) string { return strconv.FormatUint(uint64(n), 36) }

// ParseCursor reads a Cursor; empty is the start.
func ParseCursor(s string) (n uint32, ok bool) {
	if s == "" {
		return 0, true
	}
	v, err := strconv.ParseUint(s, 36, 32)
	return uint32(v), err == nil
}

// Similarity is the cosine of lesson n to h; that of a lesson without a vector
// is taken as 1, since only repeats find one.
func (s *Store) Similarity(n uint32, h []float32) float32 {
	if v := s.vector(n); v != nil {
		return kernel.Dot(v, h)
	}
	return 1
}

// ID is the id of lesson n.
func (s *Store) ID(n uint32, sc *Scratch) ID {
	sc.other.Read(s.prompt(n))
	if cap(sc.bytes) == 0 {
		sc.bytes = make([]byte, 0, 1<<10)
	}
	return digest(sc.bytes, s.topic(n), &sc.other)
}
