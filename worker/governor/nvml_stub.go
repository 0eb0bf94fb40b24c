//go:build !(cgo && linux)

package governor

import "github.com/nexus-continuum/nexus/telemetry/heartbeat"

// gpus stands in where NVML cannot be built: it needs cgo and Linux.
type gpus struct{}

func findGPUs() *gpus { return &gpus{} }

func (*gpus) close() {}

func (*gpus) sample() ([]GPU, error) { return nil, nil }

func (*gpus) describe() ([]heartbeat.GPU, string) {
	return []heartbeat.GPU{}, "this binary was built without cgo, which NVML needs"
}
