// A library that stands in for libcuda.so.1 in the tests: the driver calls that package
// cuda makes, over memory of the host, with the kernels compiled for the host. Each
// allocation is filled with NaN and ends at a page that nobody may touch, so that a kernel
// that reads what was never written, or beyond the end, is found out.
//
// The functions standin_… are for the tests: they make calls fail, take memory away as
// another process would, and lose the device.

#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernels.cu"

int nx_block_x, nx_block_y, nx_width;

typedef int result;
enum { OK = 0, INVALID = 1, NO_MEMORY = 2, NOT_FOUND = 500 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long calls, fail_at, fail_calls;
static int fail_code, lost;
static int devices = 1;
enum { MOST_DEVICES = 8 };
static uint64_t total = 1ull << 30, others, used[MOST_DEVICES], pinned;
static long launches, graph_launches;

// A context belongs to a device, and is current on the thread that made it.
typedef struct { int device; } context;
static __thread context *current;

// ---- What the tests steer ----

// standin_fail makes the nth call from now on, and as many after it as said, fail.
void standin_fail(long nth, long times, int code) { pthread_mutex_lock(&lock); fail_at = calls + nth; fail_calls = times; fail_code = code; pthread_mutex_unlock(&lock); }
// standin_lose makes every call fail until it is called with 0.
void standin_lose(int code) { pthread_mutex_lock(&lock); lost = code; pthread_mutex_unlock(&lock); }
void standin_memory(uint64_t all, uint64_t by_others) { pthread_mutex_lock(&lock); total = all; others = by_others; pthread_mutex_unlock(&lock); }
void standin_devices(int n) { devices = n; }
long standin_calls(void) { pthread_mutex_lock(&lock); long n = calls; pthread_mutex_unlock(&lock); return n; }
long standin_launches(void) { pthread_mutex_lock(&lock); long n = launches; pthread_mutex_unlock(&lock); return n; }
long standin_graphs(void) { pthread_mutex_lock(&lock); long n = graph_launches; pthread_mutex_unlock(&lock); return n; }
// standin_used is all memory that is allocated, of the devices and pinned.
uint64_t standin_used(void)
{
	pthread_mutex_lock(&lock);
	uint64_t n = pinned;
	for (int i = 0; i < MOST_DEVICES; i++) n += used[i];
	pthread_mutex_unlock(&lock);
	return n;
}

// enter counts a call and says how it fails; the lock is held until leave.
static result enter(void)
{
	pthread_mutex_lock(&lock);
	calls++;
	if (lost) return lost;
	if (fail_at > 0 && calls >= fail_at && calls < fail_at + fail_calls) return fail_code;
	return OK;
}

static result leave(result r)
{
	pthread_mutex_unlock(&lock);
	return r;
}

#define BEGIN                                  \
	do {                                       \
		result failed_ = enter();              \
		if (failed_) return leave(failed_);    \
	} while (0)

// ---- Devices and contexts ----

result cuInit(unsigned flags) { (void)flags; BEGIN; return leave(OK); }
result cuDriverGetVersion(int *v) { BEGIN; *v = 12040; return leave(OK); }
result cuDeviceGetCount(int *n) { BEGIN; *n = devices; return leave(OK); }
result cuDeviceGet(int *d, int i) { BEGIN; if (i >= devices) return leave(101); *d = i; return leave(OK); }
result cuDeviceGetName(char *name, int n, int d) { BEGIN; snprintf(name, (size_t)n, "Stand-in %d", d); return leave(OK); }
result cuDeviceTotalMem_v2(size_t *n, int d) { (void)d; BEGIN; *n = total; return leave(OK); }
result cuDeviceGetAttribute(int *v, int what, int d)
{
	(void)d;
	BEGIN;
	*v = what == 75 ? 7 : what == 76 ? 5 : 0; // the compute capability
	return leave(OK);
}
result cuDeviceGetUuid_v2(unsigned char *uuid, int d) { BEGIN; for (int i = 0; i < 16; i++) uuid[i] = (unsigned char)(16 * d + i); return leave(OK); }
result cuGetErrorName(result r, const char **name)
{
	switch (r) {
	case NO_MEMORY: *name = "CUDA_ERROR_OUT_OF_MEMORY"; break;
	case 214: *name = "CUDA_ERROR_ECC_UNCORRECTABLE"; break;
	case 719: *name = "CUDA_ERROR_LAUNCH_FAILED"; break;
	default: *name = "CUDA_ERROR_UNKNOWN";
	}
	return OK;
}

// ---- Memory ----

typedef struct block {
	struct block *next;
	char *at, *map;
	size_t size, mapped;
	int host;
	context *owner;
} block;
static block *blocks;

static void *take(size_t n, int host)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (n + page - 1) / page * page;
	block *b = malloc(sizeof *b);
	b->size = n;
	b->mapped = whole + page;
	b->host = host;
	b->owner = current;
	b->map = mmap(NULL, b->mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (b->map == MAP_FAILED) abort();
	mprotect(b->map + whole, page, PROT_NONE);
	b->at = b->map + (whole - n) / 16 * 16;
	for (size_t i = 0; i + 4 <= n; i += 4) memcpy(b->at + i, "\xad\xde\xc0\x7f", 4);
	b->next = blocks;
	blocks = b;
	*(host ? &pinned : &used[current->device]) += n;
	return b->at;
}

static void drop(block **p)
{
	block *b = *p;
	*p = b->next;
	*(b->host ? &pinned : &used[b->owner->device]) -= b->size;
	munmap(b->map, b->mapped);
	free(b);
}

static result give(void *at, int host)
{
	for (block **p = &blocks; *p; p = &(*p)->next) {
		if ((*p)->at != at || (*p)->host != host) continue;
		drop(p);
		return OK;
	}
	return INVALID;
}

result cuCtxCreate_v2(void **ctx, unsigned flags, int d)
{
	(void)flags;
	BEGIN;
	current = malloc(sizeof *current);
	current->device = d;
	*ctx = current;
	return leave(OK);
}

// cuCtxDestroy_v2 frees what was allocated in the context, also when the device is lost.
result cuCtxDestroy_v2(void *ctx)
{
	result r = enter();
	for (block **p = &blocks; *p;) {
		if ((*p)->owner == ctx) drop(p);
		else p = &(*p)->next;
	}
	free(ctx);
	return leave(r);
}

result cuMemGetInfo_v2(size_t *unused, size_t *all)
{
	BEGIN;
	*all = total;
	uint64_t taken = used[current->device] + others;
	*unused = taken < total ? total - taken : 0;
	return leave(OK);
}
result cuMemAlloc_v2(uint64_t *at, size_t n)
{
	BEGIN;
	if (n == 0) return leave(INVALID);
	if (used[current->device] + others + n > total) return leave(NO_MEMORY);
	*at = (uint64_t)(uintptr_t)take(n, 0);
	return leave(OK);
}
result cuMemFree_v2(uint64_t at) { BEGIN; return leave(give((void *)(uintptr_t)at, 0)); }
result cuMemAllocHost_v2(void **at, size_t n) { BEGIN; if (n == 0) return leave(INVALID); *at = take(n, 1); return leave(OK); }
result cuMemFreeHost(void *at) { BEGIN; return leave(give(at, 1)); }

// ---- Streams, graphs, events ----

// A stream works at once, but while it is captured it only writes down what to do.
typedef struct {
	int kind; // 0 copies up, 1 copies down, 2 launches
	uint64_t device;
	void *host;
	size_t size;
	void (*kernel)(void **);
	unsigned grid_x, grid_y, width;
	int args;
	uint64_t arg[24];
} step;
typedef struct { int steps; step step[16]; } graph;
typedef struct { graph *captured; } stream;

static void run(step *s)
{
	if (s->kind == 0) memcpy((void *)(uintptr_t)s->device, s->host, s->size);
	if (s->kind == 1) memcpy(s->host, (void *)(uintptr_t)s->device, s->size);
	if (s->kind != 2) return;
	void *arg[24];
	launches++;
	for (int i = 0; i < s->args; i++) arg[i] = &s->arg[i];
	nx_width = (int)s->width;
	for (unsigned y = 0; y < s->grid_y; y++)
		for (unsigned x = 0; x < s->grid_x; x++) {
			nx_block_x = (int)x;
			nx_block_y = (int)y;
			s->kernel(arg);
		}
}

static result submit(stream *on, step *s)
{
	if (!on || !on->captured) {
		run(s);
		return OK;
	}
	if (on->captured->steps == 16) return INVALID;
	on->captured->step[on->captured->steps++] = *s;
	return OK;
}

result cuStreamCreate(void **s, unsigned flags) { (void)flags; BEGIN; *s = calloc(1, sizeof(stream)); return leave(OK); }
result cuStreamDestroy_v2(void *s) { BEGIN; free(s); return leave(OK); }
result cuStreamSynchronize(void *s) { (void)s; BEGIN; return leave(OK); }
result cuMemcpyHtoDAsync_v2(uint64_t to, void *from, size_t n, void *s) { BEGIN; step c = {.kind = 0, .device = to, .host = from, .size = n}; return leave(submit(s, &c)); }
result cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t n, void *s) { BEGIN; step c = {.kind = 1, .device = from, .host = to, .size = n}; return leave(submit(s, &c)); }
result cuMemcpyHtoD_v2(uint64_t to, void *from, size_t n) { BEGIN; memcpy((void *)(uintptr_t)to, from, n); return leave(OK); }
result cuMemcpyDtoH_v2(void *to, uint64_t from, size_t n) { BEGIN; memcpy(to, (void *)(uintptr_t)from, n); return leave(OK); }

