package pretrain

import (
	"math"

	"github.com/nexus-continuum/nexus/model/kernel"
)

func add(dst, x []float32) { kernel.Axpy(1, x, dst) }

// mask lists, for each pair, the other pairs that are no contrast to it since
// they share a text or a group.
type mask struct{ like map[int][]int32 }

func newMask(d *draw) mask {
	m := mask{map[int][]int32{}}
	byA, byB := map[uint64][]int32{}, map[uint64][]int32{}
	for i := range d.keysA {
		byA[d.keysA[i]] = append(byA[d.keysA[i]], int32(i))
		byB[d.keysB[i]] = append(byB[d.keysB[i]], int32(i))
	}
	for _, by := range []map[uint64][]int32{byA, byB} {
		for _, same := range by {
			for _, i := range same {
				for _, j := range same {
					if i != j {
						m.like[int(i)] = append(m.like[int(i)], j)
					}
				}
			}
		}
	}
	return m
}

func (m mask) of(i int) []int32 { return m.like[i] }

// exp is e^x for −87 < x ≤ 0 to about 2e-7 relative: 2^k times a polynomial of
// degree six on |r| ≤ ln2/2. Below that range it is zero.
func exp(x float32) float32 {
	if x < -87 {
		return 0
	}
	const log2e, ln2hi, ln2lo = 1.44269504088896341, 0.693145751953125, 1.42860682030941723e-6
	k := float32(int32(x*log2e - 0.5))
	r := x - k*ln2hi - k*ln2lo
	p := 1 + r*(1+r*(0.5+r*(1.0/6+r*(1.0/24+r*(1.0/120+r*(1.0/720))))))
	return p * math.Float32frombits(uint32(int32(k)+127)<<23)
}
