package dir

import (
	"context"
	"errors"
)

// room is what a probe writes: less free space than that takes no save either.
const room = 64 << 10

// Probe writes a temporary file and removes it again, without waiting for the
// disk. The error says why the folder takes no writes: storage.ErrFull,
// storage.ErrReadOnly, storage.ErrDenied, storage.ErrNotFound.
func (s *Store) Probe(ctx context.Context) error {
	root, err := s.writable(ctx, "probe")
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	f, temp, err := s.createTemp(root)
	if err != nil {
		return fail("write", s.join(tempDir), err)
	}
	err = s.step("write")
	if err == nil {
		_, err = f.Write(make([]byte, room))
	}
	if err := errors.Join(err, f.Close(), root.Remove(temp)); err != nil {
		return fail("write", s.join(tempDir), err)
	}
	return nil
}
