package main

import "time"

// clockOffset moves the clock of this process. Only the linker sets it, for
// tests of hosts whose clocks disagree (-X main.clockOffset=5m).
var clockOffset string

// clock is what every part of this process is told the time by.
func clock() func() time.Time {
	offset, err := time.ParseDuration(clockOffset)
	if err != nil || offset == 0 {
		return time.Now
	}
	return func() time.Time { return time.Now().Add(offset) }
}
