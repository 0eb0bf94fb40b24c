package storage

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// A segment is one object that holds many small datasets, each byte for byte as it was
// stored alone. Its key names the range of their ids; datasets outside the segment may
// have ids within that range. If a dataset is stored both in a segment and alone, both
// copies are equal.
const (
	// segmentMost and segmentBytes limit a segment, so that reading one of its datasets
	// never reads much more.
	segmentMost  = 1024
	segmentBytes = 1 << 20
	// segmentDataset is the largest size in bytes of a dataset in a segment.
	segmentDataset = 64 << 10
)

// segmentTable is the header of a segment.
type segmentTable struct {
	Datasets []segmentEntry `json:"datasets"`
	// Size and SHA256 describe all datasets together, in the order of the list.
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// segmentEntry is one dataset of a segment.
type segmentEntry struct {
	ID   string `json:"id"`
	Op   Op     `json:"op"`
	Size int64  `json:"size"` // as stored alone, in bytes
}

// find returns dataset id and the offset in the payload at which it begins.
func (t *segmentTable) find(id string) (entry segmentEntry, from int64, ok bool) {
	i, ok := slices.BinarySearchFunc(t.Datasets, id, func(e segmentEntry, id string) int { return strings.Compare(e.ID, id) })
	if !ok {
		return segmentEntry{}, 0, false
	}
	for _, e := range t.Datasets[:i] {
		from += e.Size
	}
	return t.Datasets[i], from, true
}

func segmentKey(first, last string) string { return DatasetsPrefix + first + "_" + last }

// segmentRange is the inverse of segmentKey; it returns false for other names.
func segmentRange(key string) (first, last string, ok bool) {
	name, ok := strings.CutPrefix(key, DatasetsPrefix)
	if !ok {
		return "", "", false
	}
	first, last, ok = strings.Cut(name, "_")
	return first, last, ok && checkID(first) == nil && checkID(last) == nil && first <= last
}

// IsSegment reports whether key names a segment.
func IsSegment(key string) bool {
	_, _, ok := segmentRange(key)
	return ok
}

// Covers reports whether key names a segment whose range includes dataset id. The
// segment need not hold that dataset.
func Covers(key, id string) bool {
	first, last, ok := segmentRange(key)
	return ok && first <= id && id <= last
}

// encodeSegment makes a segment of the stored bytes of datasets.
func encodeSegment(entries []segmentEntry, payload []byte) ([]byte, error) {
	header, err := seal(kindSegment, segmentTable{Datasets: entries, Size: int64(len(payload)), SHA256: digest(payload)})
	if err != nil {
		return nil, err
	}
	if len(header) > maxHeader {
		return nil, fmt.Errorf("segment header of %d bytes: %w", len(header), ErrTooLarge)
	}
	return append(header, payload...), nil
}

// readSegmentTable reads the header of a segment. The returned reader continues with
// the datasets. It returns ErrCorrupt for damaged data.
func readSegmentTable(r io.Reader, key string) (*segmentTable, *bufio.Reader, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	line, err := readLine(b)
	if err != nil {
		return nil, nil, err
	}
	t := &segmentTable{}
	if err := unseal(line, kindSegment, t); err != nil {
		return nil, nil, err
	}
	var size int64
	before := ""
	for _, e := range t.Datasets {
		if checkID(e.ID) != nil || e.ID <= before || !Covers(key, e.ID) || !e.Op.Valid() || e.Size < 1 || e.Size > segmentDataset {
			return nil, nil, fmt.Errorf("%w: header of %s holds impossible values", ErrCorrupt, key)
		}
		size, before = size+e.Size, e.ID
	}
	if size != t.Size || checkDigest(t.SHA256) != nil {
		return nil, nil, fmt.Errorf("%w: header of %s holds impossible values", ErrCorrupt, key)
	}
	return t, b, nil
}

// readSegment reads a whole segment. It returns ErrCorrupt for damaged data.
func readSegment(r io.Reader, key string) (*segmentTable, []byte, error) {
	t, rest, err := readSegmentTable(r, key)
	if err != nil {
		return nil, nil, err
	}
	var payload bytes.Buffer
	n, err := io.Copy(&payload, io.LimitReader(rest, t.Size+1))
	if err != nil {
		return nil, nil, err
	}
	sum := sha256.Sum256(payload.Bytes())
	if n != t.Size || hex.EncodeToString(sum[:]) != t.SHA256 {
		return nil, nil, fmt.Errorf("%w: %s does not match its SHA-256", ErrCorrupt, key)
	}
	return t, payload.Bytes(), nil
}

// objects lists the single datasets and the segments under datasets/. A list is not
// made in one moment, so a list that misses a dataset that was just moved may miss its
// segment too. The segment was stored before the dataset was deleted, so a second list
// has it.
func (d *Datasets) objects(ctx context.Context) (single, segments []Info, err error) {
	if single, _, err = d.list(ctx); err == nil {
		_, segments, err = d.list(ctx)
	}
	return single, segments, err
}

func (d *Datasets) list(ctx context.Context) (single, segments []Info, err error) {
	infos, err := d.store.List(ctx, DatasetsPrefix)
	if err != nil {
		return nil, nil, fmt.Errorf("list datasets: %w", err)
	}
	for _, i := range infos {
		if _, ok := datasetID(i.Key); ok {
			single = append(single, i)
		} else if IsSegment(i.Key) {
			segments = append(segments, i)
		}
	}
	return single, segments, nil
}

// table returns the header of a segment, which is read once. It returns ErrNotFound, or
// ErrCorrupt after it has taken a damaged segment apart.
func (d *Datasets) table(ctx context.Context, key string) (*segmentTable, error) {
	d.mu.Lock()
	t := d.tables[key]
	d.mu.Unlock()
	if t != nil {
		return t, nil
	}
	err := d.reading(ctx, key, func(r io.Reader) (err error) {
		t, _, err = readSegmentTable(r, key)
		return err
	})
	if err != nil {
		return nil, err
	}
	d.remember(key, t)
	return t, nil
}

func (d *Datasets) remember(key string, t *segmentTable) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tables[key] = t
}

