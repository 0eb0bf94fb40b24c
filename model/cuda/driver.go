//go:build linux && cgo

package cuda

import (
	"fmt"
	"unsafe"

	"github.com/ebitengine/purego"
)

// driver is the part of the driver API that is used. Names and arguments are those of
// NVIDIA's documentation; a device address is a number here, as it is there.
type driver struct {
	cuInit                     func(flags uint32) code
	cuDeviceGetCount           func(n *int32) code
	cuDeviceGet                func(device *int32, ordinal int32) code
	cuDeviceGetName            func(name *byte, size int32, device int32) code
	cuDeviceTotalMem           func(bytes *uint64, device int32) code
	cuDeviceGetAttribute       func(value *int32, attribute, device int32) code
	cuDeviceGetUuid            func(uuid *byte, device int32) code
	cuCtxCreate                func(ctx *uintptr, flags uint32, device int32) code
	cuCtxDestroy               func(ctx uintptr) code
	cuGetErrorName             func(c code, name *unsafe.Pointer) code
	cuMemGetInfo               func(free, total *uint64) code
	cuMemAlloc                 func(at *address, bytes uint64) code
	cuMemFree                  func(at address) code
	cuMemAllocHost             func(at *unsafe.Pointer, bytes uint64) code
	cuMemFreeHost              func(at unsafe.Pointer) code
	cuMemcpyHtoD               func(to address, from unsafe.Pointer, bytes uint64) code
	cuMemcpyDtoH               func(to unsafe.Pointer, from address, bytes uint64) code
	cuMemcpyHtoDAsync          func(to address, from unsafe.Pointer, bytes uint64, stream uintptr) code
	cuMemcpyDtoHAsync          func(to unsafe.Pointer, from address, bytes uint64, stream uintptr) code
	cuStreamCreate             func(stream *uintptr, flags uint32) code
	cuStreamSynchronize        func(stream uintptr) code
	cuStreamBeginCapture       func(stream uintptr, mode int32) code
	cuStreamEndCapture         func(stream uintptr, graph *uintptr) code
	cuGraphInstantiateWithFlag func(exec *uintptr, graph uintptr, flags uint64) code
	cuGraphDestroy             func(graph uintptr) code
	cuGraphExecDestroy         func(exec uintptr) code
	cuGraphLaunch              func(exec, stream uintptr) code
	cuModuleLoadData           func(module *uintptr, image *byte) code
	cuModuleGetFunction        func(function *uintptr, module uintptr, name *byte) code
	cuLaunchKernel             func(function uintptr, gx, gy, gz, bx, by, bz, shared uint32, stream uintptr, params, extra unsafe.Pointer) code
}

// address is a place in the memory of a card.
type address uint64

// code is what a call of the driver returns.
type code int32

// Codes that are told apart.
const (
	codeOK         code = 0
	codeOutOfRoom  code = 2
	codeNoDevice   code = 100
	codeBadOrdinal code = 101
)

// openDriver opens the library and finds all of its functions.
func openDriver(library string) (*driver, error) {
	lib, err := purego.Dlopen(library, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoDriver, err)
	}
	d := &driver{}
	for name, f := range map[string]any{
		"cuInit": &d.cuInit, "cuDeviceGetCount": &d.cuDeviceGetCount, "cuDeviceGet": &d.cuDeviceGet,
		"cuDeviceGetName": &d.cuDeviceGetName, "cuDeviceTotalMem_v2": &d.cuDeviceTotalMem,
		"cuDeviceGetAttribute": &d.cuDeviceGetAttribute, "cuDeviceGetUuid_v2": &d.cuDeviceGetUuid,
		"cuCtxCreate_v2": &d.cuCtxCreate, "cuCtxDestroy_v2": &d.cuCtxDestroy, "cuGetErrorName": &d.cuGetErrorName,
		"cuMemGetInfo_v2": &d.cuMemGetInfo, "cuMemAlloc_v2": &d.cuMemAlloc, "cuMemFree_v2": &d.cuMemFree,
		"cuMemAllocHost_v2": &d.cuMemAllocHost, "cuMemFreeHost": &d.cuMemFreeHost,
		"cuMemcpyHtoD_v2": &d.cuMemcpyHtoD, "cuMemcpyDtoH_v2": &d.cuMemcpyDtoH,
		"cuMemcpyHtoDAsync_v2": &d.cuMemcpyHtoDAsync, "cuMemcpyDtoHAsync_v2": &d.cuMemcpyDtoHAsync,
		"cuStreamCreate": &d.cuStreamCreate, "cuStreamSynchronize": &d.cuStreamSynchronize,
		"cuStreamBeginCapture_v2": &d.cuStreamBeginCapture, "cuStreamEndCapture": &d.cuStreamEndCapture,
		"cuGraphInstantiateWithFlags": &d.cuGraphInstantiateWithFlag, "cuGraphDestroy": &d.cuGraphDestroy,
		"cuGraphExecDestroy": &d.cuGraphExecDestroy, "cuGraphLaunch": &d.cuGraphLaunch,
		"cuModuleLoadData": &d.cuModuleLoadData, "cuModuleGetFunction": &d.cuModuleGetFunction,
		"cuLaunchKernel": &d.cuLaunchKernel,
	} {
		symbol, err := purego.Dlsym(lib, name)
		if err != nil {
			return nil, fmt.Errorf("%w: it is too old: %w", ErrNoDriver, err)
		}
		purego.RegisterFunc(f, symbol)
	}
	return d, nil
}

// check makes an error of a failed call.
func (d *driver) check(call string, c code) error {
	if c == codeOK {
		return nil
	}
	name := fmt.Sprintf("error %d", c)
	var at unsafe.Pointer
	if d.cuGetErrorName(c, &at) == codeOK && at != nil {
		name = goString(at)
	}
	return &DriverError{Call: call, Code: int(c), Name: name}
}

// goString reads a C string.
func goString(at unsafe.Pointer) string {
	n := 0
	for *(*byte)(unsafe.Add(at, n)) != 0 {
		n++
	}
	return string(unsafe.Slice((*byte)(at), n))
}

// cString is s with a zero byte at its end.
func cString(s string) *byte {
	b := append([]byte(s), 0)
	return &b[0]
}
