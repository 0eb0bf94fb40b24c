package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/storage/dir"
	"github.com/nexus-continuum/nexus/storage/s3"
)

// openVault opens the storage for a command that only looks, whether a server
// runs or not. It makes nothing that is not there.
func openVault(ctx context.Context, s *Settings) (storage.Store, error) {
	if s.S3Endpoint != "" {
		b, err := openBucket(ctx, s, false)
		if err != nil {
			return nil, err
		}
		return storage.ReadOnly(b), nil
	}
	if _, err := os.Stat(s.storageDir()); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("nothing is stored in %s; NEXUS_DATA_DIR (--data-dir) names the data folder", s.storageDir())
	}
	d, err := dir.Open(s.storageDir())
	if err != nil {
		return nil, fmt.Errorf("open the storage in NEXUS_DATA_DIR: %w", err)
	}
	return storage.ReadOnly(d), nil
}

// openBucket opens the bucket of the settings and sees that it answers.
func openBucket(ctx context.Context, s *Settings, create bool) (*s3.Store, error) {
	b, err := bucketOf(s, create)
	if err != nil {
		return nil, err
	}
	if err := b.Prepare(ctx); err != nil {
		return nil, fmt.Errorf("open the storage of NEXUS_S3_ENDPOINT: %w", err)
	}
	return b, nil
}

// bucketOf is openBucket without speaking to the server, which may be away.
func bucketOf(s *Settings, create bool) (*s3.Store, error) {
	b, err := s3.Open(s3.Options{
		Endpoint: s.S3Endpoint, Bucket: s.S3Bucket, Prefix: s.S3Prefix, Region: s.S3Region,
		AccessKey: s.S3AccessKey, SecretKey: s.S3SecretKey, Insecure: !s.S3TLS, CreateBucket: create,
	})
	if err != nil {
		return nil, &settingError{"NEXUS_S3_ENDPOINT", s.S3Endpoint, err.Error()}
	}
	return b, nil
}
