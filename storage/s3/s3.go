// Package s3 is a storage.Store in a bucket of an S3-compatible server. Every
// object is written by one PUT (never multipart), so that it is whole or not
// there, with its SHA-256 in a header that the server checks. Swap is a
// conditional PUT (If-Match, If-None-Match). Prepare tries whether the server
// enforces the condition and refuses a server that does not.
package s3

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/nexus-continuum/nexus/storage"
)

// Options say where the bucket is and who we are.
type Options struct {
	// Endpoint is host or host:port; https:// or http:// before it sets TLS.
	Endpoint string
	Bucket   string
	// Prefix is put before every key, as a folder; empty is the whole bucket.
	Prefix string
	// Region is asked from the server if empty.
	Region string
	// AccessKey and SecretKey; if both are empty the usual chain is tried:
	// AWS_… and MINIO_… variables, the shared credentials file, the IAM role.
	AccessKey, SecretKey string
	// Insecure speaks plain HTTP.
	Insecure bool
	// CreateBucket makes the bucket in Prepare if it is missing.
	CreateBucket bool
	// Setting returns what users call an option ("Region", "Insecure", …) in
	// messages that tell them to change it; nil is the option's own name.
	Setting func(option string) string
	// Transport replaces the default one, which gives up on a server that does
	// not answer for 30 s.
	Transport http.RoundTripper
}

// tries is how often one request is sent when the server says to come again;
// the waits between grow to one second.
const tries = 4

// Store is a bucket.
type Store struct {
	opt    Options
	client *minio.Client
	core   minio.Core
}

// Open checks the options and returns the store. It does not speak to the
// server yet, so that a service can start while the server is away; Prepare does.
func Open(opt Options) (*Store, error) {
	if scheme, host, ok := strings.Cut(opt.Endpoint, "://"); ok {
		if scheme != "http" && scheme != "https" {
			return nil, fmt.Errorf("S3 endpoint %q: want host:port, with http:// or https:// before it at most", opt.Endpoint)
		}
		opt.Insecure, opt.Endpoint = scheme == "http", strings.TrimSuffix(host, "/")
	}
	if opt.Endpoint == "" || opt.Bucket == "" {
		return nil, errors.New("S3 storage needs an endpoint and a bucket")
	}
	if (opt.AccessKey == "") != (opt.SecretKey == "") {
		return nil, errors.New("S3 storage needs both an access key and a secret key, or neither for the credentials chain")
	}
	opt.Prefix = strings.Trim(opt.Prefix, "/")
	if opt.Setting == nil {
		opt.Setting = func(option string) string { return option }
	}
	if opt.Transport == nil {
		t, err := minio.DefaultTransport(!opt.Insecure)
		if err != nil {
			return nil, fmt.Errorf("set up HTTP for S3: %w", err)
		}
		t.ResponseHeaderTimeout = 30 * time.Second
		opt.Transport = t
	}
	client, err := minio.New(opt.Endpoint, &minio.Options{
		Creds: creds(opt), Secure: !opt.Insecure, Region: opt.Region, Transport: recorder{opt.Transport}, MaxRetries: tries,
	})
	if err != nil {
		return nil, fmt.Errorf("S3 endpoint %q: %w", opt.Endpoint, err)
	}
	return &Store{opt: opt, client: client, core: minio.Core{Client: client}}, nil
}

func creds(opt Options) *credentials.Credentials {
	if opt.AccessKey != "" {
		return credentials.NewStaticV4(opt.AccessKey, opt.SecretKey, "")
	}
	return credentials.NewChainCredentials([]credentials.Provider{
		&credentials.EnvAWS{},
		&credentials.EnvMinio{},
		&credentials.FileAWSCredentials{},
		&credentials.IAM{},
	})
}

