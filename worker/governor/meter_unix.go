//go:build unix

package governor

import (
	"syscall"
	"time"
)

// CPUTime returns the CPU time that this process has used; false where the
// system does not tell.
func CPUTime() (time.Duration, bool) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, false
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), true
}
