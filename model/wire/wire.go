// Package wire writes and reads the binary parts of a checkpoint. A Reader
// checks every length against what is left before it makes anything of that
// length, so that a hostile part costs an error and not memory.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

// Part is one named piece of a checkpoint.
type Part struct {
	Name string
	Data []byte
}

// ErrCorrupt is returned for bytes that no Writer wrote.
var ErrCorrupt = errors.New("part is corrupt")

// Writer appends little-endian fields to Bytes.
type Writer struct{ Bytes []byte }

// Uint appends v in as few bytes as it needs.
func (w *Writer) Uint(v uint64) { w.Bytes = binary.AppendUvarint(w.Bytes, v) }

// String appends the length and the bytes of s.
func (w *Writer) String(s string) {
	w.Uint(uint64(len(s)))
	w.Bytes = append(w.Bytes, s...)
}

// Floats appends the number of v and each of them.
func (w *Writer) Floats(v []float32) {
	w.Uint(uint64(len(v)))
	at := len(w.Bytes)
	w.Bytes = append(w.Bytes, make([]byte, 4*len(v))...)
	for i, x := range v {
		binary.LittleEndian.PutUint32(w.Bytes[at+4*i:], math.Float32bits(x))
	}
}

// Shorts appends 16-bit numbers; how many is not written.
func (w *Writer) Shorts(v []int16) {
	for _, x := range v {
		w.Bytes = append(w.Bytes, byte(x), byte(uint16(x)>>8))
	}
}

// Double appends one 64-bit number.
func (w *Writer) Double(v float64) {
	w.Bytes = binary.LittleEndian.AppendUint64(w.Bytes, math.Float64bits(v))
}

// Reader reads what a Writer wrote. After the first fault every method returns
// zero values, and Err tells the fault.
type Reader struct {
	rest string
	err  error
}

// NewReader reads data. Strings read from it share one copy of data.
func NewReader(data []byte) *Reader { return &Reader{rest: string(data)} }

// Err is the first fault.
func (r *Reader) Err() error { return r.err }

// Fail makes format the fault, unless there is one already.
func (r *Reader) Fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
	}
	r.rest = ""
}

// Close reports the first fault, or that bytes are left over.
func (r *Reader) Close() error {
	if r.err == nil && len(r.rest) > 0 {
		r.Fail("%d bytes too many", len(r.rest))
	}
	return r.err
}

// Uint reads a number of at most limit.
func (r *Reader) Uint(limit uint64) uint64 {
	var v uint64
	for i := 0; ; i++ {
		if i == len(r.rest) || i == binary.MaxVarintLen64 {
			r.Fail("a number is cut short")
			return 0
		}
		c := r.rest[i]
		if i == binary.MaxVarintLen64-1 && c > 1 {
			r.Fail("a number is too long")
			return 0
		}
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			r.rest = r.rest[i+1:]
			break
		}
	}
	if v > limit {
		r.Fail("%d where at most %d can be", v, limit)
		return 0
	}
	return v
}

// Count reads a number of items that take at least size bytes each.
func (r *Reader) Count(size int) int {
	return int(r.Uint(uint64(len(r.rest) / max(size, 1))))
}

// String reads a string; it must be UTF-8.
func (r *Reader) String() string {
	s := r.take(r.Count(1))
	if !utf8.ValidString(s) {
		r.Fail("a text is not UTF-8")
		return ""
	}
	return s
}

// Floats reads n finite numbers that were written as a slice of that length.
func (r *Reader) Floats(n int) []float32 {
	if got := r.Count(4); got != n && r.err == nil {
		r.Fail("%d numbers where %d should be", got, n)
	}
	s := r.take(4 * n)
	if r.err != nil {
		return nil
	}
	out := make([]float32, n)
	for i := range out {
		b := uint32(s[4*i]) | uint32(s[4*i+1])<<8 | uint32(s[4*i+2])<<16 | uint32(s[4*i+3])<<24
		if b&0x7f800000 == 0x7f800000 {
			r.Fail("a number is not finite")
			return nil
		}
		out[i] = math.Float32frombits(b)
	}
	return out
}

// Shorts reads n 16-bit numbers.
func (r *Reader) Shorts(n int) []int16 {
	s := r.take(2 * n)
	if r.err != nil {
		return nil
	}
	out := make([]int16, n)
	for i := range out {
		out[i] = int16(uint16(s[2*i]) | uint16(s[2*i+1])<<8)
	}
	return out
}

// Double reads one finite 64-bit number.
func (r *Reader) Double() float64 {
	s := r.take(8)
	if r.err != nil {
		return 0
	}
	v := math.Float64frombits(binary.LittleEndian.Uint64([]byte(s)))
	if math.IsNaN(v) || math.IsInf(v, 0) {
		r.Fail("a number is not finite")
		return 0
	}
	return v
}

func (r *Reader) take(n int) string {
	if r.err != nil || n > len(r.rest) {
		r.Fail("%d bytes missing", n-len(r.rest))
		return ""
	}
	s := r.rest[:n]
	r.rest = r.rest[n:]
	return s
}
