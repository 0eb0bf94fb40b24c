package storage

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nexus-continuum/nexus/job"
)

// Op says what a dataset does to the model.
type Op string

// The operations.
const (
	OpTeach  Op = "teach"
	OpForget Op = "forget"
	OpJudge  Op = "judge"
	// OpRevise replaces lessons: with another response, or in another topic than From.
	OpRevise Op = "revise"
)

// Valid reports whether o is a known operation.
func (o Op) Valid() bool {
	return o == OpTeach || o == OpForget || o == OpJudge || o == OpRevise
}

// DatasetMeta is what the creator of a dataset records about it.
type DatasetMeta struct {
	Op Op `json:"op"`
	// Owner is the name of the API key that asked for it; empty where no key was
	// needed.
	Owner string `json:"owner,omitempty"`
	// Topic is the topic of a forget operation without lessons, or the default topic of
	// lessons that name none.
	Topic string `json:"topic,omitempty"`
	// Pack is the name of the topic pack that the lessons came from; empty if none.
	Pack string `json:"pack,omitempty"`
	// Teacher is the name of the model that wrote the lessons, and Job the id of the
	// job that it wrote them for; empty if no model wrote them.
	Teacher string `json:"teacher,omitempty"`
	Job     string `json:"job,omitempty"`
	// From is the topic that the prompts of a revise operation leave; nil if they stay
	// in their topic.
	From *string `json:"from,omitempty"`
	// LessonIDs are the ids of lessons to unlearn.
	LessonIDs []string `json:"lesson_ids,omitempty"`
	// Faults are the lines of the upload that were left out, at most 1000.
	Faults []job.Fault `json:"faults,omitempty"`
	// Lines is how many lines the upload had, including faulty ones; 0 means unknown.
	Lines int `json:"lines,omitempty"`
}

// Dataset is the header of a stored operation. Its ID identifies the dataset. Sorted
// ids give the order of operations.
type Dataset struct {
	ID        string    `json:"id"`
	CreatedAt time.Time `json:"created_at"`
	DatasetMeta
	// Lessons is how many lessons follow.
	Lessons int `json:"lessons"`
	// Encoding of the payload: "plain" (NDJSON) or "zstd".
	Encoding string `json:"encoding"`
	// Size is the stored size of the payload, and Raw the size of its NDJSON, in bytes.
	Size int64 `json:"size"`
	Raw  int64 `json:"raw"`
	// SHA256 is the digest of the payload as stored.
	SHA256 string `json:"sha256"`
}

// Limits of a dataset.
const (
	// MaxDatasetRaw limits the NDJSON of one dataset, in bytes: an upload of 256 MiB
	// with every character escaped in the longest way.
	MaxDatasetRaw = 2 << 30
	maxHeader     = 256 << 10
	maxFaults     = 1000
)

// DatasetOptions configure Datasets.
type DatasetOptions struct {
	// Spool is the folder for uploads that do not fit in memory; empty means the
	// system's temporary folder.
	Spool string
	Log   *slog.Logger
	Now   func() time.Time
}

// Datasets is the ordered log of what was taught, unlearned and judged. A dataset is
// one object, written once and complete, until Compact combines many small ones.
type Datasets struct {
	store Store
	opt   DatasetOptions

	mu     sync.Mutex
	last   string                   // newest id seen, so that new ones sort after it
	tables map[string]*segmentTable // of the segments seen so far, by key
	// payload belongs to the segment that was read last.
	payloadKey string
	payload    []byte

	ops sync.Map // Op by id, of the headers read so far: a dataset never changes
}

// NewDatasets returns the datasets of a store.
func NewDatasets(store Store, opt DatasetOptions) *Datasets {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	return &Datasets{store: store, opt: opt, tables: map[string]*segmentTable{}}
}

// IDs lists the ids of all datasets, oldest first, without reading the datasets. It
// reads the header of each segment once.
func (d *Datasets) IDs(ctx context.Context) ([]string, error) {
	single, segments, err := d.objects(ctx)
	if err != nil {
		return nil, err
	}
	apart := false
	ids := make([]string, 0, len(single)+segmentMost*len(segments))
	for _, i := range segments {
		t, err := d.table(ctx, i.Key)
		switch {
		case errors.Is(err, ErrNotFound):
		case errors.Is(err, ErrCorrupt):
			apart = true
		case err != nil:
			return nil, fmt.Errorf("list datasets: %w", err)
		default:
			for _, e := range t.Datasets {
				ids = append(ids, e.ID)
			}
		}
	}
	if apart { // its datasets are single ones now
		if single, _, err = d.list(ctx); err != nil {
			return nil, err
		}
	}
	for _, i := range single {
		id, _ := datasetID(i.Key)
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// SingleIDs lists the ids of the datasets outside segments, oldest first. It includes
// every unlearning. It reads no objects, and its cost does not grow with what was
// taught.
func (d *Datasets) SingleIDs(ctx context.Context) ([]string, error) {
	single, _, err := d.list(ctx)
	ids := make([]string, len(single))
	for i, s := range single {
		ids[i], _ = datasetID(s.Key)
	}
	return ids, err
}

// List reads the headers of all datasets, oldest first. A damaged dataset is set aside,
// logged and left out.
func (d *Datasets) List(ctx context.Context) ([]Dataset, error) {
	ids, err := d.IDs(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]Dataset, 0, len(ids))
	for _, id := range ids {
		ds, err := d.Stat(ctx, id)
		switch {
		case err == nil:
			out = append(out, ds)
		case errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNotFound):
			// Set aside by Stat, or deleted since it was listed.
		default:
			return nil, err
		}
	}
	return out, nil
}

