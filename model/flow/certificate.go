package flow

import (
	"errors"
	"fmt"

	"github.com/nexus-continuum/nexus/model/kernel"
)

// Bounds on the spectral norms. tanh and the shifts have Lipschitz constant 1,
// so ‖W‖+‖A‖+‖C‖ ≤ Rho < 1 makes a step a contraction with factor Rho: the
// fixed point exists, is unique and does not depend on the start (Banach).
const (
	Rho  = 0.9
	MaxU = 0.4 // keeps tanh out of saturation
)

// certificateSlack is what rounding may add to norms that were capped exactly.
const certificateSlack = 1e-3

// ErrNoCertificate is returned for weights that are not provably a contraction.
var ErrNoCertificate = errors.New("weights carry no contraction certificate")

// Certificate holds upper bounds of the spectral norms of a cell. After k steps
// the distance to the fixed point is at most Rho^k/(1−Rho) times the first step.
type Certificate struct {
	NormW float64 `json:"norm_w"`
	NormA float64 `json:"norm_a"`
	NormC float64 `json:"norm_c"`
	NormU float64 `json:"norm_u"`
	Rho   float64 `json:"rho"` // NormW + NormA + NormC
}

// Verify returns ErrNoCertificate unless the bounds hold.
func (c Certificate) Verify() error {
	// Written so that NaN fails.
	if !(c.Rho <= Rho+certificateSlack) {
		return fmt.Errorf("%w: ‖W‖+‖A‖+‖C‖ ≤ %.4f, want ≤ %.2f", ErrNoCertificate, c.Rho, Rho)
	}
	if !(c.NormU <= MaxU+certificateSlack) {
		return fmt.Errorf("%w: ‖U‖ ≤ %.4f, want ≤ %.2f", ErrNoCertificate, c.NormU, MaxU)
	}
	return nil
}

// Certify bounds the norms of w from above.
func (w *Weights) Certify() Certificate {
	d := w.Dim
	c := Certificate{
		NormW: NormBound(w.W(), d), NormA: NormBound(w.A(), d), NormC: NormBound(w.C(), d),
		NormU: NormBound(w.U, d),
	}
	c.Rho = c.NormW + c.NormA + c.NormC
	return c
}

// Cap scales the matrices down, where needed, until the certificate holds, and
// returns it.
func (w *Weights) Cap() Certificate {
	c := w.Certify()
	if f := Rho / c.Rho; f < 1 {
		kernel.Scale(float32(f), w.Mix)
		c.NormW, c.NormA, c.NormC, c.Rho = c.NormW*f, c.NormA*f, c.NormC*f, Rho
	}
	if f := MaxU / c.NormU; f < 1 {
		kernel.Scale(float32(f), w.U)
		c.NormU = MaxU
	}
	return c
}
