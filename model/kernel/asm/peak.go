//go:build avo

package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
)

// peak writes loops that do nothing but multiply and add, with enough independent sums to fill the units.
func peak(c *build.Context) {
	for _, u := range units(c) {
		sums := 12
		if u.wide() {
			sums = 24
		}
		u.fn("fma", "(turns int)", "does 12 (AVX2) or 24 (AVX-512) fused multiplications and additions of whole vectors a turn, turns > 0.")
		for i := range sums + 2 {
			u.zero(u.v(i))
		}
		turns, loop := u.arg("turns"), u.label("loop")
		u.Label(loop)
		for i := range sums {
			u.VFMADD231PS(u.v(sums), u.v(sums+1), u.v(i))
		}
		u.SUBQ(imm(1), turns)
		u.JNZ(operand.LabelRef(loop))
		u.end()
	}
}
