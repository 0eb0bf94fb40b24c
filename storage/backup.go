package storage

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// A backup is a tar. Plain tar can unpack it into a folder that nexus can serve from.
// Two hidden files frame it: the first says that it is a backup, and the last holds the
// digests of all other files, so that a truncated backup is detected.
const (
	// archiveRoot is the folder in the tar that holds all entries of a backup.
	archiveRoot  = FolderName + "/"
	archiveBegin = ".backup.json"
	archiveSums  = ".backup.sha256"
)

// BackupOptions configure Backup.
type BackupOptions struct {
	// Spool is the folder for objects that do not fit in memory; empty means the
	// system's temporary folder.
	Spool string
	// Version is the version of the program, which is recorded in the backup.
	Version string
	Log     *slog.Logger
	Now     func() time.Time
}

// BackupReport says what a backup holds.
type BackupReport struct {
	// Checkpoint is the id of the checkpoint that is served after a restore; empty if
	// there was none.
	Checkpoint string `json:"checkpoint"`
	Datasets   int    `json:"datasets"`
	// Untrained is how many datasets are learned after a restore, because the
	// checkpoint did not learn from them yet.
	Untrained int   `json:"untrained"`
	Parts     int   `json:"parts"`
	Bytes     int64 `json:"bytes"`
	// Left lists the objects that were left out because they are damaged.
	Left []Fault `json:"left_out,omitempty"`
}

// backupTries is how often a backup starts again with another checkpoint because the
// one being copied was cleaned up. What was copied is kept, so each further try costs
// less.
const backupTries = maxSwaps

var errBackupMoved = errors.New("the checkpoints moved faster than they could be copied")

// Backup writes a tar to w with the served checkpoint, every dataset, the control
// record and the head. It only reads, and may run beside a service that saves and
// cleans up. The checkpoint is complete, and every dataset that was acknowledged before
// the call is included. Each object is verified before it is written.
func Backup(ctx context.Context, store Store, w io.Writer, opt BackupOptions) (BackupReport, error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	store = ReadOnly(store)
	b := &backup{
		store: store, opt: opt, tar: tar.NewWriter(w), written: map[string]bool{},
		checkpoints: NewCheckpoints(store, Options{}), datasets: NewDatasets(store, DatasetOptions{}),
	}
	err := b.run(ctx)
	if err == nil {
		err = b.tar.Close()
	}
	if err != nil {
		return b.report, fmt.Errorf("back up %s: %w", store, err)
	}
	return b.report, nil
}

type backup struct {
	store       Store
	opt         BackupOptions
	checkpoints *Checkpoints
	datasets    *Datasets
	tar         *tar.Writer
	written     map[string]bool
	sums        bytes.Buffer
	report      BackupReport
}

// archiveNote is the content of the first entry.
type archiveNote struct {
	Format    int       `json:"format"`
	CreatedAt time.Time `json:"created_at"`
	Version   string    `json:"version"`
	From      string    `json:"from"`
}

func (b *backup) run(ctx context.Context) error {
	note, err := json.Marshal(archiveNote{Format: 1, CreatedAt: b.opt.Now().UTC().Round(0), Version: b.opt.Version, From: b.store.String()})
	if err != nil {
		return err
	}
	if err := b.entry(archiveBegin, Body(append(note, '\n'))); err != nil {
		return err
	}
	chosen, err := b.checkpoint(ctx)
	if err != nil {
		return err
	}
	// The datasets are written after the checkpoint was chosen, so that they include
	// everything it learned from. They are written before its manifest: a reader of a
	// truncated backup then finds datasets to learn from rather than a checkpoint
	// without them.
	if err := b.allDatasets(ctx, chosen.lineage); err != nil {
		return err
	}
	if err := b.records(ctx); err != nil {
		return err
	}
	for _, m := range chosen.manifests {
		if err := b.entry(m.key, Body(m.body)); err != nil {
			return err
		}
	}
	if chosen.head != nil {
		if err := b.entry(HeadKey, Body(chosen.head)); err != nil {
			return err
		}
	}
	return b.entry(archiveSums, Body(b.sums.Bytes()))
}

// chosen is the checkpoint of a backup, after its parts are written.
type chosen struct {
	manifests []sealedManifest
	head      []byte // nil without a checkpoint
	lineage   Lineage
}

type sealedManifest struct {
	Manifest
	key  string
	body []byte
}

// checkpoint writes the parts of the served checkpoint and returns the records that
// name them.
func (b *backup) checkpoint(ctx context.Context) (chosen, error) {
	for range backupTries {
		c, err := b.tryCheckpoint(ctx)
		if !errors.Is(err, errBackupMoved) {
			return c, err
		}
	}
	return chosen{}, fmt.Errorf("%d times %w", backupTries, errBackupMoved)
}

