package pretrain

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/mat"

	"github.com/nexus-continuum/nexus/model/kernel"
)

// teacher is texts with the vectors that a stronger encoder has for them.
type teacher struct {
	texts   []int32
	width   int
	vectors []float32 // [len(texts)×width], of unit length
	digest  string    // of the file of the vectors
}

// maxWidth bounds the vectors of a teacher.
const maxWidth = 4096

// ErrTeacher is returned for vectors that do not go with their texts.
var ErrTeacher = errors.New("not the vectors of these texts")

// Teach reads texts, one a line, and the vectors that a stronger encoder has for
// them: for each line in turn the same number of float32, little-endian, size
// bytes in all. Call it after every Add. It returns the number of lines.
func (c *Corpus) Teach(texts, vectors io.Reader, size int64) (int, error) {
	ids, err := c.taughtTexts(texts)
	if err != nil {
		return 0, err
	}
	n := int64(len(ids))
	if n == 0 || size%(4*n) != 0 || size/(4*n) < 2 || size/(4*n) > maxWidth {
		return 0, fmt.Errorf("%w: %d bytes for %d lines of text; want the same number of float32 for each line, from 2 to %d", ErrTeacher, size, n, maxWidth)
	}
	t := &teacher{width: int(size / (4 * n)), texts: make([]int32, 0, n), vectors: make([]float32, 0, size/4)}
	digest := sha256.New()
	r := bufio.NewReaderSize(io.TeeReader(vectors, digest), 1<<20)
	row := make([]float32, t.width)
	for i, id := range ids {
		if err := binary.Read(r, binary.LittleEndian, row); err != nil {
			return 0, fmt.Errorf("vectors of the teacher: line %d: %w", i+1, err)
		}
		norm := kernel.Normalise(row)
		if !(norm <= math.MaxFloat32) {
			return 0, fmt.Errorf("%w: that of line %d is not finite", ErrTeacher, i+1)
		}
		if id >= 0 && norm > 0 {
			t.texts, t.vectors = append(t.texts, id), append(t.vectors, row...)
		}
	}
	if len(t.texts) < t.width {
		return 0, fmt.Errorf("%w: %d texts are too few for vectors of %d numbers", ErrTeacher, len(t.texts), t.width)
	}
	t.digest = hex.EncodeToString(digest.Sum(nil))
	c.teacher = t
	return len(ids), nil
}

// taughtTexts reads the texts, −1 for a line without words. The share of a word
// among the sentences stays that of the sources.
func (c *Corpus) taughtTexts(r io.Reader) (ids []int32, err error) {
	counts := slices.Clone(c.counts)
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 1<<16), maxLine)
	for lines.Scan() {
		ids = append(ids, c.text(lines.Text()))
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("texts of the teacher: line %d: %w", len(ids)+1, err)
	}
	clear(c.counts)
	copy(c.counts, counts)
	return ids, nil
}

// directionsFrom is from about how many vectors the main directions are found.
const directionsFrom = 40000

// folded are the vectors at width d. Their mean is taken off, since encoders put
// all text into one narrow cone; then the d directions that hold most of the
// rest are kept, and each vector is brought to unit length.
func (t *teacher) folded(d int, gemm blas.Float32Level3) ([]float32, error) {
	w, n := t.width, len(t.texts)
	sums := make([]float64, w)
	for i, v := range t.vectors {
		sums[i%w] += float64(v)
	}
	mean := make([]float32, w)
	for k := range mean {
		mean[k] = float32(sums[k] / float64(n))
	}
	turn, err := t.directions(mean, d, gemm)
	if err != nil {
		return nil, err
	}
	out, shift := make([]float32, n*d), make([]float32, d)
	gemm.Sgemm(blas.NoTrans, blas.NoTrans, n, d, w, 1, t.vectors, w, turn, d, 0, out, d)
	gemm.Sgemm(blas.NoTrans, blas.NoTrans, 1, d, w, 1, mean, w, turn, d, 0, shift, d)
	for i := range n {
		row := out[i*d : (i+1)*d]
		kernel.Axpy(-1, shift, row)
		kernel.Normalise(row)
	}
	return out, nil
}

// directions are the d main directions about the mean, as columns [w×d]; those
// beyond the width are zero.
func (t *teacher) directions(mean []float32, d int, gemm blas.Float32Level3) ([]float32, error) {
	w, n := t.width, len(t.texts)
	var sample []float32
	for i := 0; i < n; i += max(n/directionsFrom, 1) {
		sample = append(sample, t.vectors[i*w:(i+1)*w]...)
		kernel.Axpy(-1, mean, sample[len(sample)-w:])
	}
	moments := make([]float32, w*w)
	gemm.Sgemm(blas.Trans, blas.NoTrans, w, w, len(sample)/w, 1, sample, w, sample, w, 0, moments, w)
	sym := mat.NewSymDense(w, nil)
	for i := range w {
		for j := i; j < w; j++ {
			sym.SetSym(i, j, float64(moments[i*w+j]))
		}
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(sym, true) {
		return nil, fmt.Errorf("%w: their main directions cannot be found", ErrTeacher)
	}
	var all mat.Dense
	eigen.VectorsTo(&all) // by rising eigenvalue
	turn := make([]float32, w*d)
	for k := range min(d, w) {
		for i := range w {
			turn[i*d+k] = float32(all.At(i, w-1-k))
		}
	}
	return turn, nil
}
