// Prompts to unit vectors; see packages encoder, flow and layer for the arithmetic that
// this follows.

// hyperbolic_tangent follows tanhOne of package kernel.
INLINE float hyperbolic_tangent(float x)
{
	if (x != x) return x;
	float c = x > 9.02f ? 9.02f : x < -9.02f ? -9.02f : x;
	float y = 2.885390081777927f * c;
	float n = (float)(int)(y + (y < 0 ? -0.5f : 0.5f));
	float f = y - n;
	float h = 0.000154531629451f;
	h = h * f + 0.00133908633647f;
	h = h * f + 0.00961808255728f;
	h = h * f + 0.0555035711422f;
	h = h * f + 0.240226507606f;
	h = h * f + 0.693147188026f;
	float power = float_of((u32)((int)n + 127) << 23);
	float e = power * (h * f) + (power - 1);
	return e / (e + 2);
}

// TILE is how many rows of a product one thread computes at once: each weight that it
// reads serves that many.
#define TILE 4

// product_item computes the rows of one tile in one column: sums[r] = Σₖ a[r·lda+k]·w[k·n+column].
// Rows beyond the last repeat it. k is a multiple of 4 and a is aligned to 16 bytes.
INLINE void product_item(float *sums, const float *a, int lda, int rows, int k, const float *w, int n, int column)
{
	const float *row[TILE];
	for (int r = 0; r < TILE; r++) {
		row[r] = a + (long)(r < rows ? r : rows - 1) * lda;
		sums[r] = 0;
	}
	for (int i = 0; i < k; i += 4) {
		const float *at = w + (long)i * n + column;
		float w0 = at[0], w1 = at[n], w2 = at[2 * (long)n], w3 = at[3 * (long)n];
		for (int r = 0; r < TILE; r++) {
			vec4 v = *(const vec4 *)(row[r] + i);
			sums[r] += v[0] * w0 + v[1] * w1 + v[2] * w2 + v[3] * w3;
		}
	}
}

// MOST_WORDS is text.MaxWords.
#define MOST_WORDS 64
// MOST_DIM is the largest state size.
#define MOST_DIM 512
// NORM_PARTS threads share the sum over one row.
#define NORM_PARTS 8

// Figures of one prompt, in the order in which they are written.
enum { DEPTH, RESIDUAL, CONVERGED, SATURATION, UNKNOWN, FIGURES };

// prompt_t is what one block works on. The words of a batch stand one after another
// with a border row of zeros before the first, after the last, and between prompts.
typedef struct {
	int words;     // of this prompt
	long row;      // of its first word
	int first;     // number of its first word in the batch
} prompt_t;

INLINE prompt_t prompt_of(int i, const int *firsts)
{
	prompt_t p;
	p.first = firsts[i];
	p.words = firsts[i + 1] - p.first;
	p.row = (long)p.first + i + 1;
	return p;
}

// sum_words is the phase that writes the vectors of the words, the sums of the rows of
// their features, into x, and returns how many features of this thread's share were
// never trained.
INLINE int sum_words(int t, int width, prompt_t p, int d, const int *offsets, const u32 *features,
	const float *table, const float *seen, float *x)
{
	for (int item = t; item < p.words * d; item += width) {
		int word = item / d, j = item % d;
		float sum = 0;
		for (int f = offsets[p.first + word]; f < offsets[p.first + word + 1]; f++) sum += table[(long)features[f] * d + j];
		x[(p.row + word) * d + j] = sum;
	}
	int fresh = 0;
	for (int f = offsets[p.first] + t; f < offsets[p.first + p.words]; f += width) fresh += seen[features[f]] == 0;
	return fresh;
}

// clear_borders zeroes the rows around the prompt in m.
INLINE void clear_borders(int t, int width, prompt_t p, int d, float *m)
{
	for (int j = t; j < d; j += width) {
		m[(p.row - 1) * d + j] = 0;
		m[(p.row + p.words) * d + j] = 0;
	}
}

// The three phases of layer norm: the means of the rows, then their variances, each
// from NORM_PARTS parts of a row, and the rows themselves.
INLINE void norm_sums(int t, int width, prompt_t p, int d, const float *x, float *parts)
{
	for (int item = t; item < p.words * NORM_PARTS; item += width) {
		const float *row = x + (p.row + item / NORM_PARTS) * d;
		float sum = 0;
		for (int j = item % NORM_PARTS; j < d; j += NORM_PARTS) sum += row[j];
		parts[item] = sum;
	}
}

INLINE void norm_squares(int t, int width, prompt_t p, int d, const float *x, const float *sums, float *parts)
{
	for (int item = t; item < p.words * NORM_PARTS; item += width) {
		int word = item / NORM_PARTS;
		float mean = 0, squares = 0;
		for (int i = 0; i < NORM_PARTS; i++) mean += sums[word * NORM_PARTS + i];
		mean /= (float)d;
		const float *row = x + (p.row + word) * d;
		for (int j = item % NORM_PARTS; j < d; j += NORM_PARTS) squares += (row[j] - mean) * (row[j] - mean);
		parts[item] = squares;
	}
}

