package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"github.com/nexus-continuum/nexus/storage"
)

// probeKey is the object on which Prepare tries conditional writes. Its name is
// hidden from List.
const probeKey = ".probe"

// The probe's conditions.
const (
	ifAbsent  = "If-None-Match"
	ifVersion = "If-Match"
)

// foreignETag is the ETag of nothing.
const foreignETag = "00000000000000000000000000000000"

// probe tries whether the server keeps the condition of a conditional write. A
// server that ignores it, as several stores do, lets two writers overwrite each
// other's checkpoints without a word. After the first time it costs one round trip.
func (s *Store) probe(ctx context.Context) error {
	etag, made, err := s.writeProbe(ctx, func(o *minio.PutObjectOptions) { o.SetMatchETagExcept("*") })
	if err != nil {
		return s.probed(ctx, ifAbsent, err)
	}
	group, each := errgroup.WithContext(ctx)
	if made {
		group.Go(func() error {
			_, again, err := s.writeProbe(each, func(o *minio.PutObjectOptions) { o.SetMatchETagExcept("*") })
			if err == nil && again {
				err = s.ignores(ifAbsent)
			}
			return s.probed(each, ifAbsent, err)
		})
	}
	group.Go(func() error {
		_, changed, err := s.writeProbe(each, func(o *minio.PutObjectOptions) { o.SetMatchETag(foreignETag) })
		if err == nil && changed {
			err = s.ignores(ifVersion)
		}
		return s.probed(each, ifVersion, err)
	})
	if err := group.Wait(); err != nil || !made {
		return err
	}
	_, changed, err := s.writeProbe(ctx, func(o *minio.PutObjectOptions) { o.SetMatchETag(etag) })
	if err == nil && !changed {
		// Unless another process has just written the same probe.
		_, now, again := s.writeProbe(ctx, func(o *minio.PutObjectOptions) { o.SetMatchETagExcept("*") })
		if again == nil && now {
			err = s.ignores(ifVersion)
		}
	}
	return s.probed(ctx, ifVersion, err)
}

// writeProbe writes the probe on a condition, and reports whether it was written.
func (s *Store) writeProbe(ctx context.Context, condition func(*minio.PutObjectOptions)) (etag string, written bool, err error) {
	body := []byte("nexus tries here whether this store keeps the conditions of conditional writes\n")
	sum := sha256.Sum256(body)
	o := minio.PutObjectOptions{DisableContentSha256: true}
	condition(&o)
	info, err := s.core.PutObject(ctx, s.opt.Bucket, s.name(probeKey), bytes.NewReader(body), int64(len(body)), "", hex.EncodeToString(sum[:]), o)
	switch {
	case err == nil:
		return info.ETag, true, nil
	case errors.Is(kindOf(err), storage.ErrConflict), minio.ToErrorResponse(err).Code == "NoSuchKey":
		return "", false, nil
	}
	return "", false, err
}

// probed gives an error of the probe its meaning.
func (s *Store) probed(ctx context.Context, condition string, err error) error {
	answer := minio.ToErrorResponse(err)
	switch {
	case err == nil, isUnsuited(err):
		return err
	case answer.StatusCode == http.StatusNotImplemented, answer.Code == "NotImplemented":
		return s.unsafeError(fmt.Sprintf("refuses %s: %s", condition, answer.Code))
	}
	return s.fail(ctx, "try conditional writes in", "", err)
}

func (s *Store) ignores(condition string) error { return s.unsafeError("ignores " + condition) }

// unsafeError says that the server cannot keep checkpoints safe.
func (s *Store) unsafeError(why string) error {
	return &unsuitedError{fmt.Sprintf("the S3 server of %s %s on a PUT, so two processes could overwrite each other's checkpoints; "+
		"set %s to a store with conditional writes", s, why, s.opt.Setting("Endpoint"))}
}

type unsuitedError struct{ text string }

func (e *unsuitedError) Error() string { return e.text }

// Unwrap makes it a storage.ErrMisconfigured.
func (*unsuitedError) Unwrap() error { return storage.ErrMisconfigured }

func isUnsuited(err error) bool {
	_, ok := err.(*unsuitedError) //nolint:errorlint // it comes bare
	return ok
}