result cuStreamBeginCapture_v2(void *s, int mode) { (void)mode; BEGIN; ((stream *)s)->captured = calloc(1, sizeof(graph)); return leave(OK); }
result cuStreamEndCapture(void *s, void **g) { BEGIN; *g = ((stream *)s)->captured; ((stream *)s)->captured = NULL; return leave(OK); }
result cuGraphInstantiateWithFlags(void **e, void *g, unsigned long long flags) { (void)flags; BEGIN; *e = malloc(sizeof(graph)); memcpy(*e, g, sizeof(graph)); return leave(OK); }
result cuGraphDestroy(void *g) { BEGIN; free(g); return leave(OK); }
result cuGraphExecDestroy(void *e) { BEGIN; free(e); return leave(OK); }
result cuGraphLaunch(void *e, void *s)
{
	(void)s;
	BEGIN;
	graph_launches++;
	for (int i = 0; i < ((graph *)e)->steps; i++) run(&((graph *)e)->step[i]);
	return leave(OK);
}
// ---- Modules and launches ----

#define P(type, i) (*(type *)a[i])
typedef float *F;
typedef const float *CF;
typedef const int *CI;
typedef const u32 *CU;
typedef const u64 *CL;

static void run_encode_flow(void **a)
{
	encode_flow(P(CI, 0), P(CI, 1), P(CU, 2), P(int, 3), P(CF, 4), P(CF, 5), P(CF, 6), P(CF, 7), P(CF, 8), P(CF, 9), P(float, 10),
		P(float, 11), P(int, 12), P(F, 13), P(F, 14), P(F, 15), P(F, 16), P(F, 17), P(F, 18));
}
static void run_encode_layer(void **a)
{
	encode_layer(P(CI, 0), P(CI, 1), P(CU, 2), P(int, 3), P(CF, 4), P(CF, 5), P(CF, 6), P(CF, 7), P(int, 8), P(CF, 9), P(F, 10),
		P(F, 11), P(F, 12), P(F, 13), P(F, 14), P(F, 15));
}
static void run_scan_best(void **a) { scan_best(P(CF, 0), P(long, 1), P(int, 2), P(CF, 3), P(int, 4), P(CL, 5), P(CI, 6), P(long, 7), P(u64 *, 8)); }
static void run_scan_segments(void **a)
{
	scan_segments(P(CF, 0), P(long, 1), P(int, 2), P(CF, 3), P(CL, 4), P(CI, 5), P(long, 6), P(CL, 7), P(int, 8), P(u64 *, 9));
}
static void run_select_best(void **a) { select_best(P(CL, 0), P(long, 1), P(int, 2), P(int, 3), P(u64 *, 4)); }