INLINE void norm_rows(int t, int width, prompt_t p, int d, const float *x, const float *sums, const float *squares, float *out)
{
	for (int item = t; item < p.words * d; item += width) {
		int word = item / d;
		float mean = 0, variance = 0;
		for (int i = 0; i < NORM_PARTS; i++) {
			mean += sums[word * NORM_PARTS + i];
			variance += squares[word * NORM_PARTS + i];
		}
		mean /= (float)d;
		float inverse = 1 / root(variance / (float)d + 1e-5f);
		long at = p.row * d + item;
		out[at] = (x[at] - mean) * inverse;
	}
}

// HEAD_PARTS threads add up what all threads of a block hold. A block has at least as many.
#define HEAD_PARTS 32

// pool_states writes the input of the head: ReLU(mean x), mean z and max z.
INLINE void pool_states(int t, int width, prompt_t p, int d, const float *x, const float *z, float *pool)
{
	for (int j = t; j < d; j += width) {
		float mean = 0, states = 0, most = 0;
		for (int word = 0; word < p.words; word++) {
			long at = (p.row + word) * d + j;
			mean += x[at];
			states += z[at];
			most = word == 0 || z[at] > most ? z[at] : most;
		}
		float inverse = p.words > 0 ? 1 / (float)p.words : 0;
		mean *= inverse;
		pool[j] = mean < 0 ? 0 : mean;
		pool[d + j] = states * inverse;
		pool[2 * d + j] = most;
	}
}

// block_t is the shared memory of a block that works on a prompt.
typedef struct {
	float sums[MOST_WORDS * NORM_PARTS], squares[MOST_WORDS * NORM_PARTS];
	float pool[3 * MOST_DIM];
	float part_a[1024], part_b[1024], small_a[HEAD_PARTS], small_b[HEAD_PARTS];
} block_t;

// fold and folded add up what all threads of a block hold, in two phases.
INLINE void fold(int t, int width, block_t *b)
{
	if (t >= HEAD_PARTS) return;
	float sum_a = 0, sum_b = 0;
	for (int i = t; i < width; i += HEAD_PARTS) {
		sum_a += b->part_a[i];
		sum_b += b->part_b[i];
	}
	b->small_a[t] = sum_a;
	b->small_b[t] = sum_b;
}

INLINE float folded(const float *small)
{
	float sum = 0;
	for (int i = 0; i < HEAD_PARTS; i++) sum += small[i];
	return sum;
}

// read_words is the phases from the features to the vectors of the words, and returns
// how many of the features were never trained.
INLINE float read_words(block_t *b, prompt_t p, int d, const int *offsets, const u32 *features, const float *table,
	const float *seen, float *x)
{
	THREADS(t)
	{
		b->part_a[t] = (float)sum_words(t, WIDTH, p, d, offsets, features, table, seen, x);
		b->part_b[t] = 0;
	}
	THREADS(t) { fold(t, WIDTH, b); }
	return folded(b->small_a);
}

// normalise is the phases of layer norm: the rows of x into out.
INLINE void normalise(block_t *b, prompt_t p, int d, const float *x, float *out)
{
	THREADS(t) { norm_sums(t, WIDTH, p, d, x, b->sums); }
	THREADS(t) { norm_squares(t, WIDTH, p, d, x, b->sums, b->squares); }
	THREADS(t) { norm_rows(t, WIDTH, p, d, x, b->sums, b->squares, out); }
}

// finish is the phases from words x and states z to the unit vector h [d] and the figures
// of the prompt. Saturation is told from the states in flat.
INLINE void finish(block_t *b, prompt_t p, int d, const float *x, const float *z, const float *flat, const float *head,
	float fresh, int features, float *h, float *figures)
{
	THREADS(t) { pool_states(t, WIDTH, p, d, x, z, b->pool); }
	THREADS(t)
	{
		float square = 0, states = 0;
		for (int j = t; j < d; j += WIDTH) {
			float sum = 0;
			for (int k = 0; k < 3 * d; k++) sum += b->pool[k] * head[(long)k * d + j];
			h[j] = sum;
			square += sum * sum;
		}
		for (int item = t; item < p.words * d; item += WIDTH) states += flat[p.row * d + item] * flat[p.row * d + item];
		b->part_a[t] = square;
		b->part_b[t] = states;
	}
	THREADS(t) { fold(t, WIDTH, b); }
	THREADS(t)
	{
		float square = folded(b->small_a), states = folded(b->small_b);
		if (square > 0) {
			float inverse = 1 / root(square);
			for (int j = t; j < d; j += WIDTH) h[j] *= inverse;
		}
		if (t == 0) {
			figures[SATURATION] = p.words > 0 ? 1 - states / (float)(p.words * d) : 0;
			figures[UNKNOWN] = features > 0 ? fresh / (float)features : 1;
		}
	}
}

