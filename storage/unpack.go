package storage

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// ErrHostile means that an archive contains something that no backup contains. Nothing
// in it should be trusted.
var ErrHostile = errors.New("not a backup that can be trusted")

// UnpackLimits limit what an archive can make this program store.
type UnpackLimits struct {
	// Bytes limits the size of all objects together; 0 means 64 GiB.
	Bytes int64
	// Objects limits the number of objects; 0 means four million.
	Objects int
	// Spool is the folder for objects that do not fit in memory; empty means the
	// system's temporary folder.
	Spool string
}

// Unpacked says what an archive held.
type Unpacked struct {
	// Ours is true if Backup wrote the archive and everything that Backup wrote is
	// there.
	Ours    bool
	Objects int
	Bytes   int64
	// Ignored is how many entries belong to no storage folder, or were set aside before
	// the archive was made.
	Ignored int
}

// Limits within an archive.
const (
	maxSums    = 1 << 30 // bytes of the list of digests
	maxPending = 64 << 20
	tarTrailer = 1024 // zero bytes that end a tar
)

// Unpack reads a backup, or a tar of a storage folder, with or without gzip, into an
// empty store. Inspect can then check it before anything is put in place. Names in the
// archive are never used as paths. A name that is no key of a storage folder is left
// out. If a name tries to leave the folder, or an entry is a link, Unpack returns
// ErrHostile for the whole archive.
func Unpack(ctx context.Context, r io.Reader, into Store, limits UnpackLimits) (Unpacked, error) {
	if limits.Bytes == 0 {
		limits.Bytes = 64 << 30
	}
	if limits.Objects == 0 {
		limits.Objects = 4 << 20
	}
	u := &unpacker{into: into, limits: limits, sums: map[string]string{}, pending: map[string][]byte{}}
	if err := u.run(ctx, r); err != nil {
		return u.found, fmt.Errorf("read the backup: %w", err)
	}
	return u.found, nil
}

type unpacker struct {
	into   Store
	limits UnpackLimits
	found  Unpacked

	rooted bool
	root   string // the folder in the archive that is the storage's
	// pending holds small files. Only the root will show whether they are records.
	pending      map[string][]byte
	pendingBytes int
	sums         map[string]string // SHA-256 by key
	note, listed []byte            // the frame of a backup of ours
}

func (u *unpacker) run(ctx context.Context, r io.Reader) error {
	plain, err := gunzip(r)
	if err != nil {
		return err
	}
	tail := &tailReader{r: plain}
	entries := tar.NewReader(tail)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := entries.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		if err := u.entry(ctx, h, entries); err != nil {
			return fmt.Errorf("%s: %w", printable(h.Name), err)
		}
	}
	if !tail.ended() {
		return fmt.Errorf("%w: the archive is cut off", ErrCorrupt)
	}
	// The bytes after the end are read too, because gzip keeps its checksum there.
	if _, err := io.Copy(io.Discard, plain); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return u.finish(ctx)
}

// gunzip unpacks r if it is compressed, whatever its name says.
func gunzip(r io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	magic, err := b.Peek(2)
	if err != nil || magic[0] != 0x1f || magic[1] != 0x8b {
		return b, nil //nolint:nilerr // too short for a tar; the reader of tars says so
	}
	z, err := gzip.NewReader(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return z, nil
}

// tailReader remembers the last bytes that were read.
type tailReader struct {
	r    io.Reader
	last [tarTrailer]byte
	n    int64
}

func (t *tailReader) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	t.n += int64(n)
	if n >= len(t.last) {
		copy(t.last[:], p[n-len(t.last):n])
	} else {
		copy(t.last[:], t.last[n:])
		copy(t.last[len(t.last)-n:], p[:n])
	}
	return n, err
}

// ended reports whether the end marker of a tar was read. The tar reader accepts the
// end of the file as the end too.
func (t *tailReader) ended() bool { return t.n >= tarTrailer && t.last == [tarTrailer]byte{} }

