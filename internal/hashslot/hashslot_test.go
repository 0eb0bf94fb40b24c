package hashslot

import "testing"

// Any number of names lies evenly over any number of nodes.
func TestNamesLieEvenly(t *testing.T) {
	t.Parallel()
	if got := Of("123456789"); got != 0x31c3 { // the specification's example
		t.Errorf("the slot of 123456789 is %#x", got)
	}
	for nodes := 2; nodes <= 8; nodes++ {
		for n := nodes; n <= 64; n *= 2 {
			on := make([]int, nodes)
			for i := range n {
				on[int(Of(Spread("interactive", i)))*nodes/Slots]++
			}
			for node, names := range on {
				if names > n/nodes+2 || names < n/nodes-1 {
					t.Errorf("of %d names node %d of %d has %d", n, node, nodes, names)
				}
			}
		}
	}
}
