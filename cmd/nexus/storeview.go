package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/storage/dir"
	"github.com/nexus-continuum/nexus/storage/mirror"
	"github.com/nexus-continuum/nexus/storage/s3"
)

// storeView is the storage as a command sees it that only looks, whether a server
// runs or not.
type storeView struct {
	storage.Store
	// bucket is what lies behind the folder, if something does and it answers.
	bucket storage.Store
	// away is why the bucket could not be asked: the folder is looked at alone.
	away error
}

// openStoreView makes nothing that is not there.
func openStoreView(ctx context.Context, s *Settings) (storeView, error) {
	folder, err := openFolder(s)
	if err != nil {
		return storeView{}, err
	}
	if s.S3Endpoint == "" {
		if folder == nil {
			return storeView{}, fmt.Errorf("nothing is stored in %s; NEXUS_DATA_DIR (--data-dir) names the data folder", s.storageDir())
		}
		return storeView{Store: storage.ReadOnly(folder)}, nil
	}
	b, err := openBucket(ctx, s, false)
	switch {
	case err == nil && folder == nil:
		return storeView{Store: storage.ReadOnly(b)}, nil
	case err == nil:
		return storeView{Store: mirror.View(folder, b), bucket: storage.ReadOnly(b)}, nil
	case folder == nil:
		return storeView{}, err
	}
	if _, ok := errors.AsType[*settingError](err); ok {
		return storeView{}, err
	}
	return storeView{Store: storage.ReadOnly(folder), away: err}, nil
}

// warn says that only the folder is looked at.
func (v storeView) warn(w io.Writer) {
	if v.away != nil {
		fmt.Fprintf(w, "the bucket cannot be asked, only %s is looked at: %v\n", v.Store, v.away)
	}
}

// openFolder opens the storage folder; nil if there is none.
func openFolder(s *Settings) (*dir.Store, error) {
	if _, err := os.Stat(s.storageDir()); errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // that there is none is an answer
	}
	d, err := dir.Open(s.storageDir())
	if err != nil {
		return nil, fmt.Errorf("open the storage in NEXUS_DATA_DIR: %w", err)
	}
	return d, nil
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

// s3Settings are the settings behind the options of the S3 store.
var s3Settings = map[string]string{
	"Endpoint": "NEXUS_S3_ENDPOINT", "Bucket": "NEXUS_S3_BUCKET", "Region": "NEXUS_S3_REGION", "TLS": "NEXUS_S3_TLS",
	"AccessKey": "NEXUS_S3_ACCESS_KEY", "SecretKey": "NEXUS_S3_SECRET_KEY",
}

// bucketOf is openBucket without speaking to the server, which may be away.
func bucketOf(s *Settings, create bool) (*s3.Store, error) {
	b, err := s3.Open(s3.Options{
		Endpoint: s.S3Endpoint, Bucket: s.S3Bucket, Prefix: s.S3Prefix, Region: s.S3Region,
		AccessKey: s.S3AccessKey, SecretKey: s.S3SecretKey, Insecure: !s.S3TLS, CreateBucket: create,
		Setting: func(option string) string { return s3Settings[option] },
	})
	if err != nil {
		return nil, &settingError{"NEXUS_S3_ENDPOINT", s.S3Endpoint, err.Error()}
	}
	return b, nil
}
