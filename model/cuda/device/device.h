// One source, two programs. Compiled as CUDA C++ the kernels run on a GPU. Compiled
// as C they run on the host, where a block's threads are rounds of a loop; the tests
// compare that program with the Go reference, so no GPU is needed for them.
//
// A kernel is a sequence of phases. THREADS(t) { … } runs its body once for each
// thread t of the block, and all have ended before the next phase begins. Code between
// phases must be the same for all threads of a block: it may read shared memory, but
// not write it. What a thread keeps from one phase to the next is declared with
// PER_THREAD and read with MINE.

#ifndef NEXUS_DEVICE_H
#define NEXUS_DEVICE_H

typedef unsigned int u32;
typedef unsigned long long u64;
typedef float vec4 __attribute__((vector_size(16)));

#ifdef __CUDA__

#define KERNEL extern "C" __attribute__((global)) void
#define INLINE static inline __attribute__((device))
#define SHARED __attribute__((shared))
#define UNROLL _Pragma("unroll")

#define BLOCK_X ((int)__nvvm_read_ptx_sreg_ctaid_x())
#define BLOCK_Y ((int)__nvvm_read_ptx_sreg_ctaid_y())
#define WIDTH ((int)__nvvm_read_ptx_sreg_ntid_x())

#define THREADS(t) \
	for (int t = (int)__nvvm_read_ptx_sreg_tid_x(), once_##t = 1; once_##t; once_##t = 0, __syncthreads())
#define PER_THREAD(type, name, n) type name[n]
#define MINE(name, t) (name)

INLINE float root(float x) { return __nvvm_sqrt_rn_f(x); }
INLINE u32 bits_of(float x) { return __builtin_bit_cast(u32, x); }
INLINE float float_of(u32 b) { return __builtin_bit_cast(float, b); }

#else

#include <math.h>
#include <string.h>

#define KERNEL void
#define INLINE static inline
#define SHARED static
#define UNROLL

// MOST_THREADS is the largest block that the host runs.
#define MOST_THREADS 1024

extern int nx_block_x, nx_block_y, nx_width;
#define BLOCK_X nx_block_x
#define BLOCK_Y nx_block_y
#define WIDTH nx_width

#define THREADS(t) for (int t = 0; t < nx_width; t++)
#define PER_THREAD(type, name, n) static type name[MOST_THREADS][n]
#define MINE(name, t) (name[t])

INLINE float root(float x) { return sqrtf(x); }
INLINE u32 bits_of(float x) { u32 b; memcpy(&b, &x, 4); return b; }
INLINE float float_of(u32 b) { float x; memcpy(&x, &b, 4); return x; }

#endif
#endif
