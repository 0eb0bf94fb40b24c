package s3_test

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/storage/s3"
)

const (
	accessKey = "nexus-test"
	secretKey = "nexus-test-secret"
	// gatewayEnv names the binary of the S3 server; without it PATH is searched.
	gatewayEnv = "NEXUS_TEST_VERSITYGW"
)

// gateway is a running S3 server.
type gateway struct {
	endpoint string
	folder   string // its buckets, as folders
}

// startGateway runs a versitygw on a folder of its own until the test ends. A
// machine without the binary is the one case in which the S3 tests do not run;
// CI builds it (go install github.com/versity/versitygw/cmd/versitygw@v1.8.0).
func startGateway(t testing.TB) gateway {
	t.Helper()
	binary := os.Getenv(gatewayEnv)
	if binary == "" {
		found, err := exec.LookPath("versitygw")
		if err != nil {
			t.Skipf("NOT TESTED AGAINST A REAL S3 SERVER: no versitygw on PATH and %s is not set; "+
				"get it with: go install github.com/versity/versitygw/cmd/versitygw@v1.8.0", gatewayEnv)
		}
		binary = found
	}
	g := gateway{endpoint: freeAddress(t), folder: filepath.Join(t.TempDir(), "buckets")}
	if err := os.Mkdir(g.folder, 0o755); err != nil {
		t.Fatal(err)
	}
	var out lockedBuffer
	cmd := exec.Command(binary, "--port", g.endpoint, "--access", accessKey, "--secret", secretKey, "--keep-alive", "--quiet", "posix", g.folder)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", binary, err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // it is killed in the end; an early end is told by its output
		close(exited)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-exited
		if t.Failed() {
			t.Logf("versitygw said:\n%s", out.String())
		}
	})
	for deadline := time.Now().Add(20 * time.Second); ; {
		conn, err := net.DialTimeout("tcp", g.endpoint, time.Second)
		if err == nil {
			_ = conn.Close()
			return g
		}
		select {
		case <-exited:
			t.Fatalf("versitygw ended at once:\n%s", out.String())
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("versitygw does not answer at %s: %v", g.endpoint, err)
		}
	}
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
		Endpoint: g.endpoint, Bucket: bucket, Prefix: prefix, Region: "us-east-1", Insecure: true,
		AccessKey: accessKey, SecretKey: secretKey, CreateBucket: true,
	}
}

// lockedBuffer takes the output of a process that is still running.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
