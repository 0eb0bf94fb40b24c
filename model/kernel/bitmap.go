package kernel

// Bitmap says which rows a scan may look at: bit i%64 of word i/64 is row i. Rows beyond its end are not allowed, except
// that a nil Bitmap allows all.
type Bitmap []uint64

// NewBitmap returns a bitmap of n rows, none of them allowed.
func NewBitmap(n int) Bitmap { return make(Bitmap, (n+63)/64) }

// Set allows row i, which must be less than the n of NewBitmap.
func (b Bitmap) Set(i int) { b[i/64] |= 1 << (i % 64) }

// Clear disallows row i.
func (b Bitmap) Clear(i int) { b[i/64] &^= 1 << (i % 64) }

// Has reports whether row i is allowed.
func (b Bitmap) Has(i int) bool {
	return b == nil || (i/64 < len(b) && b[i/64]>>(i%64)&1 == 1)
}

// word returns the bits of rows 64w to 64w+63.
func (b Bitmap) word(w int) uint64 {
	switch {
	case b == nil:
		return ^uint64(0)
	case w < len(b):
		return b[w]
	default:
		return 0
	}
}
