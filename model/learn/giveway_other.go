//go:build !linux

package learn

import "runtime"

// GiveWay lets other goroutines that are ready run first.
func GiveWay() { runtime.Gosched() }
