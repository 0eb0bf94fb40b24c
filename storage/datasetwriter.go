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

	"github.com/klauspost/compress/zstd"
)

// zstdFrom is the size in bytes from which lessons are compressed. A smaller dataset
// stays readable as text, and compressing it would not save a disk block.
const zstdFrom = 16 << 10

// DatasetWriter collects the lessons of one dataset. It needs bounded memory for any
// number of lessons. Nothing is visible or left behind before Commit. It must be used
// by one goroutine only, and must be ended by Commit or Abort.
type DatasetWriter struct {
	datasets *Datasets
	meta     DatasetMeta

	pending bytes.Buffer // the start of the NDJSON, until it is worth compressing
	spool   spool
	zstd    *zstd.Encoder // nil while everything fits into pending
	hash    hash.Hash     // of the payload as stored
	lessons int
	raw     int64
	ended   bool
}

// Create starts a dataset.
func (d *Datasets) Create(ctx context.Context, meta DatasetMeta) (*DatasetWriter, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !meta.Op.Valid() {
		return nil, fmt.Errorf("create dataset: unknown operation %q", meta.Op)
	}
	return &DatasetWriter{datasets: d, meta: meta, spool: spool{dir: d.opt.Spool}, hash: sha256.New()}, nil
}

// Meta gives access to the contents of the header until Commit, because the faults and
// the line count of an upload are known only at its end.
func (w *DatasetWriter) Meta() *DatasetMeta { return &w.meta }

// Lessons returns how many lessons were added.
func (w *DatasetWriter) Lessons() int { return w.lessons }

// Add appends a lesson. After an error the dataset can only be aborted.
func (w *DatasetWriter) Add(l Lesson) error {
	if w.ended {
		return errors.New("add a lesson: the dataset is ended")
	}
	before := w.pending.Len()
	if err := l.encode(&w.pending); err != nil {
		w.pending.Truncate(before)
		return err
	}
	w.raw += int64(w.pending.Len() - before)
	if w.raw > MaxDatasetRaw {
		return fmt.Errorf("add a lesson: dataset beyond %d bytes: %w", int64(MaxDatasetRaw), ErrTooLarge)
	}
	w.lessons++
	if w.pending.Len() < zstdFrom {
		return nil
	}
	return w.compress()
}

// compress moves the pending bytes through zstd into the spool.
func (w *DatasetWriter) compress() error {
	if w.zstd == nil {
		enc, err := newEncoder(io.MultiWriter(&w.spool, w.hash))
		if err != nil {
			return err
		}
		w.zstd = enc
	}
	if _, err := w.zstd.Write(w.pending.Bytes()); err != nil {
		return fmt.Errorf("spool lessons: %w", err)
	}
	w.pending.Reset()
	return nil
}

// Commit stores the dataset and returns its header. If it returns nil, the lessons are
// durable. The id sorts after every id that this process has seen.
func (w *DatasetWriter) Commit(ctx context.Context) (Dataset, error) {
	if w.ended {
		return Dataset{}, errors.New("commit dataset: it is ended")
	}
	defer w.Abort()
	ds := Dataset{
		DatasetMeta: w.meta, CreatedAt: w.datasets.opt.Now().UTC(), Lessons: w.lessons, Raw: w.raw,
		Encoding: encodingPlain,
	}
	var body io.ReaderAt = bytes.NewReader(w.pending.Bytes())
	ds.Size = int64(w.pending.Len())
	if w.zstd != nil {
		if err := w.compress(); err != nil {
			return Dataset{}, err
		}
		if err := w.zstd.Close(); err != nil {
			return Dataset{}, fmt.Errorf("spool lessons: %w", err)
		}
		ds.Encoding, ds.Size, body = encodingZstd, w.spool.size, &w.spool
	} else {
		w.hash.Write(w.pending.Bytes())
	}
	ds.SHA256 = hex.EncodeToString(w.hash.Sum(nil))
	if err := w.datasets.put(ctx, &ds, body); err != nil {
		return Dataset{}, err
	}
	return ds, nil
}

// Abort drops the dataset. It does nothing after Commit or another Abort.
func (w *DatasetWriter) Abort() {
	if w.ended {
		return
	}
	w.ended = true
	if w.zstd != nil {
		// Reset frees the buffers and drops their contents.
		w.zstd.Reset(nil)
	}
	if err := w.spool.Close(); err != nil {
		w.datasets.opt.Log.Warn("close the temporary file of a dataset", "error", err)
	}
}

// put gives ds its id and stores it.
func (d *Datasets) put(ctx context.Context, ds *Dataset, body io.ReaderAt) error {
	id, err := d.nextID(ctx)
	if err != nil {
		return err
	}
	ds.ID = id
	format := formatVersion
	switch ds.Op {
	case OpJudge:
		format = formatJudged
	case OpRevise:
		format = formatRevised
	case OpTeach, OpForget:
	}
	header, err := sealAs(format, kindDataset, ds)
	if err != nil {
		return err
	}
	if len(header) > maxHeader || len(ds.Faults) > maxFaults {
		return fmt.Errorf("dataset header of %d bytes and %d faults: %w", len(header), len(ds.Faults), ErrTooLarge)
	}
	key, err := datasetKey(ds.ID)
	if err != nil {
		return err
	}
	if err := d.store.Put(ctx, key, headed{head: header, body: body, size: ds.Size}.section()); err != nil {
		return fmt.Errorf("store dataset %s: %w", ds.ID, err)
	}
	return nil
}

// nextID returns an id that sorts after every id that this process has given. The first
// call also takes the ids in the store into account.
func (d *Datasets) nextID(ctx context.Context) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last == "" {
		single, segments, err := d.list(ctx)
		if err != nil {
			return "", err
		}
		for _, i := range single {
			id, _ := datasetID(i.Key)
			d.last = max(d.last, id)
		}
		for _, i := range segments {
			_, last, _ := segmentRange(i.Key)
			d.last = max(d.last, last)
		}
	}
	d.last = newID(d.last)
	return d.last, nil
}