func (b *backup) tryCheckpoint(ctx context.Context) (chosen, error) {
	raw, _, err := b.store.Read(ctx, HeadKey)
	var head Head
	if err == nil {
		head, err = decodeHead(raw)
	}
	switch {
	case errors.Is(err, ErrNotFound):
		raw = nil
	case errors.Is(err, ErrCorrupt), errors.Is(err, ErrTooLarge):
		b.leave(HeadKey, err)
		raw = nil
	case err != nil:
		return chosen{}, err
	}
	ids, err := b.checkpoints.candidates(ctx, head.Checkpoint)
	if err != nil {
		return chosen{}, err
	}
	for _, id := range ids {
		m, lineage, err := b.copyCheckpoint(ctx, id)
		if errors.Is(err, ErrNotFound) {
			return chosen{}, errBackupMoved
		}
		if errors.Is(err, ErrCorrupt) {
			key, _ := manifestKey(id)
			b.leave(key, err)
			continue
		}
		if err != nil {
			return chosen{}, err
		}
		b.report.Checkpoint = id
		c := chosen{manifests: []sealedManifest{m}, lineage: lineage}
		c.head = raw
		if id != head.Checkpoint {
			// A start would repair the head in the same way.
			next := Head{Checkpoint: id, Seq: head.Seq + 1, Fence: max(head.Fence, m.Meta.Fence), Why: HeadRecovered, MovedAt: b.opt.Now().UTC().Round(0)}
			if c.head, err = seal(kindHead, next); err != nil {
				return chosen{}, err
			}
		}
		if former, ok := b.leftBehind(ctx, head); ok {
			c.manifests = append(c.manifests, former)
		}
		b.challenger(ctx, &c)
		return c, nil
	}
	return chosen{}, nil
}

// challenger copies the checkpoint that answers in the shadow, if there is one.
func (b *backup) challenger(ctx context.Context, c *chosen) {
	r, err := b.checkpoints.Registry(ctx)
	if err != nil || r.Challenger == "" || slices.ContainsFunc(c.manifests, func(m sealedManifest) bool { return m.ID == r.Challenger }) {
		return
	}
	m, _, err := b.copyCheckpoint(ctx, r.Challenger)
	if err != nil {
		b.opt.Log.Warn("the challenger cannot be read and is left out", "checkpoint", r.Challenger, "error", err)
		return
	}
	c.manifests = append(c.manifests, m)
}

// leftBehind copies the checkpoint that served before a promotion or rollback, if that
// was the latest move of the head. It tells the trainer which lessons the rollback took
// back; otherwise they would be learned again.
func (b *backup) leftBehind(ctx context.Context, h Head) (sealedManifest, bool) {
	if h.Why != HeadPromoted || b.report.Checkpoint != h.Checkpoint {
		return sealedManifest{}, false
	}
	all, err := b.checkpoints.List(ctx)
	if err != nil {
		return sealedManifest{}, false
	}
	for _, m := range all { // newest first
		if m.ID > h.Checkpoint && m.CreatedAt.Before(h.MovedAt) {
			out, _, err := b.copyCheckpoint(ctx, m.ID)
			if err != nil {
				b.opt.Log.Warn("what the last rollback took back cannot be read; some of it may be learned again after a restore", "checkpoint", m.ID, "error", err)
			}
			return out, err == nil
		}
	}
	return sealedManifest{}, false
}

// copyCheckpoint writes those parts of a checkpoint that are not written yet. It
// returns ErrNotFound if the checkpoint was cleaned up meanwhile.
func (b *backup) copyCheckpoint(ctx context.Context, id string) (sealedManifest, Lineage, error) {
	key, err := manifestKey(id)
	if err != nil {
		return sealedManifest{}, nil, err
	}
	m := sealedManifest{key: key}
	for range 2 { // a fault of the wire is no fault of the store
		if m.body, _, err = b.store.Read(ctx, key); err != nil {
			return m, nil, err
		}
		if m.Manifest, err = decodeManifest(m.body, id); !errors.Is(err, ErrCorrupt) {
			break
		}
	}
	if err != nil {
		return m, nil, err
	}
	var lineage Lineage
	for _, p := range m.Parts {
		if isLineage(p.Name) {
			data, err := readPart(ctx, b.store, p, true)
			if err == nil {
				lineage, err = decodeLineage(lineage, data)
			}
			if err != nil {
				return m, nil, b.gone(ctx, key, err)
			}
		}
		if err := b.part(ctx, p); err != nil {
			return m, nil, b.gone(ctx, key, err)
		}
	}
	return m, lineage, nil
}

// gone turns damage into ErrNotFound if the manifest has disappeared meanwhile. The
// checkpoint was then cleaned up, and nothing is wrong.
func (b *backup) gone(ctx context.Context, key string, err error) error {
	if _, there := b.store.Stat(ctx, key); errors.Is(there, ErrNotFound) {
		return there
	}
	return err
}

