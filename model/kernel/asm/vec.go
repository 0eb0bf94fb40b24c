//go:build avo

package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// unit writes code for one vector width. Vector registers are chosen by hand, general registers by avo.
type unit struct {
	*build.Context
	suffix string // of function names
	bytes  int    // of a vector: 64 or 32
	mask   reg.Register
	labels *int
}

func units(c *build.Context) []unit {
	labels := new(int)
	return []unit{
		{Context: c, suffix: "AVX512", bytes: 64, mask: reg.K1, labels: labels},
		{Context: c, suffix: "AVX2", bytes: 32, mask: reg.Y15, labels: labels},
	}
}

func (u unit) wide() bool { return u.bytes == 64 }

// floats is the number of elements of a vector.
func (u unit) floats() int { return u.bytes / 4 }

// v returns vector register i: 0–31, without AVX-512 0–14, since 15 is the mask of tails.
func (u unit) v(i int) reg.VecPhysical {
	if u.wide() {
		return []reg.VecPhysical{
			reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7,
			reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
			reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23,
			reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
		}[i]
	}
	return []reg.VecPhysical{
		reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7,
		reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15,
	}[i]
}

// fn starts a function; signature in Go syntax without the name.
func (u unit) fn(name, signature, doc string) {
	u.Function(name + u.suffix)
	u.Attributes(attr.NOSPLIT)
	u.SignatureExpr("func" + signature)
	u.Pragma("noescape")
	u.Doc(name + u.suffix + " " + doc)
}

// end leaves the function; the zeroing spares SSE code after it a penalty.
func (u unit) end() {
	u.VZEROUPPER()
	u.RET()
}

func (u unit) label(name string) string {
	*u.labels++
	return fmt.Sprintf("%s%d", name, *u.labels)
}

// imm is a constant in the shortest form that avo accepts.
func imm(n int) operand.Constant {
	if n < 128 {
		return operand.U8(n)
	}
	return operand.U32(n)
}

// arg loads a parameter into a new register.
func (u unit) arg(name string) reg.GPVirtual {
	r := u.GP64()
	u.Load(u.Param(name), r)
	return r
}

func (u unit) zero(v reg.VecPhysical) {
	if u.wide() {
		u.VPXORD(v, v, v)
		return
	}
	u.VPXOR(v, v, v)
}

// spread broadcasts a float32 parameter.
func (u unit) spread(name string, v reg.VecPhysical) {
	addr, err := u.Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	u.VBROADCASTSS(addr.Addr, v)
}

// load reads a vector, or with tail only as many elements as setTail was given, the others being zero.
func (u unit) load(m operand.Mem, v reg.VecPhysical, tail bool) {
	switch {
	case !tail:
		u.VMOVUPS(m, v)
	case u.wide():
		u.VMOVUPS_Z(m, u.mask, v)
	default:
		u.VMASKMOVPS(m, u.mask, v)
	}
}

// store is the opposite of load.
func (u unit) store(v reg.VecPhysical, m operand.Mem, tail bool) {
	switch {
	case !tail:
		u.VMOVUPS(v, m)
	case u.wide():
		u.VMOVUPS(v, u.mask, m)
	default:
		u.VMASKMOVPS(v, u.mask, m)
	}
}

// setTail makes the mask of the first n elements, 0 < n < floats.
func (u unit) setTail(n reg.GPVirtual) {
	if u.wide() {
		bits := u.GP32()
		u.MOVL(operand.U32(math.MaxUint32), bits)
		u.BZHIL(n.As32(), bits, bits)
		u.KMOVW(bits, u.mask)
		return
	}
	table, at := u.GP64(), u.GP64()
	u.LEAQ(operand.NewDataAddr(operand.NewStaticSymbol("tails"), 0), table)
	u.MOVQ(n, at)
	u.NEGQ(at)
	u.VMOVUPS(operand.Mem{Base: table, Index: at, Scale: 4, Disp: 32}, u.mask)
}

// tails writes the table of AVX2 masks: eight ones, eight zeros.
func tails(c *build.Context) {
	c.StaticGlobal("tails")
	c.DataAttributes(attr.RODATA | attr.NOPTR)
	for i := range 8 {
		c.AddDatum(4*i, operand.U32(math.MaxUint32))
	}
	for i := range 8 {
		c.AddDatum(32+4*i, operand.U32(0))
	}
}

// each loops over n elements at the pointers, unroll vectors a turn, then one, then the rest masked. body gets the number
// of the vector in the turn, its memory operands and whether it is the masked tail; n is used up and the pointers moved.
func (u unit) each(n reg.GPVirtual, pointers []reg.GPVirtual, unroll int, body func(i int, at []operand.Mem, tail bool)) {
	turns := []int{unroll}
	if unroll > 1 {
		turns = append(turns, 1)
	}
	for _, vectors := range turns {
		loop, done := u.label("loop"), u.label("done")
		u.Label(loop)
		u.CMPQ(n, imm(vectors*u.floats()))
		u.JLT(operand.LabelRef(done))
		for i := range vectors {
			body(i, u.mems(pointers, i), false)
		}
		for _, p := range pointers {
			u.ADDQ(imm(vectors*u.bytes), p)
		}
		u.SUBQ(imm(vectors*u.floats()), n)
		u.JMP(operand.LabelRef(loop))
		u.Label(done)
	}
	none := u.label("none")
	u.TESTQ(n, n)
	u.JZ(operand.LabelRef(none))
	u.setTail(n)
	body(0, u.mems(pointers, 0), true)
	u.Label(none)
}

func (u unit) mems(pointers []reg.GPVirtual, i int) []operand.Mem {
	m := make([]operand.Mem, len(pointers))
	for j, p := range pointers {
		m[j] = operand.Mem{Base: p, Disp: i * u.bytes}
	}
	return m
}

// sum adds up the elements of v into its first, using t.
func (u unit) sum(v, t reg.VecPhysical) {
	if u.wide() {
		u.VEXTRACTF64X4(imm(1), v, t.AsY())
		u.VADDPS(t.AsY(), v.AsY(), v.AsY())
	}
	u.VEXTRACTF128(imm(1), v.AsY(), t.AsX())
	u.VADDPS(t.AsX(), v.AsX(), v.AsX())
	u.VPERMILPS(operand.U8(0b01_00_11_10), v.AsX(), t.AsX())
	u.VADDPS(t.AsX(), v.AsX(), v.AsX())
	u.VPERMILPS(operand.U8(0b10_11_00_01), v.AsX(), t.AsX())
	u.VADDPS(t.AsX(), v.AsX(), v.AsX())
}

// result stores the first element of v as a float32 result.
func (u unit) result(v reg.VecPhysical, name string) {
	addr, err := u.Return(name).Resolve()
	if err != nil {
		panic(err)
	}
	u.VMOVSS(v.AsX(), addr.Addr)
}
