//go:build avo

package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A register tile is up to tileRows rows of two vectors. With AVX-512 28 accumulators, 2 vectors of B and 2 broadcast elements of A fill
// 32 registers; with AVX2 12, 2 and 2 fill 16.
func tileRows(u unit) int {
	if u.wide() {
		return 14
	}
	return 6
}

// chains is the number of sums that each element of a tile is split into, along k, so that few rows too keep enough multiplications in
// flight: two a cycle with a latency of four.
func chains(u unit, rows int) int {
	switch {
	case rows == 1, rows == 2 && u.wide():
		return 4
	case rows <= 3, rows == 4 && u.wide():
		return 2
	default:
		return 1
	}
}

func gemm(c *build.Context) {
	for _, u := range units(c) {
		u.gemm("gemm", false)
		u.gemm("gemmTrans", true)
	}
}

// gemm writes the function that computes a tile's rows for some panels. The number of rows chooses among the bodies.
func (u unit) gemm(name string, transA bool) {
	doc := "computes [rows × panels·width] elements of C = A·B + D; all leading dimensions in bytes, d may be nil."
	if transA {
		doc = "is the same for A transposed in memory: element (i, p) at a[p·lda + i]."
	}
	u.fn(name, "(c *float32, ldc uintptr, a *float32, lda uintptr, b, d *float32, ldd uintptr, k, rows, panels int)", doc)
	rows := u.arg("rows")
	most := tileRows(u)
	bodies := make([]string, most+1)
	for m := most; m > 1; m-- {
		bodies[m] = u.label("rows")
		u.CMPQ(rows, imm(m))
		u.JEQ(operand.LabelRef(bodies[m]))
	}
	for m := 1; m <= most; m++ {
		if m > 1 {
			u.Label(bodies[m])
		}
		u.tile(m, transA)
		u.end()
	}
}

// tile loops over panels for a fixed number of rows.
func (u unit) tile(rows int, transA bool) {
	const vectors = 2
	parts := chains(u, rows)
	acc := func(part, row, j int) reg.VecPhysical { return u.v((part*rows+row)*vectors + j) }
	used := parts * rows * vectors
	bv := []reg.VecPhysical{u.v(used), u.v(used + 1)}
	av := []reg.VecPhysical{u.v(used + 2), u.v(used + 3)}

	a := u.addressing(rows, transA)
	b, c, panels := u.arg("b"), u.arg("c"), u.arg("panels")
	d, ldd := u.arg("d"), u.arg("ldd")
	panel := u.label("panel")
	u.Label(panel)

	for i := range used {
		u.zero(u.v(i))
	}
	noInit := u.label("noinit")
	u.TESTQ(d, d)
	u.JZ(operand.LabelRef(noInit))
	p := u.GP64()
	u.MOVQ(d, p)
	for i := range rows {
		for j := range vectors {
			u.VMOVUPS(operand.Mem{Base: p, Disp: j * u.bytes}, acc(0, i, j))
		}
		if i+1 < rows {
			u.ADDQ(ldd, p)
		}
	}
	u.ADDQ(imm(vectors*u.bytes), d)
	u.Label(noInit)

	step := func(kk int) {
		for j := range vectors {
			u.VMOVUPS(operand.Mem{Base: b, Disp: (kk*vectors + j) * u.bytes}, bv[j])
		}
		for i := range rows {
			x := av[i%2]
			u.VBROADCASTSS(a.at(i, kk), x)
			for j := range vectors {
				u.VFMADD231PS(bv[j], x, acc(kk%parts, i, j))
			}
		}
	}
	const unroll = 4
	n := u.arg("k")
	loop, rest, done := u.label("loop"), u.label("rest"), u.label("done")
	u.SUBQ(imm(unroll), n)
	u.JLT(operand.LabelRef(rest))
	u.Label(loop)
	for kk := range unroll {
		step(kk)
	}
	u.ADDQ(imm(unroll*vectors*u.bytes), b)
	a.advance(unroll)
	u.SUBQ(imm(unroll), n)
	u.JGE(operand.LabelRef(loop))
	u.Label(rest)
	u.ADDQ(imm(unroll), n)
	u.JZ(operand.LabelRef(done))
	one := u.label("one")
	u.Label(one)
	step(0)
	u.ADDQ(imm(vectors*u.bytes), b)
	a.advance(1)
	u.DECQ(n)
	u.JNZ(operand.LabelRef(one))
	u.Label(done)
	a.rewind()

	for part := parts / 2; part > 0; part /= 2 {
		for q := range part {
			for i := range rows {
				for j := range vectors {
					u.VADDPS(acc(q+part, i, j), acc(q, i, j), acc(q, i, j))
				}
			}
		}
	}
	ldc := u.arg("ldc")
	out := u.GP64()
	u.MOVQ(c, out)
	for i := range rows {
		for j := range vectors {
			u.VMOVUPS(acc(0, i, j), operand.Mem{Base: out, Disp: j * u.bytes})
		}
		if i+1 < rows {
			u.ADDQ(ldc, out)
		}
	}
	u.ADDQ(imm(vectors*u.bytes), c)
	u.DECQ(panels)
	u.JNZ(operand.LabelRef(panel))
}

// addressing finds the elements of A. Rows lie lda apart, so that one pointer with lda as index reaches three of them; transposed,
// they lie side by side and the steps along k are lda.
type addressing struct {
	unit
	trans bool
	lda   reg.GPVirtual
	lda3  reg.GPVirtual
	base  []reg.GPVirtual
}

func (u unit) addressing(rows int, trans bool) addressing {
	a := addressing{unit: u, trans: trans, lda: u.arg("lda")}
	a.base = append(a.base, u.arg("a"))
	if trans {
		a.lda3 = u.GP64()
		u.LEAQ(operand.Mem{Base: a.lda, Index: a.lda, Scale: 2}, a.lda3)
		return a
	}
	for i := 3; i < rows; i += 3 {
		last, next := a.base[len(a.base)-1], u.GP64()
		u.LEAQ(operand.Mem{Base: last, Index: a.lda, Scale: 2}, next)
		u.ADDQ(a.lda, next)
		a.base = append(a.base, next)
	}
	return a
}

// at is the operand of element (row, kk), kk < 4, from the current position along k.
func (a addressing) at(row, kk int) operand.Mem {
	scaled := func(m operand.Mem, times int) operand.Mem {
		switch times {
		case 1, 2:
			m.Index, m.Scale = a.lda, uint8(times)
		case 3:
			m.Index, m.Scale = a.lda3, 1
		}
		return m
	}
	if a.trans {
		return scaled(operand.Mem{Base: a.base[0], Disp: 4 * row}, kk)
	}
	return scaled(operand.Mem{Base: a.base[row/3], Disp: 4 * kk}, row%3)
}

func (a addressing) advance(steps int) {
	if a.trans {
		if steps == 1 {
			a.ADDQ(a.lda, a.base[0])
		} else {
			a.LEAQ(operand.Mem{Base: a.base[0], Index: a.lda, Scale: uint8(steps)}, a.base[0])
		}
		return
	}
	for _, p := range a.base {
		a.ADDQ(imm(4*steps), p)
	}
}

// rewind goes back to the first column for the next panel.
func (a addressing) rewind() {
	if a.trans {
		a.Load(a.Param("a"), a.base[0])
		return
	}
	k := a.arg("k")
	a.SHLQ(imm(2), k)
	for _, p := range a.base {
		a.SUBQ(k, p)
	}
}