// Prepare makes sure that the bucket is there, that we may use it, and that it
// keeps the conditions of conditional writes.
func (s *Store) Prepare(ctx context.Context) error {
	ctx = watch(ctx)
	// A list, rather than a HEAD of the bucket: the answer to a HEAD has no body
	// that says why it was refused.
	var err error
	for o := range s.client.ListObjectsIter(ctx, s.opt.Bucket, minio.ListObjectsOptions{Prefix: s.name(probeKey), MaxKeys: 1}) {
		err = o.Err
		break
	}
	if err == nil {
		err = ctx.Err() // an iteration that was cut short looks like an empty one
	}
	switch {
	case err == nil:
	case minio.ToErrorResponse(err).Code != "NoSuchBucket":
		return s.fail(ctx, "look for", "", err)
	case !s.opt.CreateBucket:
		return fmt.Errorf("%w: bucket %q does not exist at %s: create it, or let the service do so", storage.ErrUnavailable, s.opt.Bucket, s.opt.Endpoint)
	default:
		if err := s.create(ctx); err != nil {
			return err
		}
	}
	return s.probe(ctx)
}

func (s *Store) create(ctx context.Context) error {
	err := s.client.MakeBucket(ctx, s.opt.Bucket, minio.MakeBucketOptions{Region: s.opt.Region})
	switch minio.ToErrorResponse(err).Code {
	case "BucketAlreadyOwnedByYou", "BucketAlreadyExists":
		return nil // another process was faster
	}
	if err != nil {
		return s.fail(ctx, "create", "", err)
	}
	return nil
}

// String returns the address, without credentials.
func (s *Store) String() string {
	u := url.URL{Scheme: "https", Host: s.opt.Endpoint, Path: "/" + s.opt.Bucket}
	if s.opt.Insecure {
		u.Scheme = "http"
	}
	return u.JoinPath(s.opt.Prefix).String()
}

// name is the object's name in the bucket.
func (s *Store) name(key string) string {
	if s.opt.Prefix == "" {
		return key
	}
	return s.opt.Prefix + "/" + key
}

// Put stores an object.
func (s *Store) Put(ctx context.Context, key string, body *io.SectionReader) error {
	_, err := s.put(ctx, key, body, func(*minio.PutObjectOptions) {})
	return err
}

// Swap stores a small object if its key is unchanged.
func (s *Store) Swap(ctx context.Context, key string, old storage.Version, body []byte) (storage.Version, error) {
	if len(body) > storage.MaxRecord {
		return storage.Absent, fmt.Errorf("swap %s: %d bytes: %w", key, len(body), storage.ErrTooLarge)
	}
	return s.put(ctx, key, storage.Body(body), func(o *minio.PutObjectOptions) {
		if old == storage.Absent {
			o.SetMatchETagExcept("*")
		} else {
			o.SetMatchETag(string(old))
		}
	})
}

func (s *Store) put(ctx context.Context, key string, body *io.SectionReader, condition func(*minio.PutObjectOptions)) (storage.Version, error) {
	ctx = watch(ctx)
	if err := storage.CheckKey(key); err != nil {
		return storage.Absent, err
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(body, 0, body.Size())); err != nil {
		return storage.Absent, fmt.Errorf("read what to store under %s: %w", key, err)
	}
	// The digest goes as the signed header that the server checks the body
	// against; a trailer is not safe over plain HTTP with every server.
	o := minio.PutObjectOptions{DisableContentSha256: true}
	condition(&o)
	info, err := s.core.PutObject(ctx, s.opt.Bucket, s.name(key), io.NewSectionReader(body, 0, body.Size()), body.Size(),
		"", hex.EncodeToString(sum.Sum(nil)), o)
	if err != nil {
		if minio.ToErrorResponse(err).Code == "NoSuchKey" {
			// The answer of some servers to If-Match on a key that is gone.
			return storage.Absent, fmt.Errorf("swap %s: %w: %w", s.join(key), storage.ErrConflict, err)
		}
		return storage.Absent, s.fail(ctx, "write", key, err)
	}
	return storage.Version(info.ETag), nil
}

// Get opens an object.
func (s *Store) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	ctx = watch(ctx)
	if err := storage.CheckKey(key); err != nil {
		return nil, err
	}
	body, _, _, err := s.core.GetObject(ctx, s.opt.Bucket, s.name(key), minio.GetObjectOptions{})
	if err != nil {
		return nil, s.fail(ctx, "read", key, err)
	}
	return &object{ReadCloser: body, ctx: ctx, store: s, key: key}, nil
}

