package storage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
)

// Part is a named piece of a checkpoint. Parts that did not change between two
// checkpoints are stored once.
type Part struct {
	Name string
	Data []byte
}

// PartRef is the entry of a manifest for a part.
type PartRef struct {
	Name string `json:"name"`
	// SHA256 and Size (in bytes) describe the unpacked part.
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
	// Stored says how the part is stored under parts/.
	Stored StoredRef `json:"stored"`
}

// StoredRef names an object under parts/. The name is the digest of the stored bytes,
// so that sha256sum alone can check a folder.
type StoredRef struct {
	SHA256   string `json:"sha256"`
	Size     int64  `json:"size"`
	Encoding string `json:"encoding"`
}

// Key is the object's key in a store.
func (s StoredRef) Key() string { return PartsPrefix + s.SHA256 }

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// A part is stored compressed only if that saves at least a fifth. Floating-point
// weights and vectors do not compress that well, and every load would pay for it.
const (
	worthwhile = 0.8
	sampleSize = 64 << 10
)

// encodePart returns the bytes to store for data.
func encodePart(data []byte) ([]byte, string, error) {
	if len(data) < 512 {
		return data, encodingPlain, nil
	}
	if len(data) > 4*sampleSize {
		// The middle is sampled, because the start of a part may be a header.
		at := len(data)/2 - sampleSize/2
		packed, err := compress(data[at : at+sampleSize])
		if err != nil {
			return nil, "", err
		}
		if float64(len(packed)) > worthwhile*sampleSize {
			return data, encodingPlain, nil
		}
	}
	packed, err := compress(data)
	if err != nil {
		return nil, "", err
	}
	if float64(len(packed)) > worthwhile*float64(len(data)) {
		return data, encodingPlain, nil
	}
	return packed, encodingZstd, nil
}

func compress(data []byte) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(len(data)/2 + 512)
	enc, err := newEncoder(&b)
	if err != nil {
		return nil, err
	}
	if _, err := enc.Write(data); err != nil {
		return nil, errors.Join(err, enc.Close())
	}
	if err := enc.Close(); err != nil {
		return nil, fmt.Errorf("compress a part: %w", err)
	}
	return b.Bytes(), nil
}

// readPart reads and verifies one part. If keep is false, it only verifies, in bounded
// memory, and returns no data.
func readPart(ctx context.Context, store Store, ref PartRef, keep bool) ([]byte, error) {
	data, err := tryPart(ctx, store, ref, keep)
	if errors.Is(err, ErrCorrupt) {
		// It is read once more: a transmission error must not set good bytes aside, and
		// a store with a second place may have good bytes there.
		if err = repairObject(ctx, store, ref.Stored.Key()); err == nil {
			data, err = tryPart(ctx, store, ref, keep)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("part %s (%s): %w", ref.Name, ref.Stored.Key(), err)
	}
	return data, nil
}

func tryPart(ctx context.Context, store Store, ref PartRef, keep bool) (data []byte, err error) {
	object, err := store.Get(ctx, ref.Stored.Key())
	if errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("%w: it is missing", ErrCorrupt)
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, object.Close()) }()
	return decodePart(object, ref, keep)
}

func decodePart(object io.Reader, ref PartRef, keep bool) ([]byte, error) {
	stored := &payloadReader{r: object, left: ref.Stored.Size, hash: sha256.New()}
	var from io.Reader = stored
	if ref.Stored.Encoding == encodingZstd {
		dec, err := newDecoder(stored)
		if err != nil {
			return nil, err
		}
		defer dec.Close()
		from = dec
	}
	sink := &partSink{limit: ref.Size, keep: keep}
	if ref.Stored.Encoding == encodingZstd {
		sink.hash = sha256.New()
	}
	if keep {
		// Beyond this, memory grows only as bytes arrive.
		sink.data.Grow(int(min(ref.Size, 64<<20)))
	}
	if _, err := io.Copy(sink, from); err != nil {
		if stored.err != nil {
			return nil, stored.err
		}
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if err := stored.end(ref.Stored.SHA256); err != nil {
		return nil, err
	}
	if sink.n != ref.Size || sink.hash != nil && hex.EncodeToString(sink.hash.Sum(nil)) != ref.SHA256 {
		return nil, fmt.Errorf("%w: it does not decode to what was saved", ErrCorrupt)
	}
	return sink.data.Bytes(), nil
}

// partSink collects the bytes of a part, up to its size.
type partSink struct {
	data  bytes.Buffer
	hash  hash.Hash // nil where the stored digest covers it
	n     int64
	limit int64
	keep  bool
}

func (s *partSink) Write(p []byte) (int, error) {
	if s.n += int64(len(p)); s.n > s.limit {
		return 0, fmt.Errorf("longer than the %d bytes that were saved", s.limit)
	}
	if s.hash != nil {
		s.hash.Write(p)
	}
	if s.keep {
		s.data.Write(p)
	}
	return len(p), nil
}
