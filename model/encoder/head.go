package encoder

import (
	"fmt"

	"github.com/nexus-continuum/nexus/model/kernel"
	"github.com/nexus-continuum/nexus/model/text"
)

// Front reads words into vectors and states into h: the parts of an encoder
// before and after its mixing. It is immutable and safe for concurrent use.
type Front struct {
	base Base // the table is shared with the weights it was made of
	head *kernel.Packed
}

// NewFront packs the head of b and shares its table.
func NewFront(b *Base) (*Front, error) {
	d := b.Dim
	if d < 1 || b.Buckets < 1 || len(b.Table) != d*b.Buckets || len(b.Seen) != b.Buckets || len(b.Head) != 3*d*d {
		return nil, fmt.Errorf("%w: d %d, %d buckets, table %d, seen %d, head %d",
			ErrShape, d, b.Buckets, len(b.Table), len(b.Seen), len(b.Head))
	}
	return &Front{base: *b, head: kernel.Pack(3*d, d, b.Head)}, nil
}

// Dim is the state size d.
func (f *Front) Dim() int { return f.base.Dim }

// Buckets is the number of rows of the table.
func (f *Front) Buckets() int { return f.base.Buckets }

// NewScratch makes the working memory of one caller.
func (f *Front) NewScratch() *Scratch { return NewScratch(f.base.Dim) }

// Words fills s.X [T×d] with the word vectors and s.Pool[:d] with ReLU of
// their mean, and returns the share of features never trained.
func (f *Front) Words(p *text.Prompt, s *Scratch) (unknown float32) {
	d := f.base.Dim
	unknown = f.base.words(p, s.X)
	MeanReLU(s.Pool[:d], s.X[:p.Words*d])
	return unknown
}

// Head pools the states z [T×d] into s.Pool[d:] and writes
// normalise( ReLU(mean x)·P₁ + [mean z, max z]·P₂ ) into h. It returns the
// mean of 1−z², 0 without words.
func (f *Front) Head(z []float32, h []float32, s *Scratch) (saturation float32) {
	d := f.base.Dim
	PoolStates(s.Pool[d:2*d], s.Pool[2*d:3*d], z)
	f.head.Gemm(h, d, s.Pool, 3*d, 1)
	kernel.Normalise(h[:d])
	if len(z) == 0 {
		return 0
	}
	return 1 - kernel.Dot(z, z)/float32(len(z))
}

// MeanReLU writes ReLU of the mean of the rows of x [T×d] into mean [d], zero
// without rows.
func MeanReLU(mean, x []float32) {
	clear(mean)
	d := len(mean)
	for at := 0; at < len(x); at += d {
		kernel.Axpy(1, x[at:at+d], mean)
	}
	kernel.Scale(float32(d)/float32(max(len(x), 1)), mean)
	kernel.ReLU(mean)
}

// PoolStates writes mean and maximum over the rows of z [T×d] into mean and
// most [d], both zero without rows.
func PoolStates(mean, most, z []float32) {
	if len(z) == 0 {
		clear(mean)
		clear(most)
		return
	}
	kernel.MeanMax(mean, most, z)
}
