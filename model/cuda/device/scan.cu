// The search of the exemplars.
//
// The k best of many rows are found without keeping every score: they lie in the k
// segments of SEGMENT rows whose best rows are the best. So scan_best finds the best
// row of each segment, select_best chooses k segments, scan_segments scores their rows
// again, and select_best chooses among those.

// SEGMENT is the number of rows of a word of a bitmap.
#define SEGMENT 64
// QUERIES is how many queries one reading of the rows serves.
#define QUERIES 32
// CHUNK is how many columns are read at once.
#define CHUNK 32
// LANES threads work on one row. A block has SEGMENT·LANES threads.
#define LANES 4

// rank_of follows rank of package kernel: one number of row and score, the greater the
// better. 0 is no row.
INLINE u64 rank_of(u32 row, float score)
{
	if (score != score) return 0;
	u32 b = bits_of(score + 0.0f);
	b ^= (b >> 31) ? 0xffffffffu : 0x80000000u;
	return (u64)b << 32 | (u32)~row;
}

// allowed tells whether a query may find a row. which is the number of its bitmap, −1
// where it may find all.
INLINE int allowed(const u64 *bitmaps, long words, int which, long segment, int bit)
{
	return which < 0 || (bitmaps[(long)which * words + segment] >> bit & 1);
}

// scan_best writes best [count×segments], the best row of each segment for each of up
// to QUERIES queries [count×d]. One block a segment.
KERNEL scan_best(const float *rows, long n, int d, const float *queries, int count, const u64 *bitmaps,
	const int *which, long segments, u64 *best)
{
	SHARED float tile[SEGMENT * (CHUNK + 1)], asked[QUERIES * (CHUNK + 1)];
	SHARED u64 ranks[QUERIES * SEGMENT], halves[QUERIES * 8];
	SHARED int wanted;
	PER_THREAD(float, sums, QUERIES / LANES);
	long segment = BLOCK_X, first = segment * SEGMENT;

	THREADS(t) { if (t == 0) wanted = 0; }
	THREADS(t) { if (t < count && (which[t] < 0 || bitmaps[(long)which[t] * segments + segment] != 0)) wanted = 1; }
	if (!wanted) {
		THREADS(t) { if (t < count) best[t * segments + segment] = 0; }
		return;
	}
	THREADS(t)
	{
		(void)t;
		UNROLL
		for (int i = 0; i < QUERIES / LANES; i++) MINE(sums, t)[i] = 0;
	}
	for (int from = 0; from < d; from += CHUNK) {
		THREADS(t)
		{
			for (int item = t; item < SEGMENT * CHUNK; item += WIDTH) {
				int row = item / CHUNK, j = item % CHUNK;
				tile[row * (CHUNK + 1) + j] = first + row < n && from + j < d ? rows[(first + row) * d + from + j] : 0;
			}
			for (int item = t; item < count * CHUNK; item += WIDTH) {
				int q = item / CHUNK, j = item % CHUNK;
				asked[q * (CHUNK + 1) + j] = from + j < d ? queries[(long)q * d + from + j] : 0;
			}
		}
		THREADS(t)
		{
			const float *row = tile + t % SEGMENT * (CHUNK + 1), *query = asked + t / SEGMENT * (CHUNK + 1);
			for (int j = 0; j < CHUNK; j++) {
				float v = row[j];
				UNROLL
				for (int i = 0; i < QUERIES / LANES; i++)
					if (t / SEGMENT + i * LANES < count) MINE(sums, t)[i] += v * query[i * LANES * (CHUNK + 1) + j];
			}
		}
	}
	THREADS(t)
	{
		int row = t % SEGMENT;
		UNROLL
		for (int i = 0; i < QUERIES / LANES; i++) {
			int q = t / SEGMENT + i * LANES;
			if (q >= count) continue;
			int may = first + row < n && allowed(bitmaps, segments, which[q], segment, row);
			ranks[q * SEGMENT + row] = may ? rank_of((u32)(first + row), MINE(sums, t)[i]) : 0;
		}
	}
	THREADS(t)
	{
		for (int item = t; item < count * 8; item += WIDTH) {
			u64 most = 0;
			for (int j = item % 8; j < SEGMENT; j += 8) {
				u64 r = ranks[item / 8 * SEGMENT + j];
				most = r > most ? r : most;
			}
			halves[item] = most;
		}
	}
	THREADS(t)
	{
		if (t < count) {
			u64 most = 0;
			for (int j = 0; j < 8; j++) most = halves[t * 8 + j] > most ? halves[t * 8 + j] : most;
			best[t * segments + segment] = most;
		}
	}
}

