//go:build avo

package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func vectors(c *build.Context) {
	tails(c)
	for _, u := range units(c) {
		u.dot()
		u.axpy()
		u.scale()
		u.relu()
		u.maximum()
		u.addRows()
		u.dotRows()
	}
}

func (u unit) dot() {
	u.fn("dot", "(x, y *float32, n int) (sum float32)", "returns the sum of n products.")
	for i := range 4 {
		u.zero(u.v(i))
	}
	x, y, n := u.arg("x"), u.arg("y"), u.arg("n")
	u.each(n, []reg.GPVirtual{x, y}, 4, func(i int, at []operand.Mem, tail bool) {
		u.load(at[0], u.v(4+i), tail)
		if tail {
			u.load(at[1], u.v(8), tail)
			u.VFMADD231PS(u.v(8), u.v(4+i), u.v(i))
			return
		}
		u.VFMADD231PS(at[1], u.v(4+i), u.v(i))
	})
	u.VADDPS(u.v(1), u.v(0), u.v(0))
	u.VADDPS(u.v(3), u.v(2), u.v(2))
	u.VADDPS(u.v(2), u.v(0), u.v(0))
	u.sum(u.v(0), u.v(1))
	u.result(u.v(0), "sum")
	u.end()
}

func (u unit) axpy() {
	u.fn("axpy", "(alpha float32, x, y *float32, n int)", "adds alpha·x to y.")
	u.spread("alpha", u.v(0))
	x, y, n := u.arg("x"), u.arg("y"), u.arg("n")
	u.each(n, []reg.GPVirtual{x, y}, 4, func(i int, at []operand.Mem, tail bool) {
		u.load(at[0], u.v(1+i), tail)
		u.load(at[1], u.v(5+i), tail)
		u.VFMADD231PS(u.v(0), u.v(1+i), u.v(5+i))
		u.store(u.v(5+i), at[1], tail)
	})
	u.end()
}

func (u unit) scale() {
	u.fn("scale", "(alpha float32, x *float32, n int)", "multiplies x by alpha.")
	u.spread("alpha", u.v(0))
	x, n := u.arg("x"), u.arg("n")
	u.each(n, []reg.GPVirtual{x}, 4, func(i int, at []operand.Mem, tail bool) {
		u.load(at[0], u.v(1+i), tail)
		u.VMULPS(u.v(0), u.v(1+i), u.v(1+i))
		u.store(u.v(1+i), at[0], tail)
	})
	u.end()
}

// relu and maximum rely on the maximum being its second source, Go's first operand, where one is NaN.

func (u unit) relu() {
	u.fn("relu", "(x *float32, n int)", "replaces negative elements by zero.")
	u.zero(u.v(0))
	x, n := u.arg("x"), u.arg("n")
	u.each(n, []reg.GPVirtual{x}, 4, func(i int, at []operand.Mem, tail bool) {
		u.load(at[0], u.v(1+i), tail)
		u.VMAXPS(u.v(1+i), u.v(0), u.v(1+i))
		u.store(u.v(1+i), at[0], tail)
	})
	u.end()
}

func (u unit) maximum() {
	u.fn("maximum", "(dst, x *float32, n int)", "replaces the elements of dst by those of x unless they are greater.")
	dst, x, n := u.arg("dst"), u.arg("x"), u.arg("n")
	u.each(n, []reg.GPVirtual{dst, x}, 4, func(i int, at []operand.Mem, tail bool) {
		u.load(at[0], u.v(i), tail)
		u.load(at[1], u.v(4+i), tail)
		u.VMAXPS(u.v(4+i), u.v(i), u.v(i))
		u.store(u.v(i), at[0], tail)
	})
	u.end()
}