typedef struct {
	const char *name;
	void (*run)(void **);
	int args;
} entry;
static entry entries[] = {
	{"encode_flow", run_encode_flow, 19}, {"encode_layer", run_encode_layer, 16}, {"scan_best", run_scan_best, 9},
	{"scan_segments", run_scan_segments, 10}, {"select_best", run_select_best, 5},
};

result cuModuleLoadData(void **m, const char *ptx)
{
	BEGIN;
	if (!strstr(ptx, ".target sm_75")) return leave(218);
	*m = entries;
	return leave(OK);
}
result cuModuleUnload(void *m) { (void)m; BEGIN; return leave(OK); }
result cuModuleGetFunction(void **f, void *m, const char *name)
{
	(void)m;
	BEGIN;
	for (size_t i = 0; i < sizeof entries / sizeof *entries; i++)
		if (!strcmp(entries[i].name, name)) {
			*f = &entries[i];
			return leave(OK);
		}
	return leave(NOT_FOUND);
}
result cuLaunchKernel(void *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, void *s,
	void **params, void **extra)
{
	(void)shared;
	(void)extra;
	BEGIN;
	entry *e = f;
	if (gx == 0 || gy == 0 || gz != 1 || bx == 0 || bx > MOST_THREADS || by != 1 || bz != 1 || gy > 65535) return leave(INVALID);
	step l = {.kind = 2, .kernel = e->run, .grid_x = gx, .grid_y = gy, .width = bx, .args = e->args};
	// Every parameter is passed in eight bytes, so that its size need not be known here.
	for (int i = 0; i < e->args; i++) memcpy(&l.arg[i], params[i], 8);
	return leave(submit(s, &l));
}
