//go:build !amd64

package peak

func run(int, int) bool { return false }