// segment reads a whole segment. It keeps the one that was read last, because a caller
// that reads one of its datasets often reads the next. It returns the errors of table.
func (d *Datasets) segment(ctx context.Context, key string) (*segmentTable, []byte, error) {
	d.mu.Lock()
	t, payload := d.tables[key], d.payload
	same := t != nil && d.payloadKey == key
	d.mu.Unlock()
	if same {
		return t, payload, nil
	}
	err := d.reading(ctx, key, func(r io.Reader) (err error) {
		t, payload, err = readSegment(r, key)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tables[key], d.payloadKey, d.payload = t, key, payload
	return t, payload, nil
}

// reading passes a segment to do. If the segment is damaged, reading repairs it and
// calls do again. A segment that stays damaged is taken apart.
func (d *Datasets) reading(ctx context.Context, key string, do func(io.Reader) error) error {
	err := readObject(ctx, d.store, key, do)
	if errors.Is(err, ErrCorrupt) {
		if err = repairObject(ctx, d.store, key); err == nil {
			err = readObject(ctx, d.store, key, do)
		}
		if errors.Is(err, ErrCorrupt) {
			d.forgetSegment(key)
			d.takeApart(ctx, key, err)
		}
	}
	if errors.Is(err, ErrNotFound) {
		d.forgetSegment(key)
	}
	return err
}

func readObject(ctx context.Context, store Store, key string, do func(io.Reader) error) (err error) {
	r, err := store.Get(ctx, key)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return do(r)
}

func (d *Datasets) forgetSegment(key string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.tables, key)
	if d.payloadKey == key {
		d.payloadKey, d.payload = "", nil
	}
}

// takeApart stores the intact datasets of a damaged segment as single objects again,
// and sets the segment aside.
func (d *Datasets) takeApart(ctx context.Context, key string, why error) {
	n, err := salvageSegment(ctx, d.store, key)
	if err != nil {
		d.opt.Log.Error("a segment of datasets is damaged and could not be taken apart", "segment", key, "why", why, "error", err)
		return
	}
	d.opt.Log.Error("a segment of datasets is damaged, set aside; the datasets in it that are whole are stored singly again",
		"segment", strings.TrimPrefix(key, DatasetsPrefix), "moved_to", Corrupted+key, "whole", n, "why", why)
}

// salvageSegment stores the intact datasets of a damaged segment as single objects and
// moves the segment aside. Each dataset carries its own digest, so the header is not
// needed.
func salvageSegment(ctx context.Context, store Store, key string) (whole int, err error) {
	var object []byte
	err = readObject(ctx, store, key, func(r io.Reader) (err error) {
		object, err = io.ReadAll(io.LimitReader(r, maxHeader+2*segmentBytes))
		return err
	})
	if err != nil {
		return 0, err
	}
	mark := []byte(`{"format":`)
	for from := 0; from < len(object); {
		end := from + 1
		if i := bytes.Index(object[from+1:], mark); i >= 0 {
			end += i
		} else {
			end = len(object)
		}
		ds, n := wholeDataset(object[from:])
		if n == 0 {
			from = end // look for the next beginning
			continue
		}
		single, err := datasetKey(ds)
		if err == nil {
			err = store.Put(ctx, single, Body(object[from:from+n]))
		}
		if err != nil {
			return whole, err
		}
		whole++
		from += n
	}
	if err := store.Move(ctx, key, Corrupted+key); err != nil && !errors.Is(err, ErrNotFound) {
		return whole, err
	}
	return whole, nil
}

// wholeDataset returns the id and the size in bytes of the dataset at the start of b.
// The size is 0 if b does not begin with an intact dataset.
func wholeDataset(b []byte) (id string, size int) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		return "", 0
	}
	ds, err := decodeHeader(b[:i+1])
	if err != nil || int64(len(b)-i-1) < ds.Size {
		return "", 0
	}
	size = i + 1 + int(ds.Size)
	if verifyDataset(bytes.NewReader(b[:size]), ds.ID) != nil {
		return "", 0
	}
	return ds.ID, size
}