func (b *backup) part(ctx context.Context, p PartRef) error {
	if b.written[p.Stored.Key()] {
		return nil
	}
	err := b.object(ctx, p.Stored.Key(), func(s *spool) error {
		_, err := decodePart(s.section(), p, false)
		return err
	})
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("part %s (%s): %w: it is missing", p.Name, p.Stored.Key(), ErrCorrupt)
	}
	if err == nil {
		b.report.Parts++
	}
	return err
}

// object copies one object after check has read all of it.
func (b *backup) object(ctx context.Context, key string, check func(*spool) error) error {
	var s *spool
	var err error
	for range 2 { // a fault of the wire is no fault of the store
		s = &spool{dir: b.opt.Spool}
		if err = copyTo(ctx, b.store, key, s); err == nil {
			err = check(s)
		}
		if err == nil {
			break
		}
		if e := s.Close(); e != nil {
			return errors.Join(err, e)
		}
		if !errors.Is(err, ErrCorrupt) {
			return err
		}
	}
	if err != nil {
		return err
	}
	return errors.Join(b.entry(key, s.section()), s.Close())
}

// allDatasets writes every dataset and counts those that the lineage does not name.
func (b *backup) allDatasets(ctx context.Context, lineage Lineage) error {
	ids, err := b.datasets.IDs(ctx)
	if err != nil {
		return err
	}
	b.report.Untrained = len(lineage.Missing(ids))
	single, segments, err := b.datasets.objects(ctx)
	if err != nil {
		return err
	}
	held := map[string]bool{}
	for _, i := range slices.Concat(single, segments) {
		if err := b.dataset(ctx, i.Key, held); err != nil {
			return err
		}
	}
	// A dataset that was listed as single may have been moved into a segment before it
	// was read.
	_, segments, err = b.datasets.objects(ctx)
	for _, i := range segments {
		err = errors.Join(err, b.dataset(ctx, i.Key, held))
	}
	b.report.Datasets = len(held)
	return err
}

// dataset writes a dataset or a segment and notes which ids it holds.
func (b *backup) dataset(ctx context.Context, key string, held map[string]bool) error {
	if b.written[key] {
		return nil
	}
	var ids []string
	err := b.object(ctx, key, func(s *spool) error {
		if id, ok := datasetID(key); ok {
			ids = []string{id}
			return verifyDataset(s.section(), id)
		}
		t, _, err := readSegment(s.section(), key)
		if err == nil {
			for _, e := range t.Datasets {
				ids = append(ids, e.ID)
			}
		}
		return err
	})
	switch {
	case err == nil:
		for _, id := range ids {
			held[id] = true
		}
	case errors.Is(err, ErrNotFound): // taken back, or put into a segment, since it was listed
	case errors.Is(err, ErrCorrupt):
		b.leave(key, err)
	default:
		return err
	}
	return nil
}

// records writes the small objects at the root: the control record and what
// other packages keep there.
func (b *backup) records(ctx context.Context) error {
	infos, err := b.store.List(ctx, "")
	if err != nil {
		return err
	}
	for _, i := range infos {
		if !isRecord(i.Key) {
			continue
		}
		body, _, err := b.store.Read(ctx, i.Key)
		if err == nil {
			if err = VerifyObject(i.Key, bytes.NewReader(body)); errors.Is(err, ErrBadKey) {
				err = nil // it carries no proof
			}
		}
		switch {
		case err == nil:
			if err := b.entry(i.Key, Body(body)); err != nil {
				return err
			}
		case errors.Is(err, ErrNotFound):
		case errors.Is(err, ErrCorrupt), errors.Is(err, ErrTooLarge):
			b.leave(i.Key, err)
		default:
			return err
		}
	}
	return nil
}

// isRecord reports whether a key lies at the root and is neither the head nor a
// manifest.
func isRecord(key string) bool {
	_, manifest := manifestID(key)
	return !strings.Contains(key, "/") && key != HeadKey && !manifest
}

func (b *backup) leave(key string, err error) {
	for _, f := range b.report.Left {
		if f.Key == key {
			return
		}
	}
	b.report.Left = append(b.report.Left, Fault{Key: key, Why: err.Error()})
}

// entry writes one file of the tar.
func (b *backup) entry(key string, body *io.SectionReader) error {
	if b.written[key] {
		return nil
	}
	b.written[key] = true
	err := b.tar.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: archiveRoot + key, Size: body.Size(), Mode: 0o600, ModTime: b.opt.Now(), Format: tar.FormatPAX,
	})
	if err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	sum := sha256.New()
	n, err := io.Copy(b.tar, io.TeeReader(body, sum))
	if err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	fmt.Fprintf(&b.sums, "%s  %s\n", hex.EncodeToString(sum.Sum(nil)), key)
	b.report.Bytes += n
	return nil
}