// encode_flow brings one prompt a block to its fixed point, by plain steps alone, and
// writes its unit vector and figures. A prompt that is not there after most_steps has
// CONVERGED = 0. x, in, z and other are scratch memory [rows×d]. Blocks have at least
// HEAD_PARTS and at most 1024 threads.
KERNEL encode_flow(const int *firsts, const int *offsets, const u32 *features, int d, const float *table,
	const float *seen, const float *mix, const float *u, const float *bias, const float *head, float threshold,
	float damping, int most_steps, float *x, float *in, float *z, float *other, float *h, float *figures)
{
	SHARED block_t b;
	int i = BLOCK_X;
	prompt_t p = prompt_of(i, firsts);
	float *mine = figures + (long)i * FIGURES;
	int tiles = (p.words + TILE - 1) / TILE;

	float fresh = read_words(&b, p, d, offsets, features, table, seen, x);
	normalise(&b, p, d, x, other);
	THREADS(t)
	{
		clear_borders(t, WIDTH, p, d, z);
		clear_borders(t, WIDTH, p, d, other);
		for (int item = t; item < p.words * d; item += WIDTH) z[p.row * d + item] = 0;
	}
	THREADS(t)
	{
		for (int item = t; item < tiles * d; item += WIDTH) {
			int word = item / d * TILE, column = item % d;
			int rows = p.words - word < TILE ? p.words - word : TILE;
			float s[TILE];
			product_item(s, other + (p.row + word) * d, d, rows, d, u, d, column);
			for (int r = 0; r < TILE; r++)
				if (r < rows) in[(p.row + word + r) * d + column] = s[r] + bias[column];
		}
	}

	int depth = 0, converged = p.words == 0;
	float residual = 0;
	while (!converged && depth < most_steps) {
		THREADS(t)
		{
			float difference = 0, norm = 0;
			for (int item = t; item < tiles * d; item += WIDTH) {
				int word = item / d * TILE, column = item % d;
				int rows = p.words - word < TILE ? p.words - word : TILE;
				float s[TILE];
				product_item(s, z + (p.row + word - 1) * d, d, rows, 3 * d, mix, d, column);
				for (int r = 0; r < TILE; r++) {
					if (r >= rows) continue;
					long at = (p.row + word + r) * d + column;
					float old = z[at];
					float now = (1 - damping) * old + damping * hyperbolic_tangent(s[r] + in[at]);
					other[at] = now;
					difference += (now - old) * (now - old);
					norm += now * now;
				}
			}
			b.part_a[t] = difference;
			b.part_b[t] = norm;
		}
		THREADS(t) { fold(t, WIDTH, &b); }
		float difference = folded(b.small_a), norm = folded(b.small_b);
		float *swap = z;
		z = other;
		other = swap;
		depth++;
		residual = difference == 0 ? 0 : root(difference / (damping * damping) / norm);
		converged = residual < threshold;
	}
	THREADS(t)
	{
		if (t == 0) {
			mine[DEPTH] = (float)depth;
			mine[RESIDUAL] = residual;
			mine[CONVERGED] = (float)converged;
		}
	}
	int features_of = offsets[p.first + p.words] - offsets[p.first];
	finish(&b, p, d, x, z, z, head, fresh, features_of, h + (long)i * d, mine);
}

// encode_layer passes one prompt a block through the blocks of the layered
// architecture. mix is [blocks×3d×d] and bias [blocks×d]; x, z, normed and change are
// scratch memory [rows×d].
KERNEL encode_layer(const int *firsts, const int *offsets, const u32 *features, int d, const float *table,
	const float *seen, const float *mix, const float *bias, int blocks, const float *head, float *x, float *z,
	float *normed, float *change, float *h, float *figures)
{
	SHARED block_t b;
	int i = BLOCK_X;
	prompt_t p = prompt_of(i, firsts);
	float *mine = figures + (long)i * FIGURES;
	int tiles = (p.words + TILE - 1) / TILE;

	float fresh = read_words(&b, p, d, offsets, features, table, seen, x);
	normalise(&b, p, d, x, z);
	THREADS(t) { clear_borders(t, WIDTH, p, d, normed); }
	for (int n = 0; n < blocks; n++) {
		const float *weights = mix + (long)n * 3 * d * d, *shift = bias + (long)n * d;
		normalise(&b, p, d, z, normed);
		THREADS(t)
		{
			for (int item = t; item < tiles * d; item += WIDTH) {
				int word = item / d * TILE, column = item % d;
				int rows = p.words - word < TILE ? p.words - word : TILE;
				float s[TILE];
				product_item(s, normed + (p.row + word - 1) * d, d, rows, 3 * d, weights, d, column);
				for (int r = 0; r < TILE; r++) {
					if (r >= rows) continue;
					long at = (p.row + word + r) * d + column;
					change[at] = hyperbolic_tangent(s[r] + shift[column]);
					z[at] += change[at];
				}
			}
		}
	}
	THREADS(t)
	{
		if (t == 0) {
			mine[DEPTH] = p.words > 0 ? (float)blocks : 0;
			mine[RESIDUAL] = 0;
			mine[CONVERGED] = 1;
		}
	}
	int features_of = offsets[p.first + p.words] - offsets[p.first];
	finish(&b, p, d, x, z, blocks > 0 ? change : z, head, fresh, features_of, h + (long)i * d, mine);
}
