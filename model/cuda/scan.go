//go:build linux && cgo

package cuda

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"github.com/nexus-continuum/nexus/model/kernel"
)

// resident is the exemplars on the card. Memories grow by appending, so that the rows of a
// memory are mostly those of the one before with some more behind.
type resident struct {
	of   *kernel.Rows
	dim  int
	held []*float32 // first element of each block that is there whole, to tell a block again
	at   address
	room int // rows
}

// scan is the memory of a search.
type scan struct {
	segments, dim, k int // room
	queries          address
	bitmaps          address
	which            address
	best, chosen     address // [queries×segments], and what is chosen of them, in turns
	ranks            address // [queries×k·segment]
}

// Sizes of the kernels.
const (
	segment     = 64   // rows of a word of a bitmap
	scanQueries = 32   // queries that one reading serves
	scanThreads = 256  // of a block
	sortedRanks = 2048 // of one block of selectBest
	sortThreads = 512
	growth      = 4 // a quarter more room than is needed
)

// Place puts the exemplars of a memory on the card, in place of those before. Only what
// was appended since goes up. On failure there are none.
func (c *Card) Place(rows *kernel.Rows) error {
	c.placing.Lock()
	defer c.placing.Unlock()
	keep := 0
	err := c.do(func() (err error) {
		keep, err = c.prepare(rows)
		return err
	})
	// In pieces, so that prompts do not wait for all of it.
	for from := keep; err == nil && from < rows.Blocks(); from += blocksAtOnce {
		err = c.do(func() error { return c.fillRows(rows, from, min(from+blocksAtOnce, rows.Blocks())) })
	}
	if err == nil {
		err = c.do(func() error {
			if c.rows != nil {
				c.rows.of = rows
			}
			return nil
		})
	}
	if err != nil {
		// A card that failed cannot give the memory back; it is closed then.
		return errors.Join(fmt.Errorf("place %d exemplars: %w", rows.Len(), err), c.do(c.dropRows))
	}
	return nil
}

// blocksAtOnce is how many blocks go up in one call: some milliseconds.
const blocksAtOnce = 32

// prepare makes room for rows and returns how many blocks of them are there already.
func (c *Card) prepare(rows *kernel.Rows) (keep int, err error) {
	if r := c.rows; r != nil && r.dim == rows.Dim() && r.room >= rows.Len() {
		for keep < min(len(r.held), rows.Blocks()) && r.held[keep] == unsafe.SliceData(rows.Block(keep)) {
			keep++
		}
		r.of, r.held = nil, r.held[:keep]
		return keep, nil
	}
	if err := c.dropRows(); err != nil {
		return 0, err
	}
	r := &resident{dim: rows.Dim(), room: max(rows.Len(), 1)}
	more := r.room + r.room/growth
	switch r.at, err = allocate[float32](c, "exemplars", more*r.dim); {
	case err == nil:
		r.room = more
	case errors.Is(err, ErrMemoryLimit): // without room to grow, then
		r.at, err = allocate[float32](c, "exemplars", r.room*r.dim)
	}
	if err != nil {
		return 0, err
	}
	c.rows = r
	return 0, nil
}

// fillRows copies blocks of rows up.
func (c *Card) fillRows(rows *kernel.Rows, from, to int) error {
	r := c.rows
	if r == nil {
		return ErrNotHere
	}
	for i := from; i < to; i++ {
		block := rows.Block(i)
		if err := upload(c, r.at+address(4*i*kernel.BlockRows*r.dim), block); err != nil {
			return err
		}
		if len(block) == kernel.BlockRows*r.dim {
			r.held = append(r.held, unsafe.SliceData(block))
		}
	}
	return nil
}

func (c *Card) dropRows() error {
	if c.rows == nil {
		return nil
	}
	at := c.rows.at
	c.rows = nil
	return c.free(at)
}

