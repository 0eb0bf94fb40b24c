//go:build avo

package main

import (
	"math"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// tanhConstants are those of ../tanh.go; tanhH is the first coefficient of h.
var tanhConstants = []float32{
	9.02, -9.02, 2 / math.Ln2, 1, 2,
	0.693147188026, 0.240226507606, 0.0555035711422, 0.00961808255728, 0.00133908633647, 0.000154531629451,
}

const (
	tanhEnd = iota
	tanhStart
	tanhLog
	tanhOne
	tanhTwo
	tanhH
)

func tanh(c *build.Context) {
	tails(c)
	symbol := c.StaticGlobal("tanhs")
	c.DataAttributes(attr.RODATA | attr.NOPTR)
	for i, v := range tanhConstants {
		for j := range 16 {
			c.AddDatum((16*i+j)*4, operand.U32(math.Float32bits(v)))
		}
	}
	for _, u := range units(c) {
		constant := func(i int) operand.Mem { return symbol.Offset(64 * i) }

		u.fn("tanh", "(x *float32, n int)", "replaces n elements by their hyperbolic tangent.")
		x, n := u.arg("x"), u.arg("n")
		u.each(n, []reg.GPVirtual{x}, 2, func(i int, at []operand.Mem, tail bool) {
			v, t, p, q := u.v(4*i), u.v(4*i+1), u.v(4*i+2), u.v(4*i+3)
			u.load(at[0], v, tail)
			u.tanhOf(v, t, p, q, constant)
			u.store(v, at[0], tail)
		})
		u.end()

		u.fn("tanhResidual", "(z, pre *float32, n int, keep, damping float32) (diff2, norm2 float32)",
			"sets z to keep·z + damping·tanh(pre) and sums the squares of the change and of z.")
		diff2, norm2 := u.v(8), u.v(9)
		keep, damping := u.v(10), u.v(11)
		u.zero(diff2)
		u.zero(norm2)
		u.spread("keep", keep)
		u.spread("damping", damping)
		z, pre, m := u.arg("z"), u.arg("pre"), u.arg("n")
		u.each(m, []reg.GPVirtual{z, pre}, 2, func(i int, at []operand.Mem, tail bool) {
			v, t, p, q := u.v(4*i), u.v(4*i+1), u.v(4*i+2), u.v(4*i+3)
			u.load(at[1], v, tail)
			u.tanhOf(v, t, p, q, constant)
			u.load(at[0], p, tail)
			u.VMULPS(keep, p, q)
			u.VFMADD231PS(damping, v, q)
			u.store(q, at[0], tail)
			u.VSUBPS(p, q, p)
			u.VFMADD231PS(p, p, diff2)
			u.VFMADD231PS(q, q, norm2)
		})
		u.sum(diff2, u.v(0))
		u.sum(norm2, u.v(1))
		u.result(diff2, "diff2")
		u.result(norm2, "norm2")
		u.end()
	}
}

// tanhOf replaces v by its hyperbolic tangent. The limits keep a NaN, since minimum and maximum are their second source,
// Go's first, where one is NaN.
func (u unit) tanhOf(v, t, p, q reg.VecPhysical, constant func(int) operand.Mem) {
	u.VMOVUPS(constant(tanhEnd), t)
	u.VMINPS(v, t, v)
	u.VMOVUPS(constant(tanhStart), t)
	u.VMAXPS(v, t, v)
	u.VMULPS(constant(tanhLog), v, v)
	if u.wide() {
		u.VRNDSCALEPS(operand.U8(0), v, t)
	} else {
		u.VROUNDPS(operand.U8(0), v, t)
	}
	u.VSUBPS(t, v, v)
	u.VMOVUPS(constant(tanhH+5), p)
	for i := 4; i >= 0; i-- {
		u.VFMADD213PS(constant(tanhH+i), v, p)
	}
	u.VMULPS(v, p, p)
	u.VMOVUPS(constant(tanhOne), q)
	if u.wide() {
		u.VSCALEFPS(t, q, t)
	} else {
		u.VCVTPS2DQ(t, t)
		u.VPSLLD(imm(23), t, t)
		u.VPADDD(q, t, t)
	}
	u.VSUBPS(q, t, q)
	u.VFMADD213PS(q, t, p)
	u.VADDPS(constant(tanhTwo), p, q)
	u.VDIVPS(q, p, v)
}
