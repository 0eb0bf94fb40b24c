// Package chaos holds no code that runs in production. Its tests run the built
// program as several processes on a real Redis, take parts away under load, and
// hold what is left against what was promised: every acknowledged job ends, once
// and by steps that the state machine allows, and every acknowledged lesson
// answers. `go test` runs a short form, `make chaos` the long one.
package chaos
