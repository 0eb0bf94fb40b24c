//go:build linux && cgo

package cuda

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"unsafe"

	"github.com/nexus-continuum/nexus/model/cuda/device"
)

// List names the cards that the driver shows. Without a driver the error is ErrNoDriver.
func List(library string) ([]Info, error) {
	d, err := startDriver(library)
	if err != nil {
		return nil, err
	}
	var n int32
	switch c := d.cuDeviceGetCount(&n); c {
	case codeOK:
	case codeNoDevice:
		return nil, nil
	default:
		return nil, d.check("cuDeviceGetCount", c)
	}
	cards := make([]Info, n)
	for i := range cards {
		if cards[i], err = d.describe(i); err != nil {
			return nil, err
		}
	}
	return cards, nil
}

func startDriver(library string) (*driver, error) {
	if library == "" {
		library = Library
	}
	d, err := openDriver(library)
	if err != nil {
		return nil, err
	}
	c := d.cuInit(0)
	if c == codeNoDevice {
		return d, nil // there are none to count
	}
	return d, d.check("cuInit", c)
}

// Attributes of a device.
const (
	capabilityMajor = 75
	capabilityMinor = 76
)

func (d *driver) describe(ordinal int) (Info, error) {
	i := Info{Ordinal: ordinal}
	var dev, major, minor int32
	var name [256]byte
	var uuid [16]byte
	var memory uint64
	err := errors.Join(
		d.check("cuDeviceGet", d.cuDeviceGet(&dev, int32(ordinal))),
		d.check("cuDeviceGetName", d.cuDeviceGetName(&name[0], int32(len(name)), dev)),
		d.check("cuDeviceGetUuid", d.cuDeviceGetUuid(&uuid[0], dev)),
		d.check("cuDeviceTotalMem", d.cuDeviceTotalMem(&memory, dev)),
		d.check("cuDeviceGetAttribute", d.cuDeviceGetAttribute(&major, capabilityMajor, dev)),
		d.check("cuDeviceGetAttribute", d.cuDeviceGetAttribute(&minor, capabilityMinor, dev)),
	)
	if err != nil {
		return i, fmt.Errorf("describe card %d: %w", ordinal, err)
	}
	i.Name, i.MemoryMB = goString(unsafe.Pointer(&name[0])), int64(memory>>20)
	i.UUID = fmt.Sprintf("%x-%x-%x-%x-%x", uuid[:4], uuid[4:6], uuid[6:8], uuid[8:10], uuid[10:])
	i.Major, i.Minor, i.Capability = int(major), int(minor), fmt.Sprintf("%d.%d", major, minor)
	return i, nil
}

// Card is one card that is ready to compute. All methods may be called concurrently; the
// card takes one call after another, on one thread, since a context belongs to a thread.
type Card struct {
	Info
	limit  float64 // share of the memory, 0 to 1
	driver *driver
	calls  chan func()
	quit   chan struct{} // closed by Close
	ended  chan struct{} // closed when the thread has ended

	placing sync.Mutex // of Place

	// The thread alone uses what follows.
	ctx, stream uintptr
	kernels     map[string]uintptr
	room        map[address]uint64 // what is allocated
	net         *net
	rows        *resident
	batch       *batch
	scan        *scan
	failed      error // a driver error; nothing is tried after it
}

// Open makes a card ready. It fails with ErrNoDriver where there is none.
func Open(opt Options) (*Card, error) {
	d, err := startDriver(opt.Library)
	if err != nil {
		return nil, err
	}
	info, err := d.describe(opt.Ordinal)
	if err != nil {
		return nil, err
	}
	if why := info.Unsupported(); why != "" {
		return nil, fmt.Errorf("%w: %s", ErrNoDriver, why)
	}
	if opt.MemoryLimit == 0 {
		opt.MemoryLimit = 100
	}
	c := &Card{
		Info: info, limit: opt.MemoryLimit / 100, driver: d,
		calls: make(chan func()), quit: make(chan struct{}), ended: make(chan struct{}),
		kernels: map[string]uintptr{}, room: map[address]uint64{},
	}
	began := make(chan error)
	go c.run(began)
	if err := <-began; err != nil {
		<-c.ended
		return nil, fmt.Errorf("open card %d: %w", opt.Ordinal, err)
	}
	return c, nil
}

