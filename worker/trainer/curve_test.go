package trainer

import "testing"

// However many steps there are, the curve keeps their shape in few points.
func TestLossCurve(t *testing.T) {
	t.Parallel()
	for _, steps := range []int{1, 63, 64, 65, 1000, 100_000} {
		var c curve
		for i := range steps {
			c.add(float64(steps - i))
		}
		got := c.losses()
		if len(got) == 0 || len(got) > curvePoints {
			t.Fatalf("%d steps: %d points", steps, len(got))
		}
		for i := 1; i < len(got); i++ {
			if got[i] >= got[i-1] {
				t.Errorf("%d steps: point %d is %v after %v", steps, i, got[i], got[i-1])
			}
		}
		if steps > 1 && (got[0] < 0.9*float64(steps) || got[len(got)-1] > 0.1*float64(steps)+1) {
			t.Errorf("%d steps: from %v to %v", steps, got[0], got[len(got)-1])
		}
	}
}
