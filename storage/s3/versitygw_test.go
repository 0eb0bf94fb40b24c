package s3_test

import (
	"net"
	"testing"

	"github.com/nexus-continuum/nexus/storage/s3"
	"github.com/nexus-continuum/nexus/storage/storetest"
)

// gateway is a running S3 server.
type gateway struct{ *storetest.S3Server }

// startGateway runs an S3 server until the test ends.
func startGateway(t testing.TB) gateway {
	t.Helper()
	g := gateway{storetest.NewS3Server(t)}
	g.Start()
	return g
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// open returns a handle on a prefix of a bucket, which is made if missing.
func (g gateway) open(t testing.TB, bucket, prefix string) *s3.Store {
	t.Helper()
	s, err := s3.Open(g.options(bucket, prefix))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func (g gateway) options(bucket, prefix string) s3.Options {
	return s3.Options{
		Endpoint: g.Address, Bucket: bucket, Prefix: prefix, Region: "us-east-1", Insecure: true,
		AccessKey: storetest.S3AccessKey, SecretKey: storetest.S3SecretKey, CreateBucket: true,
	}
}
