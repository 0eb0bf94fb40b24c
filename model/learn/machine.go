package learn

import (
	"fmt"

	G "gorgonia.org/gorgonia"
)

// machine is one compiled graph with room for a number of rows, and the memory
// of its inputs and of the gradient of x. Graphs have fixed shapes; a run
// computes the live rows only.
type machine struct {
	rows int
	vm   G.VM

	x    []float32 // [rows×d] vectors of the words, borders zero
	dx   []float32 // [rows×d] their gradient
	z    []float32 // [rows×d] states from outside the graph
	dz   []float32 // [rows×d] their gradient, where it is asked for
	mask []float32 // [batch×3d] dropout of the input of the head
	loss []float32 // [1]
}

// run executes the graph once.
func (m *machine) run() error {
	m.vm.Reset()
	if err := m.vm.RunAll(); err != nil {
		return fmt.Errorf("run training graph of %d rows: %w", m.rows, err)
	}
	return nil
}

func (m *machine) close() error {
	if err := m.vm.Close(); err != nil {
		return fmt.Errorf("close training graph of %d rows: %w", m.rows, err)
	}
	return nil
}

// rowClass is the number of rows that graphs for this many rows are made for:
// few classes, at most half of each unused.
func rowClass(rows int) int {
	class := 128
	for class < rows {
		class *= 2
	}
	return class
}

// leaf makes the node of p over its shared memory. Every graph has a tensor
// header of its own: gorgonia changes headers in place.
func (p *param) leaf(b *builder) *G.Node { return b.leaf(p.name, p.rows, p.cols, p.data) }

// backward differentiates out, weighted by seed (of the shape of out), and has
// the gradients copied out when the graph runs.
func (b *builder) backward(out, seed *G.Node, wrt G.Nodes, into [][]float32) {
	if b.err != nil {
		return
	}
	grads, err := G.Backpropagate(G.Nodes{out}, G.Nodes{seed}, wrt)
	if err != nil {
		b.err = fmt.Errorf("differentiate %v: %w", out, err)
		return
	}
	for i, g := range grads {
		b.sink(g, into[i])
	}
}

// compile turns the graph into a machine's program.
func (b *builder) compile(m *machine) (*machine, error) {
	if b.err != nil {
		return nil, b.err
	}
	m.vm = G.NewTapeMachine(b.graph)
	return m, nil
}

// one is the leaf [1×1] that holds 1.
func (b *builder) one() *G.Node { return b.leaf("one", 1, 1, []float32{1}) }
