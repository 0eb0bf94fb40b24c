package flow

import (
	"github.com/nexus-continuum/nexus/model/encoder"
	"github.com/nexus-continuum/nexus/model/kernel"
)

const (
	// window is how many earlier steps acceleration combines.
	window = 3
	// ridge keeps the small system of acceleration solvable, relative to its
	// diagonal.
	ridge = 1e-7
)

// accelerate goes on from s.Z with Anderson acceleration (Walker and Ni, 2011):
// the next state is that combination of the last f(z) whose residuals
// f(z)−z cancel best. A combination that makes things worse is dropped for
// plain steps, which always contract.
func (c *Cell) accelerate(words int, s *encoder.Scratch, info encoder.Info) encoder.Info {
	d := c.dim
	n := words * d
	s.Need(2 * window)
	z, f := s.Z[d:d+n], s.Pre[:n]
	last, held := -1.0, 0
	for info.Depth < c.opt.MaxSteps {
		c.mix.GemmAdd(f, d, s.Z, d, words, s.In, d)
		kernel.Tanh(f)
		slot := info.Depth % window
		g := s.Extra[2*slot+1][:n]
		copy(g, f)
		kernel.Axpy(-1, z, g)
		diff2 := float64(kernel.Dot(g, g))
		info.Depth++
		info.Residual = relative(diff2, float64(kernel.Dot(f, f)))
		copy(z, f)
		if info.Residual < c.opt.Threshold {
			info.Converged = true
			break
		}
		if last >= 0 && !(diff2 <= last) {
			held, last = 0, diff2
			continue
		}
		last = diff2
		copy(s.Extra[2*slot][:n], f)
		held = min(held+1, window)
		if held < 2 {
			continue
		}
		share, ok := blend(s.Extra, n, slot, held)
		if !ok {
			held = 0
			continue
		}
		clear(z)
		for i, a := range share[:held] {
			kernel.Axpy(a, s.Extra[2*behind(slot, i)][:n], z)
		}
	}
	return info
}

// behind is the slot that was filled i steps before slot.
func behind(slot, i int) int { return (slot - i + window) % window }

// blend finds the shares, adding up to 1, under which the held residuals
// cancel best in the sense of least squares.
func blend(extra [][]float32, n, slot, held int) (share [window]float32, ok bool) {
	var h [window][window + 1]float64
	for i := range held {
		for j := range i + 1 {
			gi, gj := extra[2*behind(slot, i)+1][:n], extra[2*behind(slot, j)+1][:n]
			h[i][j] = float64(kernel.Dot(gi, gj))
			h[j][i] = h[i][j]
		}
	}
	for i := range held {
		h[i][i] *= 1 + ridge
		h[i][window] = 1
	}
	// Gaussian elimination of H a = 1; the shares are a, made to add up to 1.
	for i := range held {
		if h[i][i] <= 0 {
			return share, false
		}
		for j := i + 1; j < held; j++ {
			f := h[j][i] / h[i][i]
			for k := i; k <= window; k++ {
				h[j][k] -= f * h[i][k]
			}
		}
	}
	var a [window]float64
	sum := 0.0
	for i := held - 1; i >= 0; i-- {
		a[i] = h[i][window]
		for j := i + 1; j < held; j++ {
			a[i] -= h[i][j] * a[j]
		}
		a[i] /= h[i][i]
		sum += a[i]
	}
	if !(sum > 0) {
		return share, false
	}
	for i := range held {
		share[i] = float32(a[i] / sum)
	}
	return share, true
}
