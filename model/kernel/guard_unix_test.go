//go:build unix

package kernel

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// guarded returns n elements that end where an unreadable page begins, or, with front, that begin where one ends:
// a kernel that reaches beyond dies.
func guarded[T any](t testing.TB, n int, front bool) []T {
	t.Helper()
	page := unix.Getpagesize()
	var zero T
	size := n * int(unsafe.Sizeof(zero))
	inner := (size + page - 1) / page * page
	mem, err := unix.Mmap(-1, 0, inner+2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatalf("map %d bytes: %v", size, err)
	}
	t.Cleanup(func() {
		if err := unix.Munmap(mem); err != nil {
			t.Errorf("unmap: %v", err)
		}
	})
	for _, edge := range [][]byte{mem[:page], mem[page+inner:]} {
		if err := unix.Mprotect(edge, unix.PROT_NONE); err != nil {
			t.Fatalf("protect: %v", err)
		}
	}
	if n == 0 {
		return nil
	}
	at := page
	if !front {
		at += inner - size
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&mem[at])), n)
}
