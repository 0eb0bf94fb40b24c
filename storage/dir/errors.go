package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/nexus-continuum/nexus/storage"
)

// fail says what was tried and gives the error of the system its meaning.
func fail(tried, name string, err error) error {
	if kind := kindOf(err); kind != nil {
		return fmt.Errorf("%s %s: %w: %w", tried, name, kind, err)
	}
	return fmt.Errorf("%s %s: %w", tried, name, err)
}

// failRead is fail for the bytes of an object: a medium that gives an error
// instead of bytes has lost them.
func failRead(name string, err error) error {
	if errors.Is(err, syscall.EIO) || errors.Is(err, syscall.EBADMSG) {
		return fmt.Errorf("read %s: %w: %w", name, storage.ErrCorrupt, err)
	}
	return fail("read", name, err)
}

func kindOf(err error) error {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return storage.ErrNotFound
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return storage.ErrFull
	case errors.Is(err, syscall.EROFS):
		return storage.ErrReadOnly
	case errors.Is(err, fs.ErrPermission):
		return storage.ErrDenied
	case errors.Is(err, syscall.EIO), errors.Is(err, syscall.ESTALE), errors.Is(err, syscall.ETIMEDOUT):
		return storage.ErrUnavailable
	}
	return nil
}

// unwritable reports whether err says that the folder takes no writes.
func unwritable(err error) bool {
	kind := kindOf(err)
	return errors.Is(kind, storage.ErrReadOnly) || errors.Is(kind, storage.ErrDenied)
}
