//go:build linux && cgo

package cuda

import (
	"fmt"
	"unsafe"
)

// number is what crosses to the card.
type number interface {
	~int32 | ~uint32 | ~uint64 | ~float32
}

// Usage is the memory of a card, in bytes.
type Usage struct {
	Ours, Used, Total uint64 // Used is by everybody
}

// Usage reads how full the card is.
func (c *Card) Usage() (u Usage, err error) {
	err = c.do(func() error {
		u, err = c.usage()
		return err
	})
	return u, err
}

func (c *Card) usage() (Usage, error) {
	var free, total uint64
	if err := c.driver.check("cuMemGetInfo", c.driver.cuMemGetInfo(&free, &total)); err != nil {
		return Usage{}, err
	}
	u := Usage{Used: total - free, Total: total}
	for _, n := range c.room {
		u.Ours += n
	}
	return u, nil
}

// reserve asks, before anything is allocated, whether bytes more stay within the limit.
// What others use of the card counts too.
func (c *Card) reserve(what string, bytes uint64) error {
	u, err := c.usage()
	if err != nil {
		return err
	}
	if most := c.limit * float64(u.Total); float64(u.Used)+float64(bytes) > most {
		return fmt.Errorf("%w: %s needs %d MB, and %d of %d MB are used, of which at most %.0f may be",
			ErrMemoryLimit, what, bytes>>20, u.Used>>20, u.Total>>20, most/(1<<20))
	}
	return nil
}

// allocate reserves memory and takes it. On failure nothing is held.
func allocate[T number](c *Card, what string, n int) (address, error) {
	bytes := uint64(max(n, 1)) * uint64(unsafe.Sizeof(*new(T)))
	if err := c.reserve(what, bytes); err != nil {
		return 0, err
	}
	var at address
	switch r := c.driver.cuMemAlloc(&at, bytes); r {
	case codeOK:
	case codeOutOfRoom: // others were faster
		return 0, fmt.Errorf("%w: %s needs %d MB and the card has no more", ErrMemoryLimit, what, bytes>>20)
	default:
		return 0, c.driver.check("cuMemAlloc", r)
	}
	c.room[at] = bytes
	return at, nil
}

// free gives memory back; 0 is none.
func (c *Card) free(all ...address) error {
	for _, at := range all {
		if at == 0 {
			continue
		}
		delete(c.room, at)
		if err := c.driver.check("cuMemFree", c.driver.cuMemFree(at)); err != nil {
			return err
		}
	}
	return nil
}

// upload copies data to the card and returns when it is there.
func upload[T number](c *Card, to address, data []T) error {
	if len(data) == 0 {
		return nil
	}
	bytes := uint64(len(data)) * uint64(unsafe.Sizeof(data[0]))
	return c.driver.check("cuMemcpyHtoD", c.driver.cuMemcpyHtoD(to, unsafe.Pointer(&data[0]), bytes))
}

// download copies from the card.
func download[T number](c *Card, to []T, from address) error {
	if len(to) == 0 {
		return nil
	}
	bytes := uint64(len(to)) * uint64(unsafe.Sizeof(to[0]))
	return c.driver.check("cuMemcpyDtoH", c.driver.cuMemcpyDtoH(unsafe.Pointer(&to[0]), from, bytes))
}

// put allocates memory and fills it with data.
func put[T number](c *Card, what string, data []T) (address, error) {
	at, err := allocate[T](c, what, len(data))
	if err != nil {
		return 0, err
	}
	return at, upload(c, at, data)
}

// pinned takes host memory that the card reads and writes by itself.
func pinned[T number](c *Card, n int) ([]T, error) {
	var at unsafe.Pointer
	bytes := uint64(n) * uint64(unsafe.Sizeof(*new(T)))
	if err := c.driver.check("cuMemAllocHost", c.driver.cuMemAllocHost(&at, bytes)); err != nil {
		return nil, err
	}
	return unsafe.Slice((*T)(at), n), nil
}

// freePinned gives pinned memory back; nil is none. A failure leaves it to the end of the process.
func freePinned[T number](c *Card, data []T) {
	if data != nil {
		c.driver.cuMemFreeHost(pointer(data))
	}
}

// pointer is where data begins.
func pointer[T number](data []T) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(data)) }
