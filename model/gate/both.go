package gate

// both is what a deployment starts from whose prompts are seen by two encoders.
var both = shipped

// NewBoth is New for vectors of two encoders.
func NewBoth(alpha float64) *Gate { return both.Calibrate(nil, alpha) }

// CalibrateBoth is Calibrate for vectors of two encoders.
func CalibrateBoth(records []Record, alpha float64) *Gate { return both.Calibrate(records, alpha) }

// OpenBoth is Open for vectors of two encoders.
func OpenBoth(alpha float64, data []byte) (*Gate, error) { return both.Open(alpha, data) }
