//go:build !unix

package governor

import "time"

// CPUTime returns the CPU time that this process has used; false where the
// system does not tell.
func CPUTime() (time.Duration, bool) { return 0, false }