// scan_segments scores the rows of the segments that hold the rows chosen [count×k], and
// writes ranks [count×k·SEGMENT]. Block (slot, query); SEGMENT·LANES threads.
KERNEL scan_segments(const float *rows, long n, int d, const float *queries, const u64 *bitmaps, const int *which,
	long segments, const u64 *chosen, int k, u64 *ranks)
{
	SHARED float tile[SEGMENT * (CHUNK + 1)], asked[CHUNK], parts[SEGMENT * LANES];
	PER_THREAD(float, sum, 1);
	int slot = BLOCK_X, q = BLOCK_Y;
	u64 *out = ranks + ((long)q * k + slot) * SEGMENT;
	u64 rank = chosen[(long)q * k + slot];
	if (rank == 0) {
		THREADS(t) { if (t < SEGMENT) out[t] = 0; }
		return;
	}
	long segment = (u32)~(u32)rank / SEGMENT, first = segment * SEGMENT;
	THREADS(t)
	{
		(void)t;
		MINE(sum, t)[0] = 0;
	}
	for (int from = 0; from < d; from += CHUNK) {
		THREADS(t)
		{
			for (int item = t; item < SEGMENT * CHUNK; item += WIDTH) {
				int row = item / CHUNK, j = item % CHUNK;
				tile[row * (CHUNK + 1) + j] = first + row < n && from + j < d ? rows[(first + row) * d + from + j] : 0;
			}
			for (int j = t; j < CHUNK; j += WIDTH) asked[j] = from + j < d ? queries[(long)q * d + from + j] : 0;
		}
		THREADS(t)
		{
			const float *row = tile + t % SEGMENT * (CHUNK + 1);
			float s = MINE(sum, t)[0];
			for (int j = t / SEGMENT; j < CHUNK; j += LANES) s += row[j] * asked[j];
			MINE(sum, t)[0] = s;
		}
	}
	THREADS(t) { parts[t] = MINE(sum, t)[0]; }
	THREADS(t)
	{
		if (t < SEGMENT) {
			float score = 0;
			for (int lane = 0; lane < LANES; lane++) score += parts[lane * SEGMENT + t];
			int may = first + t < n && allowed(bitmaps, segments, which[q], segment, t);
			out[t] = may ? rank_of((u32)(first + t), score) : 0;
		}
	}
}

// SORTED is how many ranks one block sorts.
#define SORTED 2048

// select_best writes the k best of each tile of SORTED of the n ranks of each query, best
// first: block (tile, query), out [queries×tiles·k]. Batcher's bitonic sort (1968).
KERNEL select_best(const u64 *in, long n, int k, int tiles, u64 *out)
{
	SHARED u64 ranks[SORTED];
	long from = (long)BLOCK_X * SORTED;
	const u64 *mine = in + BLOCK_Y * n;
	THREADS(t)
	{
		for (int i = t; i < SORTED; i += WIDTH) ranks[i] = from + i < n ? mine[from + i] : 0;
	}
	for (int size = 2; size <= SORTED; size *= 2) {
		for (int stride = size / 2; stride > 0; stride /= 2) {
			THREADS(t)
			{
				for (int pair = t; pair < SORTED / 2; pair += WIDTH) {
					int a = pair / stride * 2 * stride + pair % stride, b = a + stride;
					u64 x = ranks[a], y = ranks[b];
					int descending = (a & size) == 0;
					if (descending ? x < y : x > y) {
						ranks[a] = y;
						ranks[b] = x;
					}
				}
			}
		}
	}
	THREADS(t)
	{
		for (int i = t; i < k; i += WIDTH) out[((long)BLOCK_Y * tiles + BLOCK_X) * k + i] = ranks[i];
	}
}
