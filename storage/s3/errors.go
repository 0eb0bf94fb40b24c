package s3

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/nexus-continuum/nexus/storage"
)

// fail says what was tried, what the error of the server means, and which
// setting mends it, if one does.
func (s *Store) fail(ctx context.Context, tried, key string, err error) error {
	where := s.String()
	if key != "" {
		where = s.join(key)
	}
	if gaveUp(err) {
		if last := lastError(ctx); last != nil {
			err = fmt.Errorf("the last try: %w: %w", last, err)
		}
		return fmt.Errorf("%s %s: %w", tried, where, err)
	}
	kind := kindOf(err)
	if hint := s.advice(ctx, err); hint != "" {
		if errors.Is(kind, storage.ErrUnavailable) {
			return fmt.Errorf("%s %s: %w: %s (%s%w)", tried, where, storage.ErrMisconfigured, hint, codeOf(ctx, err), err)
		}
		return fmt.Errorf("%s %s: %w, %w: %s (%s%w)", tried, where, kind, storage.ErrMisconfigured, hint, codeOf(ctx, err), err)
	}
	if notS3(err) {
		return fmt.Errorf("%s %s: %w: the answer is not that of an S3 server; look for a proxy in between: %w", tried, where, kind, err)
	}
	return fmt.Errorf("%s %s: %w: %s%w", tried, where, kind, codeOf(ctx, err), err)
}

// notS3 reports whether the body of an answer could not be read as what S3
// sends: damaged on the way, or written by something else.
func notS3(err error) bool {
	if errors.Is(err, errNotS3) {
		return true
	}
	if _, ok := errors.AsType[*xml.SyntaxError](err); ok {
		return true
	}
	_, ok := errors.AsType[xml.UnmarshalError](err)
	return ok
}

// codeOf is the server's own word for what is wrong, which its sentence often
// lacks, and which tells a busy server from an ill one and a clock from a key.
func codeOf(ctx context.Context, err error) string {
	code := code(ctx, err)
	if code == "" || strings.Contains(err.Error(), code) {
		return ""
	}
	return fmt.Sprintf("%s (%d): ", code, minio.ToErrorResponse(err).StatusCode)
}

// gaveUp says whether the caller gave up, which says nothing of the store.
func gaveUp(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func kindOf(err error) error {
	answer := minio.ToErrorResponse(err)
	switch answer.Code {
	case "NoSuchKey":
		return storage.ErrNotFound
	case "PreconditionFailed", "ConditionalRequestConflict":
		return storage.ErrConflict
	case "NoSuchBucket":
		// Not ErrNotFound: who has lost a bucket must not start afresh in silence.
		return storage.ErrUnavailable
	case "QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded":
		return storage.ErrFull
	case "MethodNotAllowed", "XMinioReadOnly":
		return storage.ErrReadOnly
	case "AccessDenied", "InvalidAccessKeyId", "NoSuchUser", "XAdminUserNotFound", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "AllAccessDisabled", "AccountProblem":
		return storage.ErrDenied
	}
	switch answer.StatusCode {
	case http.StatusInsufficientStorage:
		return storage.ErrFull
	case http.StatusPreconditionFailed:
		return storage.ErrConflict
	case http.StatusUnauthorized, http.StatusForbidden:
		return storage.ErrDenied
	}
	// A 404 without NoSuchKey is not ErrNotFound either: it may be a bucket, a
	// user or a whole server that is not there. What is left is the network, a server that is busy or ill, or a clock that
	// is off: a later try may work.
	return storage.ErrUnavailable
}
