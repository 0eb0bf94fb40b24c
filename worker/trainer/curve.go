package trainer

import "math"

// curvePoints is how many points of the loss a job keeps at most.
const curvePoints = 64

// curve keeps the loss of a session's steps as means of runs of equal length, which
// grow with the session.
type curve struct {
	points    []float64
	length, n int // steps a point, and in the open one
	sum       float64
}

func (c *curve) add(loss float64) {
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		return
	}
	c.length = max(c.length, 1)
	c.sum += loss
	if c.n++; c.n < c.length {
		return
	}
	c.points = append(c.points, c.sum/float64(c.n))
	c.sum, c.n = 0, 0
	if len(c.points) < curvePoints {
		return
	}
	for i := range curvePoints / 2 {
		c.points[i] = (c.points[2*i] + c.points[2*i+1]) / 2
	}
	c.points, c.length = c.points[:curvePoints/2], 2*c.length
}

// losses are the points, the open one included, with four decimals.
func (c *curve) losses() []float64 {
	out := make([]float64, len(c.points), len(c.points)+1)
	copy(out, c.points)
	if c.n > 0 {
		out = append(out, c.sum/float64(c.n))
	}
	for i := range out {
		out[i] = math.Round(out[i]*1e4) / 1e4
	}
	return out
}
