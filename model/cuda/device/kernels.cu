// The kernels of the GPU, one program. See device.h for how the source is read.
//
// Matrices are row-major; [m×n] is m rows of n. The state size d is a multiple of 4.

#include "device.h"

#include "encode.cu"
#include "scan.cu"
