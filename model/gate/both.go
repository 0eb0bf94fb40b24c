package gate

import _ "embed"

// bothTable is what a deployment starts from whose prompts are seen by two encoders;
// `make calibration-both` makes it.
//
//go:embed both.bin
var bothTable string

// both is bothTable, read. As of the own default, one that cannot be read answers
// nothing.
var both = func() Default {
	d, err := OpenDefault([]byte(bothTable))
	if err != nil {
		return Default{Stretch: Stretch{A: 1}}
	}
	return d
}()

// NewBoth is New for vectors of two encoders.
func NewBoth(alpha float64) *Gate { return both.Calibrate(nil, alpha) }

// CalibrateBoth is Calibrate for vectors of two encoders.
func CalibrateBoth(records []Record, alpha float64) *Gate { return both.Calibrate(records, alpha) }

// OpenBoth is Open for vectors of two encoders.
func OpenBoth(alpha float64, data []byte) (*Gate, error) { return both.Open(alpha, data) }