// get opens the bytes of dataset id, single or in a segment.
func (d *Datasets) get(ctx context.Context, id string) (io.ReadCloser, error) {
	if key := d.known(id); key != "" {
		b, err := d.fromSegment(ctx, key, id)
		if err == nil {
			return io.NopCloser(bytes.NewReader(b)), nil
		}
		if !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrCorrupt) {
			return nil, err
		}
	}
	key, err := datasetKey(id)
	if err != nil {
		return nil, err
	}
	r, err := d.store.Get(ctx, key)
	if !errors.Is(err, ErrNotFound) {
		return r, err
	}
	// It may have been moved into a segment just now.
	_, segments, listed := d.list(ctx)
	if listed != nil {
		return nil, listed
	}
	for _, i := range segments {
		if !Covers(i.Key, id) {
			continue
		}
		b, found := d.fromSegment(ctx, i.Key, id)
		if found == nil {
			return io.NopCloser(bytes.NewReader(b)), nil
		}
		if !errors.Is(found, ErrNotFound) && !errors.Is(found, ErrCorrupt) {
			return nil, found
		}
	}
	// A damaged segment may have been taken apart meanwhile.
	return d.store.Get(ctx, key)
}

// known returns the key of the segment that holds dataset id, as far as this process
// knows.
func (d *Datasets) known(id string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, t := range d.tables {
		if n := len(t.Datasets); n == 0 || id < t.Datasets[0].ID || id > t.Datasets[n-1].ID {
			continue
		}
		if _, _, ok := t.find(id); ok {
			return key
		}
	}
	return ""
}

// fromSegment returns the bytes of dataset id in a segment. It returns ErrNotFound if
// the segment does not hold that dataset.
func (d *Datasets) fromSegment(ctx context.Context, key, id string) ([]byte, error) {
	t, err := d.table(ctx, key)
	if err != nil {
		return nil, err
	}
	if _, _, ok := t.find(id); !ok {
		return nil, fmt.Errorf("dataset %s in %s: %w", id, key, ErrNotFound)
	}
	t, payload, err := d.segment(ctx, key)
	if err != nil {
		return nil, err
	}
	e, from, ok := t.find(id)
	if !ok {
		return nil, fmt.Errorf("dataset %s in %s: %w", id, key, ErrNotFound)
	}
	return payload[from : from+e.Size], nil
}

// without stores the segments that hold dataset id again, without that dataset.
func (d *Datasets) without(ctx context.Context, id string) error {
	_, segments, err := d.list(ctx)
	if err != nil {
		return err
	}
	for _, i := range segments {
		if !Covers(i.Key, id) {
			continue
		}
		d.forgetSegment(i.Key) // another process may have written it again
		t, payload, err := d.segment(ctx, i.Key)
		if errors.Is(err, ErrNotFound) || errors.Is(err, ErrCorrupt) {
			continue
		}
		if err != nil {
			return err
		}
		e, from, ok := t.find(id)
		if !ok {
			continue
		}
		rest := slices.Concat(payload[:from], payload[from+e.Size:])
		entries := slices.DeleteFunc(slices.Clone(t.Datasets), func(e segmentEntry) bool { return e.ID == id })
		body, err := encodeSegment(entries, rest)
		if err == nil {
			err = d.store.Put(ctx, i.Key, Body(body))
		}
		if err != nil {
			return err
		}
		d.forgetSegment(i.Key)
	}
	return nil
}