// Read reads a small object; its version is its ETag.
func (s *Store) Read(ctx context.Context, key string) (b []byte, v storage.Version, err error) {
	ctx = watch(ctx)
	if err := storage.CheckKey(key); err != nil {
		return nil, storage.Absent, err
	}
	body, info, _, err := s.core.GetObject(ctx, s.opt.Bucket, s.name(key), minio.GetObjectOptions{})
	if err != nil {
		return nil, storage.Absent, s.fail(ctx, "read", key, err)
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	if info.Size > storage.MaxRecord {
		return nil, storage.Absent, fmt.Errorf("read %s: %d bytes: %w", s.join(key), info.Size, storage.ErrTooLarge)
	}
	b, err = io.ReadAll(io.LimitReader(body, storage.MaxRecord))
	if err != nil {
		return nil, storage.Absent, s.fail(ctx, "read", key, err)
	}
	return b, storage.Version(info.ETag), nil
}

// Stat describes an object.
func (s *Store) Stat(ctx context.Context, key string) (storage.Info, error) {
	ctx = watch(ctx)
	if err := storage.CheckKey(key); err != nil {
		return storage.Info{}, err
	}
	i, err := s.client.StatObject(ctx, s.opt.Bucket, s.name(key), minio.StatObjectOptions{})
	if err != nil {
		return storage.Info{}, s.fail(ctx, "look at", key, err)
	}
	return storage.Info{Key: key, Size: i.Size, ModTime: i.LastModified}, nil
}

// List lists objects by prefix.
func (s *Store) List(ctx context.Context, prefix string) ([]storage.Info, error) {
	ctx = watch(ctx)
	if err := storage.CheckPrefix(prefix); err != nil {
		return nil, err
	}
	var found []storage.Info
	for o := range s.client.ListObjectsIter(ctx, s.opt.Bucket, minio.ListObjectsOptions{Prefix: s.name(prefix), Recursive: true}) {
		if o.Err != nil {
			return nil, s.fail(ctx, "list", prefix, o.Err)
		}
		key := strings.TrimPrefix(o.Key, s.name(""))
		if storage.CheckKey(key) == nil {
			found = append(found, storage.Info{Key: key, Size: o.Size, ModTime: o.LastModified})
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, s.fail(ctx, "list", prefix, err)
	}
	// The protocol promises this order; not every server keeps it.
	slices.SortFunc(found, func(a, b storage.Info) int { return strings.Compare(a.Key, b.Key) })
	return found, nil
}

// Delete removes an object.
func (s *Store) Delete(ctx context.Context, key string) error {
	ctx = watch(ctx)
	if err := storage.CheckKey(key); err != nil {
		return err
	}
	err := s.client.RemoveObject(ctx, s.opt.Bucket, s.name(key), minio.RemoveObjectOptions{})
	if err != nil && minio.ToErrorResponse(err).Code != "NoSuchKey" {
		return s.fail(ctx, "delete", key, err)
	}
	return nil
}

// Move copies an object within the server and removes the original.
func (s *Store) Move(ctx context.Context, from, to string) error {
	ctx = watch(ctx)
	for _, key := range []string{from, to} {
		if err := storage.CheckKey(key); err != nil {
			return err
		}
	}
	_, err := s.client.CopyObject(ctx,
		minio.CopyDestOptions{Bucket: s.opt.Bucket, Object: s.name(to)},
		minio.CopySrcOptions{Bucket: s.opt.Bucket, Object: s.name(from)})
	if err != nil {
		return s.fail(ctx, "move", from, err)
	}
	return s.Delete(ctx, from)
}

func (s *Store) join(key string) string { return s.String() + "/" + key }

// object gives the errors of reading their meaning.
type object struct {
	io.ReadCloser
	ctx   context.Context //nolint:containedctx // that of the request whose body it is
	store *Store
	key   string
}

func (o *object) Read(p []byte) (int, error) {
	n, err := o.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = o.store.fail(o.ctx, "read", o.key, err)
	}
	return n, err
}
