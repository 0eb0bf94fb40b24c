package storage

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/zstd"
)

// DatasetReader returns the lessons of one dataset in the order in which they were
// added. It must be used by one goroutine only, and must be closed.
type DatasetReader struct {
	Dataset
	object  io.ReadCloser
	payload *payloadReader
	zstd    *zstd.Decoder
	lines   *bufio.Reader
	read    int
	raw     int64
}

// Open verifies dataset id against its SHA-256 and then streams it. It returns
// ErrNotFound, or ErrCorrupt after it has set a damaged dataset aside.
func (d *Datasets) Open(ctx context.Context, id string) (*DatasetReader, error) {
	key, err := datasetKey(id)
	if err != nil {
		return nil, err
	}
	// The first pass makes sure that callers get no lessons from a damaged dataset.
	err = d.verify(ctx, id)
	if errors.Is(err, ErrCorrupt) {
		// It is read once more: a transmission error must not set good bytes aside, and
		// a store with a second place may have good bytes there.
		if err = repairObject(ctx, d.store, key); err == nil {
			err = d.verify(ctx, id)
		}
	}
	if errors.Is(err, ErrCorrupt) {
		d.setAside(ctx, key, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open dataset %s: %w", id, err)
	}
	r, err := d.open(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("open dataset %s: %w", id, err)
	}
	return r, nil
}

// Lessons reads all lessons of dataset id. It returns the errors of Open.
func (d *Datasets) Lessons(ctx context.Context, id string) (ds Dataset, lessons []Lesson, err error) {
	r, err := d.Open(ctx, id)
	if err != nil {
		return Dataset{}, nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	for {
		l, err := r.Next()
		if errors.Is(err, io.EOF) {
			return r.Dataset, lessons, nil
		}
		if err != nil {
			return Dataset{}, nil, err
		}
		lessons = append(lessons, l)
	}
}

func (d *Datasets) verify(ctx context.Context, id string) (err error) {
	object, err := d.get(ctx, id)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, object.Close()) }()
	return verifyDataset(object, id)
}

// verifyDataset reads a dataset to its end.
func verifyDataset(object io.Reader, id string) error {
	r, err := newDatasetReader(object, id)
	if err != nil {
		return err
	}
	// Closing it releases the decoder; the object is the caller's.
	r.object = io.NopCloser(nil)
	for {
		if _, err = r.line(); err != nil {
			break
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return errors.Join(err, r.Close())
}

func (d *Datasets) open(ctx context.Context, id string) (*DatasetReader, error) {
	object, err := d.get(ctx, id)
	if err != nil {
		return nil, err
	}
	r, err := newDatasetReader(object, id)
	if err != nil {
		return nil, errors.Join(err, object.Close())
	}
	r.object = object
	return r, nil
}

func newDatasetReader(object io.Reader, id string) (*DatasetReader, error) {
	ds, rest, err := readHeader(object, id)
	if err != nil {
		return nil, err
	}
	r := &DatasetReader{Dataset: ds, payload: &payloadReader{r: rest, left: ds.Size, hash: sha256.New()}}
	var lines io.Reader = r.payload
	if ds.Encoding == encodingZstd {
		if r.zstd, err = newDecoder(r.payload); err != nil {
			return nil, err
		}
		lines = r.zstd
	}
	r.lines = bufio.NewReaderSize(lines, 64<<10)
	return r, nil
}

// Next returns the next lesson, or io.EOF after the last. After any other error, the
// lessons already read from this reader must not be used.
func (r *DatasetReader) Next() (Lesson, error) {
	line, err := r.line()
	if err != nil {
		if errors.Is(err, io.EOF) {
			return Lesson{}, io.EOF
		}
		return Lesson{}, fmt.Errorf("read dataset %s: %w", r.ID, err)
	}
	l, err := decodeLesson(line)
	if err != nil {
		return Lesson{}, fmt.Errorf("read dataset %s, lesson %d: %w", r.ID, r.read, err)
	}
	return l, nil
}

// line returns the next line with its newline. At the end of the payload it checks the
// digest and the counts and returns io.EOF.
func (r *DatasetReader) line() ([]byte, error) {
	var line []byte
	for {
		part, err := r.lines.ReadSlice('\n')
		if len(line) == 0 {
			line = part
		} else {
			line = append(line, part...)
		}
		switch {
		case err == nil:
			r.read++
			r.raw += int64(len(line))
			if r.read > r.Lessons || r.raw > r.Raw {
				return nil, fmt.Errorf("%w: more lessons than its header says", ErrCorrupt)
			}
			return line, nil
		case len(line) > maxLessonLine:
			return nil, fmt.Errorf("%w: lesson %d is longer than a lesson can be", ErrCorrupt, r.read+1)
		case errors.Is(err, bufio.ErrBufferFull):
			line = bytes.Clone(line)
		case errors.Is(err, io.EOF):
			return nil, r.end(len(line))
		default:
			return nil, r.cause(err)
		}
	}
}

// cause distinguishes damaged bytes from a store that failed to deliver them.
func (r *DatasetReader) cause(err error) error {
	if r.payload.err != nil {
		return r.payload.err
	}
	return fmt.Errorf("%w: %s", ErrCorrupt, err.Error())
}

func (r *DatasetReader) end(rest int) error {
	if err := r.payload.end(r.SHA256); err != nil {
		return err
	}
	if rest > 0 || r.read != r.Lessons || r.raw != r.Raw {
		return fmt.Errorf("%w: %d lessons in %d bytes where its header says %d in %d", ErrCorrupt, r.read, r.raw, r.Lessons, r.Raw)
	}
	return io.EOF
}

// Close releases the reader.
func (r *DatasetReader) Close() error {
	if r.zstd != nil {
		r.zstd.Close()
	}
	return r.object.Close()
}

// payloadReader hashes the payload while it is read, and keeps the errors of the
// underlying store apart.
type payloadReader struct {
	r    io.Reader
	left int64 // bytes of the payload still to come
	hash hash.Hash
	err  error // of the store
}

func (p *payloadReader) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	n, err := p.r.Read(b[:min(int64(len(b)), p.left)])
	p.left -= int64(n)
	p.hash.Write(b[:n])
	if errors.Is(err, io.EOF) {
		if p.left > 0 {
			p.err = fmt.Errorf("%w: cut off, %d bytes are missing", ErrCorrupt, p.left)
			return n, p.err
		}
		return n, nil
	}
	if err != nil {
		p.err = err
	}
	return n, err
}

// end compares what was read with its digest.
func (p *payloadReader) end(digest string) error {
	if _, err := io.Copy(io.Discard, p); err != nil {
		return err
	}
	if got := hex.EncodeToString(p.hash.Sum(nil)); got != digest {
		return fmt.Errorf("%w: SHA-256 of its payload is %s, not %s", ErrCorrupt, got, digest)
	}
	var one [1]byte
	switch n, err := io.ReadFull(p.r, one[:]); {
	case n > 0:
		return fmt.Errorf("%w: bytes after its end", ErrCorrupt)
	case !errors.Is(err, io.EOF):
		return err
	}
	return nil
}
