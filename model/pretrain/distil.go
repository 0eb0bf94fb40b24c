package pretrain

import (
	"math"

	"gonum.org/v1/gonum/blas"
)

// Constants of the distillation (measured; see docs/architecture/base.md).
const (
	shareTeacher = 0.8 // of the batches, where there is a teacher
	teacherScale = 18  // of the cosines, the teacher's and ours
	teacherBlock = 256 // texts that are compared with each other
	never        = -10 // a cosine so low that its share is zero
)

// distil computes the loss of a batch of texts against the teacher's vectors. Of
// each text two softmaxes over its block of the batch are to be like the
// teacher's: that of the cosines of its linear image to the teacher's vectors,
// and that of its own likeness to the other texts, by what goes into the matrix
// and is left when that is thrown away. It leaves the gradients in gz and gu.
func (n *net) distil() float64 {
	b, d, texts := &n.b, n.dim, 2*n.b.n
	b.u, b.gu, b.length = grow(b.u, texts*d), grow(b.gu, texts*d), grow(b.length, texts)
	n.unit(b.u, b.r, b.length)
	losses := make([]float64, (texts+teacherBlock-1)/teacherBlock)
	n.each(texts, teacherBlock, func(from, to int) { losses[from/teacherBlock] = n.compare(from, to) })
	n.tangent(b.gu, b.u, b.length)
	loss := 0.0
	for _, l := range losses {
		loss += l
	}
	return loss / float64(texts)
}

// compare is distil of the texts of one block; it returns the sum of their
// losses.
func (n *net) compare(from, to int) (loss float64) {
	b, d, size := &n.b, n.dim, to-from
	got, want, turned := make([]float32, size*size), make([]float32, size*size), make([]float32, size*d)
	from, to = from*d, to*d
	t, z, u := b.draw.taught[from:to], b.zn[from:to], b.u[from:to]
	cosines := func(x, y, dst []float32) {
		n.gemm.Sgemm(blas.NoTrans, blas.Trans, size, size, d, 1, x, d, y, d, 0, dst, size)
	}
	sums := func(tr blas.Transpose, y, dst []float32) {
		n.gemm.Sgemm(tr, blas.NoTrans, size, d, size, 1, got, size, y, d, 0, dst, d)
	}
	cosines(t, t, want)
	for i := range size {
		softmax(want[i*size : (i+1)*size])
	}
	unit := float32(teacherScale) / float32(2*b.n)

	cosines(z, t, got)
	for i := range size {
		loss += cross(got[i*size:(i+1)*size], want[i*size:(i+1)*size], unit)
	}
	sums(blas.NoTrans, t, b.gz[from:to])

	// A text is surely like itself, which would hide how it is like the others.
	cosines(u, u, got)
	for i := range size {
		row, shares := got[i*size:(i+1)*size], want[i*size:(i+1)*size]
		rest := max(1-shares[i], 1e-6)
		row[i], shares[i] = never, 0
		for j := range shares {
			shares[j] /= rest
		}
		loss += cross(row, shares, unit)
	}
	sums(blas.NoTrans, u, b.gu[from:to])
	sums(blas.Trans, u, turned)
	add(b.gu[from:to], turned)
	return loss
}

// softmax turns a row of cosines into shares.
func softmax(row []float32) {
	var sum float32
	for j, v := range row {
		row[j] = exp(teacherScale * (min(v, 1) - 1))
		sum += row[j]
	}
	for j := range row {
		row[j] /= sum
	}
}

// cross turns a row of cosines into unit times the gradient of the cross entropy
// of its softmax to the shares that are wanted, and returns that in nats.
func cross(row, want []float32, unit float32) float64 {
	var sum, agree float32
	for j, v := range row {
		x := teacherScale * (min(v, 1) - 1)
		agree += want[j] * x
		row[j] = exp(x)
		sum += row[j]
	}
	for j, v := range row {
		row[j] = unit * (v/sum - want[j])
	}
	return math.Log(float64(sum)) - float64(agree)
}
