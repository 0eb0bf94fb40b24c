package flow

import (
	"math"

	"github.com/nexus-continuum/nexus/model/kernel"
)

// squarings of the Gram matrix in NormBound: the bound is then at most
// d^(1/4096) times the norm, 0.15 % above it at d = 512.
const squarings = 10

// NormBound is an upper bound of the spectral norm of the matrix m [d×d], tight
// to 0.15 %. Power iteration approaches the norm from below and so proves
// nothing; this uses ‖M‖² = ‖G‖ with G = MMᵀ and, since G is symmetric,
// ‖G‖^p = ‖G^p‖ ≤ ‖G^p‖_F, with p = 2^10 by repeated squaring.
func NormBound(m []float32, d int) float64 {
	g, square := make([]float32, d*d), make([]float32, d*d)
	gram(g, m, d)
	var logBound float64
	for i := 0; ; i++ {
		f := frobenius(g)
		if f == 0 {
			return 0
		}
		logBound += math.Log(f) / float64(int(2)<<i)
		if i == squarings {
			return math.Exp(logBound)
		}
		kernel.Scale(float32(1/f), g) // keeps the powers in range
		kernel.Pack(d, d, g).Gemm(square, d, g, d, d)
		g, square = square, g
	}
}

// gram writes M·Mᵀ, which has the same norm as MᵀM, into g.
func gram(g, m []float32, d int) {
	kernel.PackTransposed(d, d, m).Gemm(g, d, m, d, d)
}

func frobenius(m []float32) float64 {
	var s float64
	for _, v := range m {
		s += float64(v) * float64(v)
	}
	return math.Sqrt(s)
}

// Power estimates the spectral norm of one slowly changing matrix, from below,
// by power iteration that goes on from the last call: cheap enough for every
// optimiser step (Miyato et al., 1802.05957).
type Power struct {
	v, u []float32
}

// NewPower starts an estimate for matrices [d×d].
func NewPower(d int) *Power {
	p := &Power{v: make([]float32, d), u: make([]float32, d)}
	for i := range p.v {
		// Any fixed start does that no real matrix is orthogonal to.
		p.v[i] = float32(math.Sin(float64(3*i + 1)))
	}
	return p
}

// Norm takes steps iterations on m and returns the estimate of ‖m‖.
func (p *Power) Norm(m []float32, steps int) float64 {
	d := len(p.v)
	var norm float64
	for range steps {
		if kernel.Normalise(p.v) == 0 {
			return 0
		}
		for i := range d {
			p.u[i] = kernel.Dot(m[i*d:(i+1)*d], p.v)
		}
		norm = float64(kernel.Norm(p.u))
		clear(p.v)
		for i, u := range p.u {
			kernel.Axpy(u, m[i*d:(i+1)*d], p.v)
		}
	}
	return norm
}