// entry takes one file of the archive.
func (u *unpacker) entry(ctx context.Context, h *tar.Header, body io.Reader) error {
	name, err := cleanName(h.Name)
	if err != nil {
		return err
	}
	if h.Typeflag == tar.TypeDir {
		return nil
	}
	root, key, ours := splitName(name)
	if !ours {
		return u.maybe(h, name, body)
	}
	if !regular(h) {
		return fmt.Errorf("%w: a link or device where a file of a storage folder belongs", ErrHostile)
	}
	if h.Size > maxObject(key) {
		return fmt.Errorf("%w: %d bytes, more than such an object can have", ErrHostile, h.Size)
	}
	if u.rooted && root != u.root {
		return fmt.Errorf("%w: the archive holds two storage folders, %q and %q; unpack the right one by hand", ErrHostile, u.root, root)
	}
	u.rooted, u.root = true, root
	switch key {
	case archiveBegin:
		u.note, err = readBounded(body, MaxRecord)
		return err
	case archiveSums:
		u.listed, err = readBounded(body, maxSums)
		return err
	}
	return u.put(ctx, key, body)
}

// cleanName rejects names that leave the folder, and normalises the others.
func cleanName(name string) (string, error) {
	if strings.ContainsRune(name, 0) || slices.Contains(strings.Split(strings.ReplaceAll(name, `\`, "/"), "/"), "..") {
		return "", fmt.Errorf("%w: a name that climbs out of its folder", ErrHostile)
	}
	return strings.TrimPrefix(path.Clean("/"+name), "/"), nil
}

// splitName finds the key in a name that only a storage folder has, and the folder in
// front of it.
func splitName(name string) (root, key string, ok bool) {
	folder, file := path.Split(name)
	_, manifest := manifestID(file)
	switch {
	case manifest, file == archiveBegin, file == archiveSums:
		root, key = folder, file
	case path.Base(folder) == "parts" && checkDigest(file) == nil, path.Base(folder) == "datasets" && isDataset(DatasetsPrefix+file):
		within := path.Base(folder) + "/"
		root, key = strings.TrimSuffix(folder, within), within+file
	default:
		return "", "", false
	}
	// Objects that were set aside, or replaced by an earlier restore, stay aside.
	for s := range strings.SplitSeq(root, "/") {
		if s+"/" == Corrupted || s+"/" == Replaced {
			return "", "", false
		}
	}
	return root, key, true
}

// regular reports whether an entry is a plain file, including one that tar wrote as
// sparse.
func regular(h *tar.Header) bool {
	return h.Typeflag == tar.TypeReg || h.Typeflag == tar.TypeGNUSparse
}

// maxObject is the largest size, in bytes, of an object of that kind.
func maxObject(key string) int64 {
	switch {
	case strings.HasPrefix(key, PartsPrefix):
		return MaxPartBytes
	case strings.HasPrefix(key, DatasetsPrefix):
		return MaxDatasetRaw + maxHeader
	case key == archiveSums:
		return maxSums
	}
	return MaxRecord
}

// maybe keeps a small file until the root is known.
func (u *unpacker) maybe(h *tar.Header, name string, body io.Reader) error {
	folder, file := path.Split(name)
	// Once a storage folder is known, or a folder has its usual name, only files
	// directly in it can be records.
	candidate := CheckKey(file) == nil && (path.Base(folder) == FolderName || folder == "" || u.rooted && folder == u.root || !u.rooted)
	if path.Base(folder)+"/" == Corrupted || !candidate {
		u.found.Ignored++
		return nil
	}
	if !regular(h) {
		if path.Base(folder) == FolderName || u.rooted && folder == u.root {
			return fmt.Errorf("%w: a link or device where a file of a storage folder belongs", ErrHostile)
		}
		u.found.Ignored++
		return nil
	}
	if h.Size > MaxRecord || u.pendingBytes+int(h.Size) > maxPending {
		if file == HeadKey || file == ControlKey {
			return fmt.Errorf("%w: %d bytes, more than such objects can have", ErrHostile, h.Size)
		}
		u.found.Ignored++
		return nil
	}
	b, err := readBounded(body, MaxRecord)
	if err != nil {
		return err
	}
	u.pendingBytes += len(b)
	u.pending[name] = b
	return nil
}

func readBounded(r io.Reader, most int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if int64(len(b)) > most {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrHostile, most)
	}
	return b, nil
}

// put stores one object and keeps its digest.
func (u *unpacker) put(ctx context.Context, key string, body io.Reader) (err error) {
	if u.found.Objects++; u.found.Objects > u.limits.Objects {
		return fmt.Errorf("more than %d objects: %w", u.limits.Objects, ErrTooLarge)
	}
	s := &spool{dir: u.limits.Spool}
	defer func() { err = errors.Join(err, s.Close()) }()
	sum := sha256.New()
	left := u.limits.Bytes - u.found.Bytes
	n, err := io.Copy(io.MultiWriter(s, sum), io.LimitReader(body, left+1))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if n > left {
		return fmt.Errorf("more than %d bytes in all: %w", u.limits.Bytes, ErrTooLarge)
	}
	u.found.Bytes += n
	u.sums[key] = hex.EncodeToString(sum.Sum(nil))
	return u.into.Put(ctx, key, s.section())
}

// finish stores the records at the root and compares a backup of ours with its list of
// digests.
func (u *unpacker) finish(ctx context.Context) error {
	if !u.rooted {
		// A store in which nothing was ever taught contains only records.
		for name := range u.pending {
			if folder, file := path.Split(name); file == HeadKey || file == ControlKey {
				u.rooted, u.root = true, folder
			}
		}
	}
	if !u.rooted {
		return fmt.Errorf("%w: it holds no checkpoint and no dataset", ErrNotFound)
	}
	for name, b := range u.pending {
		folder, file := path.Split(name)
		if folder != u.root {
			u.found.Ignored++
			continue
		}
		if err := u.put(ctx, file, bytes.NewReader(b)); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	if u.note == nil && u.listed == nil {
		return nil
	}
	return u.compare()
}

// compare compares what was unpacked with the list that Backup made.
func (u *unpacker) compare() error {
	var note archiveNote
	if err := json.Unmarshal(u.note, &note); err != nil {
		return fmt.Errorf("%s: %w: %w", archiveBegin, ErrCorrupt, err)
	}
	if note.Format != 1 {
		return fmt.Errorf("backup of format %d, this version reads 1: %w", note.Format, errNewer)
	}
	if u.listed == nil {
		return fmt.Errorf("%w: the backup is cut off: its list of digests is missing", ErrCorrupt)
	}
	listed := 0
	for line := range strings.Lines(string(u.listed)) {
		sum, key, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if !ok {
			return fmt.Errorf("%s: %w: line %q", archiveSums, ErrCorrupt, printable(line))
		}
		if key == archiveBegin {
			if digest(u.note) != sum {
				return fmt.Errorf("%s: %w: SHA-256 does not match", archiveBegin, ErrCorrupt)
			}
			continue
		}
		listed++
		switch got, there := u.sums[key]; {
		case !there:
			return fmt.Errorf("%s: %w: it is missing", printable(key), ErrCorrupt)
		case got != sum:
			return fmt.Errorf("%s: %w: SHA-256 is %s, not %s", printable(key), ErrCorrupt, got, sum)
		}
	}
	if listed != len(u.sums) {
		return fmt.Errorf("%w: it holds %d objects, its list names %d", ErrHostile, len(u.sums), listed)
	}
	u.found.Ours = true
	return nil
}

// printable makes a name from an archive safe for a terminal.
func printable(name string) string {
	if len(name) > 200 {
		name = name[:200] + "…"
	}
	return strings.Trim(fmt.Sprintf("%q", name), `"`)
}