// run is the card's thread. It is never given back to other goroutines: it ends with its context.
func (c *Card) run(began chan<- error) {
	runtime.LockOSThread()
	defer close(c.ended)
	err := c.begin()
	began <- err
	for err == nil {
		select {
		case call := <-c.calls:
			call()
		case <-c.quit:
			// Everything that was allocated goes with the context. A failure could not be mended.
			c.batch.freePinned(c)
			c.driver.cuCtxDestroy(c.ctx)
			return
		}
	}
	if c.ctx != 0 {
		c.driver.cuCtxDestroy(c.ctx)
	}
}

func (c *Card) begin() error {
	d := c.driver
	var dev int32
	if err := d.check("cuDeviceGet", d.cuDeviceGet(&dev, int32(c.Ordinal))); err != nil {
		return err
	}
	if err := d.check("cuCtxCreate", d.cuCtxCreate(&c.ctx, blockingSync, dev)); err != nil {
		return err
	}
	if err := d.check("cuStreamCreate", d.cuStreamCreate(&c.stream, ownStream)); err != nil {
		return err
	}
	var module uintptr
	if err := d.check("cuModuleLoadData", d.cuModuleLoadData(&module, cString(device.PTX))); err != nil {
		return err
	}
	for _, name := range []string{kernelFlow, kernelLayer, kernelBest, kernelSegments, kernelSelect} {
		var f uintptr
		if err := d.check("cuModuleGetFunction "+name, d.cuModuleGetFunction(&f, module, cString(name))); err != nil {
			return err
		}
		c.kernels[name] = f
	}
	return nil
}

const (
	// blockingSync has waits sleep: a thread that spins would take a core from the others.
	blockingSync = 4
	// ownStream does not wait for the default stream.
	ownStream = 1
)

// Names of the kernels.
const (
	kernelFlow     = "encode_flow"
	kernelLayer    = "encode_layer"
	kernelBest     = "scan_best"
	kernelSegments = "scan_segments"
	kernelSelect   = "select_best"
)

// do runs f on the card's thread. After a driver error nothing runs any more.
func (c *Card) do(f func() error) error {
	done := make(chan error, 1)
	call := func() {
		if c.failed == nil {
			err := f()
			var broken *DriverError
			if errors.As(err, &broken) && code(broken.Code) != codeOutOfRoom {
				c.failed = err
			}
			done <- err
			return
		}
		done <- c.failed
	}
	select {
	case c.calls <- call:
		return <-done
	case <-c.quit:
		return ErrClosed
	}
}

// Close gives everything back. It must be called once; calls that come after it fail with
// ErrClosed.
func (c *Card) Close() {
	close(c.quit)
	<-c.ended
}

// launch starts a kernel on the card's stream.
func (c *Card) launch(name string, gridX, gridY, width int, args ...any) error {
	slots := make([]uint64, len(args))
	params := make([]unsafe.Pointer, len(args))
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&slots[0])
	for i, a := range args {
		switch v := a.(type) {
		case address:
			slots[i] = uint64(v)
		case int:
			slots[i] = uint64(v)
		case float32:
			*(*float32)(unsafe.Pointer(&slots[i])) = v
		default:
			panic(fmt.Sprintf("cuda: kernel argument of type %T", a))
		}
		params[i] = unsafe.Pointer(&slots[i])
	}
	d := c.driver
	return d.check("cuLaunchKernel "+name, d.cuLaunchKernel(c.kernels[name], uint32(gridX), uint32(gridY), 1, uint32(width), 1, 1, 0,
		c.stream, unsafe.Pointer(&params[0]), nil))
}

func (c *Card) wait() error {
	return c.driver.check("cuStreamSynchronize", c.driver.cuStreamSynchronize(c.stream))
}
