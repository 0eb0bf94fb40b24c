// Package device holds the program of the GPU: its source, and what clang made of it.
package device

import "embed"

//go:generate ./make.sh

// PTX is the program in NVIDIA's intermediate language, for compute capability 7.5 and
// later. The driver compiles it for the card when it is loaded.
//
//go:embed kernels.ptx
var PTX string

// Source is what PTX was made from. The tests compile it for the host.
//
//go:embed device.h kernels.cu encode.cu scan.cu
var Source embed.FS
