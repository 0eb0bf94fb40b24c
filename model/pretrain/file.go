package pretrain

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// The file: magic, length of the JSON header as uint32, the header, then the
// table [buckets×d] and the head [d×d], each as the scales of its rows in
// bfloat16 followed by its rows in int8; little endian.
const (
	baseMagic  = "NXBASE1\n"
	maxHeader  = 1 << 20
	maxDim     = 4096
	maxBuckets = 1 << 22
)

type header struct {
	Dim     int    `json:"dim"`
	Buckets int    `json:"buckets"`
	Recipe  Recipe `json:"recipe"`
}

// ErrFormat is returned for bytes that are no base.
var ErrFormat = errors.New("not a base file")

// Encode writes the base with its rows as int8, each with a scale of its own.
func (b *Base) Encode() ([]byte, error) {
	if len(b.Table) != b.Dim*b.Buckets || len(b.Head) != b.Dim*b.Dim {
		return nil, fmt.Errorf("encode base: table of %d and head of %d numbers for %d×%d", len(b.Table), len(b.Head), b.Buckets, b.Dim)
	}
	head, err := json.Marshal(header{b.Dim, b.Buckets, b.Recipe})
	if err != nil {
		return nil, fmt.Errorf("encode base: %w", err)
	}
	out := make([]byte, 0, len(baseMagic)+4+len(head)+(b.Buckets+b.Dim)*(b.Dim+2))
	out = append(out, baseMagic...)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(head)))
	out = append(out, head...)
	out = appendRows(out, b.Table, b.Dim)
	return appendRows(out, b.Head, b.Dim), nil
}

// appendRows writes rows of d numbers.
func appendRows(out []byte, rows []float32, d int) []byte {
	inverse := make([]float64, len(rows)/d)
	for r := range inverse {
		var most float32
		for _, v := range rows[r*d : (r+1)*d] {
			most = max(most, float32(math.Abs(float64(v))))
		}
		// Rounded down, so that the greatest entry is always ±127 and a base
		// that was read gives the same file again.
		bits := uint16(math.Float32bits(most/math.MaxInt8) >> 16)
		if s := fromBfloat(bits); s > 0 {
			inverse[r] = 1 / float64(s)
		}
		out = binary.LittleEndian.AppendUint16(out, bits)
	}
	for i, v := range rows {
		q := math.RoundToEven(float64(v) * inverse[i/d])
		out = append(out, byte(int8(max(-math.MaxInt8, min(math.MaxInt8, q)))))
	}
	return out
}

func fromBfloat(b uint16) float32 { return math.Float32frombits(uint32(b) << 16) }

// Decode reads what Encode wrote. It takes nothing on trust: whatever the bytes,
// it returns ErrFormat or a base of finite numbers, and takes no more memory
// than some five times their length.
func Decode(data []byte) (*Base, error) {
	b, rest, err := decodeHeader(data)
	if err != nil {
		return nil, err
	}
	if b.Table, rest, err = readRows(rest, b.Buckets, b.Dim); err != nil {
		return nil, err
	}
	if b.Head, _, err = readRows(rest, b.Dim, b.Dim); err != nil {
		return nil, err
	}
	return b, nil
}

// DecodeRecipe reads how a base was made, and its shape, without its numbers.
func DecodeRecipe(data []byte) (*Base, error) {
	b, _, err := decodeHeader(data)
	return b, err
}

func decodeHeader(data []byte) (*Base, []byte, error) {
	rest, ok := bytes.CutPrefix(data, []byte(baseMagic))
	if !ok || len(rest) < 4 {
		return nil, nil, fmt.Errorf("%w: no %q at its start", ErrFormat, baseMagic[:7])
	}
	size := binary.LittleEndian.Uint32(rest)
	rest = rest[4:]
	if size > maxHeader || int(size) > len(rest) {
		return nil, nil, fmt.Errorf("%w: header of %d bytes", ErrFormat, size)
	}
	var h header
	strict := json.NewDecoder(bytes.NewReader(rest[:size]))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&h); err != nil {
		return nil, nil, fmt.Errorf("%w: header: %w", ErrFormat, err)
	}
	if strict.InputOffset() != int64(size) {
		return nil, nil, fmt.Errorf("%w: header: %d bytes after its end", ErrFormat, int64(size)-strict.InputOffset())
	}
	rest = rest[size:]
	if h.Dim < 1 || h.Dim > maxDim || h.Buckets < 1 || h.Buckets > maxBuckets {
		return nil, nil, fmt.Errorf("%w: table of %d×%d", ErrFormat, h.Buckets, h.Dim)
	}
	if want := (h.Buckets + h.Dim) * (h.Dim + 2); len(rest) != want {
		return nil, nil, fmt.Errorf("%w: %d bytes of numbers, want %d", ErrFormat, len(rest), want)
	}
	return &Base{Dim: h.Dim, Buckets: h.Buckets, Recipe: h.Recipe}, rest, nil
}

// readRows reads n rows of d numbers, whose bytes are there, and returns what
// follows them.
func readRows(data []byte, n, d int) (rows []float32, rest []byte, err error) {
	scales, body := data[:2*n], data[2*n:]
	rows = make([]float32, n*d)
	for r := range n {
		s := fromBfloat(binary.LittleEndian.Uint16(scales[2*r:]))
		if !(s >= 0 && s <= math.MaxFloat32/128) {
			return nil, nil, fmt.Errorf("%w: scale of row %d is %v", ErrFormat, r, s)
		}
		out := rows[r*d : (r+1)*d]
		for i, q := range body[r*d:][:len(out)] {
			out[i] = s * float32(int8(q))
		}
	}
	return rows, body[n*d:], nil
}
