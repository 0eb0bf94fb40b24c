package learn

import (
	"fmt"
	"hash"
	"hash/fnv"

	"github.com/chewxy/hm"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// fused is a gorgonia operation that does in one pass what stock operations
// would need many for. It writes into memory of its own, made once, so that
// running a compiled graph again allocates next to nothing; only the live rows
// of the batch are computed.
type fused struct {
	name string
	// serial tells apart operations of one graph: gorgonia takes nodes with
	// equal hashes for the same node, and an operation with its own memory must
	// stand for exactly one.
	serial  int
	inputs  []tensor.Shape
	shape   tensor.Shape
	forward func(out []float32, in [][]float32)
	// backward makes the gradient nodes, one for each input; nil for inputs
	// that need none. A nil backward ends differentiation.
	backward func(in G.Nodes, out, grad *G.Node) (G.Nodes, error)
	wrt      []bool

	out  *tensor.Dense
	data []float32
	in   [][]float32
}

var _ G.SDOp = (*fused)(nil)

// matrix is the type of all nodes here.
func matrix() hm.Type { return G.TensorType{Dims: 2, Of: tensor.Float32} }

// Arity implements gorgonia.Op.
func (f *fused) Arity() int { return len(f.inputs) }

// Type implements gorgonia.Op: matrices to a matrix.
func (f *fused) Type() hm.Type {
	types := make([]hm.Type, len(f.inputs)+1)
	for i := range types {
		types[i] = matrix()
	}
	return hm.NewFnType(types...)
}

// InferShape implements gorgonia.Op. All shapes are known when the graph is
// built and are checked here, since a panic inside an operation, on
// gorgonia's own goroutine, could not be caught.
func (f *fused) InferShape(in ...G.DimSizer) (tensor.Shape, error) {
	for i, s := range in {
		got, ok := s.(tensor.Shape)
		if !ok || !got.Eq(f.inputs[i]) {
			return nil, fmt.Errorf("%s: input %d is %v, want %v", f.name, i, s, f.inputs[i])
		}
	}
	return f.shape, nil
}

// Do implements gorgonia.Op.
func (f *fused) Do(values ...G.Value) (out G.Value, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s: %v", f.name, r)
		}
	}()
	f.in = f.in[:0]
	for i, v := range values {
		data, ok := v.Data().([]float32)
		if !ok || len(data) != f.inputs[i].TotalSize() {
			return nil, fmt.Errorf("%s: input %d is not a float32 matrix %v", f.name, i, f.inputs[i])
		}
		f.in = append(f.in, data)
	}
	if f.out == nil {
		f.data = make([]float32, f.shape.TotalSize())
		f.out = tensor.New(tensor.WithShape(f.shape...), tensor.WithBacking(f.data))
	}
	f.forward(f.data, f.in)
	GiveWay()
	return f.out, nil
}

// DiffWRT implements gorgonia.SDOp.
func (f *fused) DiffWRT(int) []bool {
	if f.backward == nil {
		return nil
	}
	return f.wrt
}

// SymDiff implements gorgonia.SDOp.
func (f *fused) SymDiff(in G.Nodes, out, grad *G.Node) (G.Nodes, error) {
	return f.backward(in, out, grad)
}

// ReturnsPtr, CallsExtern and OverwritesInput implement gorgonia.Op: the
// output is memory of the operation and no input is ever overwritten.
func (f *fused) ReturnsPtr() bool     { return true }
func (f *fused) CallsExtern() bool    { return false }
func (f *fused) OverwritesInput() int { return -1 }

// WriteHash implements gorgonia.Op.
func (f *fused) WriteHash(h hash.Hash) { fmt.Fprintf(h, "%s#%d%v", f.name, f.serial, f.shape) }

// Hashcode implements gorgonia.Op.
func (f *fused) Hashcode() uint32 {
	h := fnv.New32a()
	f.WriteHash(h)
	return h.Sum32()
}

func (f *fused) String() string { return f.name }

// builder collects the operations of one graph and the first error, so that
// graphs read as formulas.
type builder struct {
	graph  *G.ExprGraph
	batch  *batch
	mul    products
	dim    int
	serial int
	err    error
}

// leaf is an input node over memory that the caller keeps: values are written
// in place before a run.
func (b *builder) leaf(name string, rows, cols int, data []float32) *G.Node {
	value := tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(data))
	return G.NewMatrix(b.graph, tensor.Float32, G.WithShape(rows, cols), G.WithName(name), G.WithValue(value))
}

// apply adds one operation to the graph.
func (b *builder) apply(f *fused, in ...*G.Node) *G.Node {
	if b.err != nil {
		return nil
	}
	b.serial++
	f.serial = b.serial
	for _, n := range in {
		f.inputs = append(f.inputs, n.Shape())
	}
	n, err := G.ApplyOp(f, in...)
	if err != nil {
		b.err = fmt.Errorf("build %s: %w", f.name, err)
		return nil
	}
	return n
}

// sink copies a node's value into dst when the graph runs. Without it the
// value of a gradient, which nothing else reads, may sit in a register that
// gorgonia uses again before the run ends.
func (b *builder) sink(n *G.Node, dst []float32) {
	b.apply(&fused{
		name: "sink", shape: tensor.Shape{1, 1},
		forward: func(_ []float32, in [][]float32) { copy(dst, in[0]) },
	}, n)
}