// Top is kernel.Scanner.TopManyExact: the k best rows for each query, best first. It fails
// with ErrNotHere unless Place was last called with rows.
func (c *Card) Top(rows *kernel.Rows, queries []kernel.Query, k int, hits [][]kernel.Hit) error {
	if k < 1 || k > kernel.MaxTop || len(hits) != len(queries) {
		panic(fmt.Sprintf("cuda: search for the best %d of %d queries into %d lists", k, len(queries), len(hits)))
	}
	return c.do(func() error {
		if c.rows == nil || c.rows.of != rows {
			return ErrNotHere
		}
		for from := 0; from < len(queries); from += scanQueries {
			to := min(from+scanQueries, len(queries))
			if err := c.top(queries[from:to], k, hits[from:to]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *Card) top(queries []kernel.Query, k int, hits [][]kernel.Hit) error {
	rows := c.rows.of
	for i := range hits {
		hits[i] = hits[i][:0]
	}
	if rows.Len() == 0 {
		return nil
	}
	segments := (rows.Len() + segment - 1) / segment
	if err := c.makeScan(segments, rows.Dim(), k); err != nil {
		return err
	}
	s, count, d := c.scan, len(queries), rows.Dim()
	if err := c.ask(queries, segments); err != nil {
		return err
	}
	err := c.launch(kernelBest, segments, 1, scanThreads, c.rows.at, rows.Len(), d, s.queries, count, s.bitmaps, s.which, segments, s.best)
	if err != nil {
		return err
	}
	chosen, spare, err := c.choose(s.best, s.chosen, s.ranks, segments, count, k)
	if err != nil {
		return err
	}
	ranks := spare
	if err := c.launch(kernelSegments, k, count, scanThreads, c.rows.at, rows.Len(), d, s.queries, s.bitmaps, s.which, segments, chosen, k, ranks); err != nil {
		return err
	}
	found, _, err := c.choose(ranks, s.best, chosen, k*segment, count, k)
	if err != nil {
		return err
	}
	if err := c.wait(); err != nil {
		return err
	}
	best := make([]uint64, count*k)
	if err := download(c, best, found); err != nil {
		return err
	}
	for i := range hits {
		for _, r := range best[i*k : (i+1)*k] {
			if r != 0 {
				hits[i] = append(hits[i], kernel.HitOf(r))
			}
		}
	}
	return nil
}

// choose launches what finds the k best of n ranks for each query. The result lies in one
// of to and other, and the one that is free is returned too.
func (c *Card) choose(from, to, other address, n, count, k int) (chosen, spare address, err error) {
	for {
		tiles := (n + sortedRanks - 1) / sortedRanks
		if err := c.launch(kernelSelect, tiles, count, sortThreads, from, n, k, tiles, to); err != nil {
			return 0, 0, err
		}
		if tiles == 1 {
			return to, other, nil
		}
		from, to, other = to, other, to
		n = tiles * k
	}
}

// makeScan makes sure that there is room for a search.
func (c *Card) makeScan(segments, dim, k int) (err error) {
	if s := c.scan; s != nil && s.segments >= segments && s.dim == dim && s.k >= k {
		return nil
	}
	if err := c.dropScan(); err != nil {
		return err
	}
	s := &scan{segments: segments + segments/growth, dim: dim, k: k}
	c.scan = s
	// Three buffers of ranks take turns; each holds the largest of what any step writes.
	ranks := scanQueries * max(s.segments, k*segment, (s.segments/sortedRanks+1)*k, (k*segment/sortedRanks+1)*k)
	for _, p := range []struct {
		to    *address
		words int
	}{
		{&s.queries, (scanQueries*dim + 1) / 2},
		{&s.bitmaps, scanQueries * s.segments},
		{&s.which, scanQueries / 2},
		{&s.best, ranks},
		{&s.chosen, ranks},
		{&s.ranks, ranks},
	} {
		if *p.to, err = allocate[uint64](c, "a search", p.words); err != nil {
			if dropped := c.dropScan(); dropped != nil {
				return dropped
			}
			return err
		}
	}
	return nil
}

func (c *Card) dropScan() error {
	s := c.scan
	c.scan = nil
	if s == nil {
		return nil
	}
	return c.free(s.queries, s.bitmaps, s.which, s.best, s.chosen, s.ranks)
}

// ask copies the queries up, and each of their bitmaps once.
func (c *Card) ask(queries []kernel.Query, segments int) error {
	s := c.scan
	vectors := make([]float32, 0, len(queries)*s.dim)
	which := make([]int32, len(queries))
	var bitmaps []kernel.Bitmap
	for i, q := range queries {
		if len(q.Vector) != s.dim {
			panic(fmt.Sprintf("cuda: query of length %d for rows of length %d", len(q.Vector), s.dim))
		}
		vectors = append(vectors, q.Vector...)
		which[i] = -1
		if q.Allowed == nil {
			continue
		}
		at := slices.IndexFunc(bitmaps, func(b kernel.Bitmap) bool {
			return len(b) == len(q.Allowed) && unsafe.SliceData(b) == unsafe.SliceData(q.Allowed)
		})
		if at < 0 {
			at = len(bitmaps)
			bitmaps = append(bitmaps, q.Allowed)
		}
		which[i] = int32(at)
	}
	words := make([]uint64, len(bitmaps)*segments) // a bitmap may be shorter: no later row is allowed
	for i, b := range bitmaps {
		copy(words[i*segments:(i+1)*segments], b)
	}
	if err := upload(c, s.queries, vectors); err != nil {
		return err
	}
	if err := upload(c, s.bitmaps, words); err != nil {
		return err
	}
	return upload(c, s.which, which)
}
