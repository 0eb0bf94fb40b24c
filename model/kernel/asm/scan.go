//go:build avo

package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// panelRows is the number of rows in a panel: 256 bytes for each four columns.
const panelRows = 64

// vnniQueries is the most queries of one tile: 24 accumulators, four vectors of rows, one of the query.
const vnniQueries = 6

func scans(c *build.Context) {
	all := units(c)
	all[0].scanVNNI()
	all[1].scanMadd()
	for _, u := range all {
		u.above()
		u.aboveColumns()
	}
}

// scanVNNI multiplies bytes of rows (unsigned) with bytes of queries (signed), four columns an instruction.
func (u unit) scanVNNI() {
	u.suffix = "VNNI"
	u.fn("scanPanels", "(scores *float32, ld uintptr, panels *uint8, scales *float32, "+
		"quant *int8, width uintptr, excess *int32, queries, n int)",
		"scores n panels of rows for 1 to 6 queries; ld in bytes, width a multiple of 4.")
	queries := u.arg("queries")
	bodies := make([]string, vnniQueries+1)
	for m := vnniQueries; m > 1; m-- {
		bodies[m] = u.label("queries")
		u.CMPQ(queries, imm(m))
		u.JEQ(operand.LabelRef(bodies[m]))
	}
	for m := 1; m <= vnniQueries; m++ {
		if m > 1 {
			u.Label(bodies[m])
		}
		u.tileVNNI(m)
		u.end()
	}
}

func (u unit) tileVNNI(queries int) {
	const vectors = 4
	parts := 1
	if queries == 1 {
		parts = 2 // four sums would wait for each other
	}
	acc := func(part, q, j int) reg.VecPhysical { return u.v((part*queries+q)*vectors + j) }
	rows := func(j int) reg.VecPhysical { return u.v(24 + j) }
	columns := u.v(28)

	panel, scales, scores, panels := u.arg("panels"), u.arg("scales"), u.arg("scores"), u.arg("n")
	width, ld := u.arg("width"), u.arg("ld")
	loop := u.label("panel")
	u.Label(loop)
	for i := range parts * queries * vectors {
		u.zero(u.v(i))
	}
	// One pointer with width as index reaches three queries.
	quant := []reg.GPVirtual{u.arg("quant")}
	if queries > 3 {
		next := u.GP64()
		u.LEAQ(operand.Mem{Base: quant[0], Index: width, Scale: 2}, next)
		u.ADDQ(width, next)
		quant = append(quant, next)
	}
	step := func(g int) {
		for j := range vectors {
			u.VMOVDQU32(operand.Mem{Base: panel, Disp: (g*vectors + j) * u.bytes}, rows(j))
		}
		for q := range queries {
			from := operand.Mem{Base: quant[q/3], Disp: 4 * g}
			if q%3 > 0 {
				from.Index, from.Scale = width, uint8(q%3)
			}
			u.VPBROADCASTD(from, columns)
			for j := range vectors {
				u.VPDPBUSD(columns, rows(j), acc(g%parts, q, j))
			}
		}
	}
	advance := func(steps int) {
		u.ADDQ(imm(steps*vectors*u.bytes), panel)
		for _, p := range quant {
			u.ADDQ(imm(4*steps), p)
		}
	}
	const unroll = 2
	n := u.GP64()
	u.MOVQ(width, n)
	u.SHRQ(imm(2), n)
	turn, rest, done := u.label("turn"), u.label("rest"), u.label("done")
	u.SUBQ(imm(unroll), n)
	u.JLT(operand.LabelRef(rest))
	u.Label(turn)
	for g := range unroll {
		step(g)
	}
	advance(unroll)
	u.SUBQ(imm(unroll), n)
	u.JGE(operand.LabelRef(turn))
	u.Label(rest)
	u.ADDQ(imm(unroll), n)
	u.JZ(operand.LabelRef(done))
	step(0)
	advance(1)
	u.Label(done)

	excess, out := u.arg("excess"), u.GP64()
	u.MOVQ(scores, out)
	for q := range queries {
		u.VPBROADCASTD(operand.Mem{Base: excess, Disp: 4 * q}, columns)
		for j := range vectors {
			a := acc(0, q, j)
			if parts == 2 {
				u.VPADDD(acc(1, q, j), a, a)
			}
			u.finish(a, columns, operand.Mem{Base: scales, Disp: j * u.bytes}, operand.Mem{Base: out, Disp: j * u.bytes})
		}
		if q+1 < queries {
			u.ADDQ(ld, out)
		}
	}
	u.ADDQ(imm(4*panelRows), scales)
	u.ADDQ(imm(4*panelRows), scores)
	u.DECQ(panels)
	u.JNZ(operand.LabelRef(loop))
}

// finish turns sums of products of bytes into scores.
func (u unit) finish(sums, excess reg.VecPhysical, scales, out operand.Mem) {
	u.VPSUBD(excess, sums, sums)
	u.VCVTDQ2PS(sums, sums)
	u.VMULPS(scales, sums, sums)
	u.VMOVUPS(sums, out)
}

