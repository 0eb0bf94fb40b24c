package learn

import (
	"errors"

	G "gorgonia.org/gorgonia"

	"github.com/nexus-continuum/nexus/model/kernel"
)

// implicit takes the exact gradient through the fixed point, with memory that
// does not grow with its depth. With L the loss and J = ∂f/∂z at the fixed
// point, v = ∂L/∂z* + Jᵀv is solved by the same kind of iteration as the flow,
// Jᵀ contracting as J does, and ∂L/∂θ = vᵀ ∂f/∂θ.
type implicit struct {
	t      *Trainer
	head   *machine // z* to the loss, and back to ∂L/∂z*
	state  *machine // v to Jᵀv
	params *machine // v to the gradients of the cell and of x through it

	v      []float32 // [rows×d] shared by state and params
	steps  int
	thresh float32
}

func (t *Trainer) newImplicit(rows int) (*implicit, error) {
	s := &implicit{t: t, v: make([]float32, rows*t.dim), steps: t.opt.MaxSteps, thresh: t.opt.Threshold}
	var err error
	if s.head, err = t.newHeadMachine(rows); err != nil {
		return nil, err
	}
	if s.state, err = t.newCellMachine(rows, s, true); err != nil {
		return nil, err
	}
	if s.params, err = t.newCellMachine(rows, s, false); err != nil {
		return nil, err
	}
	return s, nil
}

// newHeadMachine makes the graph from the settled states to the loss.
func (t *Trainer) newHeadMachine(rows int) (*machine, error) {
	b, m := t.newBuilder(), t.newMachine(rows)
	m.dz = make([]float32, rows*t.dim)
	x, z := b.leaf("x", rows, t.dim, m.x), b.leaf("z", rows, t.dim, m.z)
	wrt, into := G.Nodes{x, z}, [][]float32{m.dx, m.dz}
	for _, p := range []*param{t.head, t.prototypes, t.scale} {
		wrt, into = append(wrt, p.leaf(b)), append(into, p.grad)
	}
	loss := t.loss(b, m, x, z, wrt[2], wrt[3], wrt[4])
	b.backward(loss, b.one(), wrt, into)
	b.sink(loss, m.loss)
	return b.compile(m)
}

// newCellMachine makes the vector-Jacobian graph ⟨f(z*, x), v⟩ of the cell,
// back to z* or else to x and the matrices. It shares x and z with the head.
func (t *Trainer) newCellMachine(rows int, s *implicit, toState bool) (*machine, error) {
	d := t.dim
	b := t.newBuilder()
	m := &machine{rows: rows, x: s.head.x, z: s.head.z, dx: make([]float32, rows*d), dz: make([]float32, rows*d)}
	x, z, v := b.leaf("x", rows, d, m.x), b.leaf("z", rows, d, m.z), b.leaf("v", rows, d, s.v)
	wrt, into := G.Nodes{x}, [][]float32{m.dx}
	var leaves G.Nodes
	for _, p := range t.arch.params() {
		leaves, into = append(leaves, p.leaf(b)), append(into, p.grad)
	}
	f := b.cell(z, b.affine(b.layerNorm(x), leaves[1], leaves[2]), leaves[0], toState, !toState)
	if toState {
		wrt, into = G.Nodes{z}, [][]float32{m.dz}
	} else {
		wrt = append(wrt, leaves...)
	}
	b.backward(f, v, wrt, into)
	return b.compile(m)
}

func (s *implicit) inputs() *machine { return s.head }

func (s *implicit) step() error {
	if err := s.head.run(); err != nil {
		return err
	}
	n := s.t.batch.rows * s.t.dim
	v, given, jv := s.v[:n], s.head.dz[:n], s.state.dz[:n]
	copy(v, given)
	for range s.steps {
		if err := s.state.run(); err != nil {
			return err
		}
		kernel.Axpy(1, given, jv)
		kernel.Axpy(-1, jv, v)
		change := kernel.Norm(v)
		copy(v, jv)
		if change <= s.thresh*kernel.Norm(v) {
			break
		}
	}
	if err := s.params.run(); err != nil {
		return err
	}
	kernel.Axpy(1, s.params.dx[:n], s.head.dx[:n])
	return nil
}

func (s *implicit) close() error {
	return errors.Join(s.head.close(), s.state.close(), s.params.close())
}