// Stat reads the header of dataset id. It returns ErrNotFound, or ErrCorrupt after it
// has set a damaged dataset aside.
func (d *Datasets) Stat(ctx context.Context, id string) (Dataset, error) {
	key, err := datasetKey(id)
	if err != nil {
		return Dataset{}, err
	}
	ds, err := d.stat(ctx, id)
	if errors.Is(err, ErrCorrupt) {
		// It is read once more: a transmission error must not set good bytes aside, and
		// a store with a second place may have good bytes there.
		if err = repairObject(ctx, d.store, key); err == nil {
			ds, err = d.stat(ctx, id)
		}
		if errors.Is(err, ErrCorrupt) {
			d.setAside(ctx, key, err)
		}
	}
	if err != nil {
		return Dataset{}, fmt.Errorf("read dataset %s: %w", id, err)
	}
	return ds, nil
}

func (d *Datasets) stat(ctx context.Context, id string) (ds Dataset, err error) {
	body, err := d.get(ctx, id)
	if err != nil {
		return Dataset{}, err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	ds, _, err = readHeader(body, id)
	return ds, err
}

// Op returns the operation of dataset id. It reads the header at most once. It returns
// the errors of Stat.
func (d *Datasets) Op(ctx context.Context, id string) (Op, error) {
	if op, ok := d.ops.Load(id); ok {
		return op.(Op), nil //nolint:forcetypeassert // the map holds nothing else
	}
	ds, err := d.Stat(ctx, id)
	if err != nil {
		return "", err
	}
	d.ops.Store(id, ds.Op)
	return ds.Op, nil
}

// Delete removes dataset id. It returns no error if there is none.
func (d *Datasets) Delete(ctx context.Context, id string) error {
	key, err := datasetKey(id)
	if err != nil {
		return err
	}
	err = d.without(ctx, id)
	if err == nil {
		err = d.store.Delete(ctx, key)
	}
	if err != nil {
		return fmt.Errorf("delete dataset %s: %w", id, err)
	}
	return nil
}

func (d *Datasets) setAside(ctx context.Context, key string, why error) {
	to := Corrupted + key
	err := d.store.Move(ctx, key, to)
	if errors.Is(err, ErrNotFound) {
		return // it lay in a segment, or another process was faster
	}
	if err != nil {
		d.opt.Log.Error("dataset is damaged and could not be set aside", "dataset", strings.TrimPrefix(key, DatasetsPrefix), "why", why, "error", err)
		return
	}
	d.opt.Log.Error("dataset is damaged, set aside", "dataset", strings.TrimPrefix(key, DatasetsPrefix), "moved_to", to, "why", why)
}

// readHeader reads and checks the first line. The returned reader continues with the
// payload.
func readHeader(r io.Reader, id string) (Dataset, *bufio.Reader, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	line, err := readLine(b)
	if err != nil {
		return Dataset{}, nil, err
	}
	ds, err := decodeHeader(line)
	if err != nil {
		return Dataset{}, nil, err
	}
	if ds.ID != id {
		return Dataset{}, nil, fmt.Errorf("%w: it is dataset %s under another name", ErrCorrupt, ds.ID)
	}
	return ds, b, nil
}

// readLine reads the header of a dataset or segment: its first line.
func readLine(b *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := b.ReadSlice('\n')
		line = append(line, part...)
		if err == nil {
			return line, nil
		}
		if len(line) > maxHeader {
			return nil, fmt.Errorf("%w: no header in the first %d bytes", ErrCorrupt, maxHeader)
		}
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%w: ends within its header", ErrCorrupt)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
	}
}

func decodeHeader(line []byte) (Dataset, error) {
	var ds Dataset
	if err := unseal(line, kindDataset, &ds); err != nil {
		return Dataset{}, err
	}
	switch {
	case checkID(ds.ID) != nil, checkDigest(ds.SHA256) != nil, !ds.Op.Valid(),
		ds.Encoding != encodingPlain && ds.Encoding != encodingZstd,
		ds.Lessons < 0, ds.Size < 0, ds.Raw < 0, ds.Raw > MaxDatasetRaw, len(ds.Faults) > maxFaults:
		return Dataset{}, fmt.Errorf("%w: header of dataset %q holds impossible values", ErrCorrupt, ds.ID)
	}
	return ds, nil
}
