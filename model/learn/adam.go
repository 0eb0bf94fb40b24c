package learn

import "math"

// Adam's decay rates and the term that keeps its quotient finite (Kingma and
// Ba, 1412.6980).
const (
	beta1   = 0.9
	beta2   = 0.999
	epsilon = 1e-8
)

// param is one dense matrix that is trained in place.
type param struct {
	name       string
	rows, cols int
	data       []float32
	grad       []float32
	m, v       []float32 // first and second moments
}

func newParam(name string, rows, cols int, data []float32) *param {
	return &param{
		name: name, rows: rows, cols: cols, data: data,
		grad: make([]float32, len(data)), m: make([]float32, len(data)), v: make([]float32, len(data)),
	}
}

// adam is the rule of one step: rate with the bias correction worked in.
type adam struct {
	rate, root float32
}

// newAdam makes the rule of step number step, counted from 1.
func newAdam(rate float64, step int) adam {
	c1, c2 := 1-math.Pow(beta1, float64(step)), 1-math.Pow(beta2, float64(step))
	return adam{rate: float32(rate / c1), root: float32(1 / math.Sqrt(c2))}
}

// update moves data against grad.
func (a adam) update(data, grad, m, v []float32) {
	grad, m, v = grad[:len(data)], m[:len(data)], v[:len(data)]
	for i, g := range grad {
		mi := beta1*m[i] + (1-beta1)*g
		vi := beta2*v[i] + (1-beta2)*g*g
		m[i], v[i] = mi, vi
		data[i] -= a.rate * mi / (sqrt(vi)*a.root + epsilon)
	}
}

// sqrt compiles to one instruction.
func sqrt(v float32) float32 { return float32(math.Sqrt(float64(v))) }