// scanMadd widens the bytes to 16 bits, since the products of unsigned and signed bytes would saturate there in pairs. A vector of sums
// holds four rows, two halves each; half a panel fills eight of them.
func (u unit) scanMadd() {
	const sums = panelRows / 2 / 4
	u.fn("scanPanels", "(scores *float32, panels *uint8, scales *float32, quant *int8, width uintptr, excess *int32, n int)",
		"scores n panels of rows for one query; width is a multiple of 4.")
	panel, scales, scores, panels, width := u.arg("panels"), u.arg("scales"), u.arg("scores"), u.arg("n"), u.arg("width")
	columns, products, excess := u.v(8), u.v(9), u.v(14)
	u.VPBROADCASTD(operand.Mem{Base: u.arg("excess")}, excess)
	u.ADDQ(panels, panels)
	loop, half := u.label("half"), u.GP64()
	u.XORQ(half, half)
	u.Label(loop)
	for i := range sums {
		u.zero(u.v(i))
	}
	q, n, at := u.arg("quant"), u.GP64(), u.GP64()
	u.MOVQ(width, n)
	u.MOVQ(panel, at)
	turn := u.label("turn")
	u.Label(turn)
	u.VPBROADCASTD(operand.Mem{Base: q}, columns.AsX())
	u.VPMOVSXBW(columns.AsX(), columns)
	for i := range sums {
		u.VPMOVZXBW(operand.Mem{Base: at, Disp: 16 * i}, products)
		u.VPMADDWD(columns, products, products)
		u.VPADDD(products, u.v(i), u.v(i))
	}
	u.ADDQ(imm(4*panelRows), at)
	u.ADDQ(imm(4), q)
	u.SUBQ(imm(4), n)
	u.JNZ(operand.LabelRef(turn))
	for i := 0; i < sums; i += 2 {
		s := u.v(i)
		u.VPHADDD(u.v(i+1), s, s)
		u.VPERMQ(operand.U8(0b11_01_10_00), s, s)
		disp := i / 2 * u.bytes
		u.finish(s, excess, operand.Mem{Base: scales, Disp: disp}, operand.Mem{Base: scores, Disp: disp})
	}
	u.ADDQ(imm(2*panelRows), scales)
	u.ADDQ(imm(2*panelRows), scores)
	// The second half of a panel begins 128 bytes after the first; the next panel where this one's last column group ends.
	second := u.label("second")
	u.ADDQ(imm(2*panelRows), panel)
	u.XORQ(imm(1), half)
	u.JNZ(operand.LabelRef(second))
	u.MOVQ(at, panel)
	u.SUBQ(imm(2*panelRows), panel)
	u.Label(second)
	u.DECQ(panels)
	u.JNZ(operand.LabelRef(loop))
	u.end()
}

// greater is the predicate of comparisons: greater than, false for NaN, quiet.
const greater = 0x1e

// compare sets the bits of mask where v exceeds limit.
func (u unit) compare(limit, v reg.VecPhysical, mask reg.GPVirtual, t reg.VecPhysical) {
	if u.wide() {
		u.VCMPPS(operand.U8(greater), limit, v, reg.K1)
		u.KMOVW(reg.K1, mask.As32())
		return
	}
	u.VCMPPS(operand.U8(greater), limit, v, t)
	u.VMOVMSKPS(t, mask.As32())
}

func (u unit) above() {
	u.fn("above", "(words *uint64, n int, scores *float32, floor float32)", "sets the bits of n words where scores, 64 a word, exceed floor.")
	u.spread("floor", u.v(0))
	words, n, scores := u.arg("words"), u.arg("n"), u.arg("scores")
	loop := u.label("loop")
	u.Label(loop)
	word, part := u.GP64(), u.GP64()
	u.XORQ(word, word)
	for at := panelRows - u.floats(); at >= 0; at -= u.floats() {
		u.VMOVUPS(operand.Mem{Base: scores, Disp: 4 * at}, u.v(1))
		u.compare(u.v(0), u.v(1), part, u.v(2))
		u.SHLQ(imm(u.floats()), word)
		u.ORQ(part, word)
	}
	u.MOVQ(word, operand.Mem{Base: words})
	u.ADDQ(imm(8), words)
	u.ADDQ(imm(4*panelRows), scores)
	u.DECQ(n)
	u.JNZ(operand.LabelRef(loop))
	u.end()
}

func (u unit) aboveColumns() {
	const columns = 32
	vectors := columns / u.floats()
	u.fn("aboveColumns", "(masks *uint32, n int, scores, floors *float32)",
		"sets the bits of n masks where scores, 32 a mask, exceed their floors.")
	floors := u.arg("floors")
	for j := range vectors {
		u.VMOVUPS(operand.Mem{Base: floors, Disp: j * u.bytes}, u.v(j))
	}
	masks, n, scores := u.arg("masks"), u.arg("n"), u.arg("scores")
	loop := u.label("loop")
	u.Label(loop)
	mask, part := u.GP64(), u.GP64()
	u.XORL(mask.As32(), mask.As32())
	for j := vectors - 1; j >= 0; j-- {
		u.VMOVUPS(operand.Mem{Base: scores, Disp: j * u.bytes}, u.v(8))
		u.compare(u.v(j), u.v(8), part, u.v(9))
		u.SHLL(imm(u.floats()), mask.As32())
		u.ORL(part.As32(), mask.As32())
	}
	u.MOVL(mask.As32(), operand.Mem{Base: masks})
	u.ADDQ(imm(4), masks)
	u.ADDQ(imm(4*columns), scores)
	u.DECQ(n)
	u.JNZ(operand.LabelRef(loop))
	u.end()
}
