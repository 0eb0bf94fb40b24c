package storage

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// spoolMemory is how many bytes a spool keeps in memory before it uses a file.
const spoolMemory = 1 << 20

// spool accepts a stream of unknown length and makes it available for random access, in
// bounded memory. Its file is unlinked while open, so that nothing is left behind when
// the process ends.
type spool struct {
	dir  string
	mem  []byte
	file *os.File
	size int64
}

func (s *spool) Write(p []byte) (int, error) {
	if s.file == nil && len(s.mem)+len(p) <= spoolMemory {
		s.mem = append(s.mem, p...)
		s.size += int64(len(p))
		return len(p), nil
	}
	if s.file == nil {
		if err := s.spill(); err != nil {
			return 0, err
		}
	}
	n, err := s.file.Write(p)
	s.size += int64(n)
	return n, err
}

func (s *spool) spill() error {
	f, err := os.CreateTemp(s.dir, "nexus-spool-")
	if err != nil {
		return fmt.Errorf("open a temporary file: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return errors.Join(err, f.Close())
	}
	if _, err := f.Write(s.mem); err != nil {
		return errors.Join(err, f.Close())
	}
	s.file, s.mem = f, nil
	return nil
}

// ReadAt reads what was written.
func (s *spool) ReadAt(p []byte, off int64) (int, error) {
	if s.file != nil {
		return s.file.ReadAt(p, off)
	}
	if off < 0 || off > int64(len(s.mem)) {
		return 0, io.EOF
	}
	n := copy(p, s.mem[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (s *spool) section() *io.SectionReader { return io.NewSectionReader(s, 0, s.size) }

func (s *spool) Close() error {
	s.mem = nil
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

// headed is a header followed by a body, for random access.
type headed struct {
	head []byte
	body io.ReaderAt
	size int64 // of the body
}

func (h headed) section() *io.SectionReader {
	return io.NewSectionReader(h, 0, int64(len(h.head))+h.size)
}

// ReadAt reads across the boundary.
func (h headed) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	if off < int64(len(h.head)) {
		n = copy(p, h.head[off:])
		if n == len(p) {
			return n, nil
		}
	}
	m, err := h.body.ReadAt(p[n:], off+int64(n)-int64(len(h.head)))
	return n + m, err
}

// Spool accepts a stream of unknown length and makes it available for random access, in
// bounded memory. Beyond 1 MiB it uses a temporary file that no other process sees.
type Spool struct{ spool }

// NewSpool returns an empty spool. A file is created in folder, or in the system's
// temporary folder if folder is empty. The spool must be closed.
func NewSpool(folder string) *Spool { return &Spool{spool{dir: folder}} }

// Section returns everything that was written.
func (s *Spool) Section() *io.SectionReader { return io.NewSectionReader(&s.spool, 0, s.size) }