// addRows keeps eight vectors of the sum in registers while it goes through the rows.
func (u unit) addRows() {
	const wide = 8
	u.fn("addRows", "(dst *float32, d int, table *float32, ids *uint32, n int)", "adds n > 0 rows of table, each d long, to dst.")
	dst, d, table := u.arg("dst"), u.arg("d"), u.arg("table")
	stride := u.GP64()
	u.MOVQ(d, stride)
	u.SHLQ(imm(2), stride)
	rows := func(vectors int, tail bool) {
		id, n, row := u.arg("ids"), u.arg("n"), u.GP64()
		for i := range vectors {
			u.load(operand.Mem{Base: dst, Disp: i * u.bytes}, u.v(i), tail)
		}
		loop := u.label("rows")
		u.Label(loop)
		u.MOVL(operand.Mem{Base: id}, row.As32())
		u.IMULQ(stride, row)
		u.ADDQ(table, row)
		for i := range vectors {
			from := operand.Mem{Base: row, Disp: i * u.bytes}
			if tail {
				u.load(from, u.v(wide), tail)
				u.VADDPS(u.v(wide), u.v(i), u.v(i))
				continue
			}
			u.VADDPS(from, u.v(i), u.v(i))
		}
		u.ADDQ(imm(4), id)
		u.DECQ(n)
		u.JNZ(operand.LabelRef(loop))
		for i := range vectors {
			u.store(u.v(i), operand.Mem{Base: dst, Disp: i * u.bytes}, tail)
		}
	}
	for _, vectors := range []int{wide, 1} {
		loop, done := u.label("columns"), u.label("done")
		u.Label(loop)
		u.CMPQ(d, imm(vectors*u.floats()))
		u.JLT(operand.LabelRef(done))
		rows(vectors, false)
		u.ADDQ(imm(vectors*u.bytes), dst)
		u.ADDQ(imm(vectors*u.bytes), table)
		u.SUBQ(imm(vectors*u.floats()), d)
		u.JMP(operand.LabelRef(loop))
		u.Label(done)
	}
	none := u.label("none")
	u.TESTQ(d, d)
	u.JZ(operand.LabelRef(none))
	u.setTail(d)
	rows(1, true)
	u.Label(none)
	u.end()
}

// dotRows goes through four rows at a time, each with two sums; the rows left over one by one.
func (u unit) dotRows() {
	u.fn("dotRows", "(out *float32, n int, rows, q *float32, d int)", "writes the products of n consecutive rows, each d long, with q.")
	out, n, row := u.arg("out"), u.arg("n"), u.arg("rows")
	stride := u.arg("d")
	u.SHLQ(imm(2), stride)
	for _, together := range []int{4, 1} {
		loop, done := u.label("rows"), u.label("done")
		u.Label(loop)
		u.CMPQ(n, imm(together))
		u.JLT(operand.LabelRef(done))
		for i := range 2 * together {
			u.zero(u.v(i))
		}
		q, d := u.arg("q"), u.arg("d")
		pointers := []reg.GPVirtual{q}
		for i := range together {
			p := u.GP64()
			u.MOVQ(row, p)
			u.ADDQ(stride, row)
			pointers = append(pointers, p)
			_ = i
		}
		u.each(d, pointers, 2, func(i int, at []operand.Mem, tail bool) {
			x := u.v(2*together + i)
			u.load(at[0], x, tail)
			for r := range together {
				sum := u.v(2*r + i)
				if tail {
					t := u.v(2*together + 2)
					u.load(at[1+r], t, tail)
					u.VFMADD231PS(t, x, sum)
					continue
				}
				u.VFMADD231PS(at[1+r], x, sum)
			}
		})
		for r := range together {
			u.VADDPS(u.v(2*r+1), u.v(2*r), u.v(2*r))
			u.sum(u.v(2*r), u.v(2*r+1))
			u.VMOVSS(u.v(2*r).AsX(), operand.Mem{Base: out, Disp: 4 * r})
		}
		u.ADDQ(imm(4*together), out)
		u.SUBQ(imm(together), n)
		u.JMP(operand.LabelRef(loop))
		u.Label(done)
	}
	u.end()
}
