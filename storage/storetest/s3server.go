package storetest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// The keys of an S3Server.
const (
	S3AccessKey = "nexus-test"
	S3SecretKey = "nexus-test-secret"
)

// S3Server is a real S3 server, versitygw over a folder, that can go away and
// come back.
type S3Server struct {
	Address string // host and port
	Folder  string // its buckets, as folders

	t       testing.TB
	program string
	cmd     *exec.Cmd
	exited  chan struct{}
	log     *os.File // what it says
}

// program finds versitygw: NEXUS_TEST_VERSITYGW names it, else the go command
// builds the version that .ci/s3.mod pins, or takes it from its cache.
var program = sync.OnceValues(func() (string, error) {
	if named := os.Getenv("NEXUS_TEST_VERSITYGW"); named != "" {
		return named, nil
	}
	gomod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	pinned := filepath.Join(filepath.Dir(strings.TrimSpace(string(gomod))), ".ci", "s3.mod")
	build := exec.Command("go", "tool", "-modfile="+pinned, "-n", "versitygw")
	build.Stderr = os.Stderr
	out, err := build.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w; NEXUS_TEST_VERSITYGW can name the program instead", build, err)
	}
	return strings.TrimSpace(string(out)), nil
})

// NewS3Server returns a server that does not run yet. It fails the test if
// versitygw cannot be had: storage on S3 is never left untested.
func NewS3Server(t testing.TB) *S3Server {
	t.Helper()
	program, err := program()
	if err != nil {
		t.Fatalf("get a real S3 server to test against: %v", err)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := t.TempDir()
	s := &S3Server{t: t, program: program, Address: l.Addr().String(), Folder: filepath.Join(dir, "buckets")}
	if err := os.Mkdir(s.Folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if s.log, err = os.Create(filepath.Join(dir, "versitygw.log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Stop()
		_ = s.log.Close()
		if t.Failed() {
			t.Logf("versitygw said:\n%s", s.said())
		}
	})
	return s
}

// Start runs the server until Stop, and at most until the test ends.
func (s *S3Server) Start() {
	s.t.Helper()
	s.cmd = exec.CommandContext(s.t.Context(), s.program, "--port", s.Address, "--access", S3AccessKey, "--secret", S3SecretKey, "--keep-alive", "--quiet", "posix", s.Folder)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatalf("start %s: %v", s.program, err)
	}
	cmd, exited := s.cmd, make(chan struct{})
	s.exited = exited
	go func() {
		defer close(exited)
		_ = cmd.Wait() // it is killed in the end; an early end is told by what it said
	}()
	for deadline := time.Now().Add(30 * time.Second); ; {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(s.t.Context(), "tcp", s.Address)
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-exited:
			s.t.Fatalf("versitygw ended at once:\n%s", s.said())
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("versitygw does not answer at %s: %v", s.Address, err)
		}
	}
}

// Stop kills the server, as a machine that fails does.
func (s *S3Server) Stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	<-s.exited
	s.cmd = nil
}

func (s *S3Server) said() []byte {
	b, _ := os.ReadFile(s.log.Name())
	return b
}
