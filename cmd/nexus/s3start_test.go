package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/storage/storetest"
)

// A bucket that refuses a new folder for a setting ends the start with the
// setting's name, and no line says that serving goes on.
func TestAWrongS3SettingIsNamedAtTheStart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		code   string
		header http.Header
		says   string
	}{
		"region": {301, "PermanentRedirect", http.Header{"X-Amz-Bucket-Region": {"eu-west-1"}}, "set NEXUS_S3_REGION=eu-west-1"},
		"clock":  {403, "RequestTimeTooSkewed", nil, "the clock of this machine is wrong"},
		"key":    {403, "InvalidAccessKeyId", nil, "correct NEXUS_S3_ACCESS_KEY"},
		"token":  {400, "ExpiredToken", nil, "session token"},
		"store":  {501, "NotImplemented", nil, "NEXUS_S3_ENDPOINT"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				for name, values := range c.header {
					w.Header()[name] = values
				}
				w.Header().Set("Content-Type", "application/xml")
				if c.status == http.StatusNotImplemented && r.Method == http.MethodGet {
					fmt.Fprint(w, "<ListBucketResult><Name>nexus</Name></ListBucketResult>")
					return
				}
				w.WriteHeader(c.status)
				fmt.Fprintf(w, "<Error><Code>%s</Code><Message>on purpose</Message></Error>", c.code)
			}))
			t.Cleanup(srv.Close)
			_, fault, code := command(t, t.TempDir(), []string{
				"NEXUS_LISTEN=127.0.0.1:0", "NEXUS_S3_ENDPOINT=" + strings.TrimPrefix(srv.URL, "http://"), "NEXUS_S3_TLS=false",
				"NEXUS_S3_ACCESS_KEY=key", "NEXUS_S3_SECRET_KEY=secret",
			}, "serve")
			if code != exitFailure || !strings.Contains(fault, c.says) || strings.Contains(fault, "go on") {
				t.Errorf("exit status %d:\n%s", code, fault)
			}
		})
	}
}

// A bucket that comes up after the service is waited for.
func TestS3ThatComesUpLate(t *testing.T) {
	t.Parallel()
	bucket := storetest.NewS3Server(t)
	p := launch(t, t.TempDir(), []string{"serve"}, bucketSettings(bucket)...)
	if _, err := p.out.await(regexp.MustCompile(`waiting for the bucket`), p.done); err != nil {
		t.Fatalf("%v\n%s", err, p.out)
	}
	began := time.Now()
	bucket.Start()
	url, err := p.out.await(readyLine, p.done)
	if err != nil {
		t.Fatalf("%v\n%s", err, p.out)
	}
	p.url = url
	p.eventually("ready", func() bool {
		res, err := http.Get(p.url + "/readyz")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	t.Logf("ready %s after the bucket", time.Since(began).Round(time.Millisecond))
	p.finished(p.teach("support", lesson{"Which door is open?", "The first."}).ID)
}

// A disk that is full is blamed, and not the bucket.
func TestAFullDiskIsNotTheBucketsFault(t *testing.T) {
	t.Parallel()
	bucket := storetest.NewS3Server(t)
	bucket.Start()
	dir := t.TempDir()
	mount(t, filepath.Join(dir, "nexus_checkpoints"), "size=64m")
	p := start(t, dir, []string{"serve"}, bucketSettings(bucket)...)
	p.finished(p.teach("support", lesson{"Which door is open?", "The first."}).ID)
	fill(t, filepath.Join(dir, "nexus_checkpoints"))
	said := ""
	p.eventually("the health names the folder", func() bool {
		said = p.issues()
		return strings.Contains(said, "takes no writes")
	})
	if strings.Contains(said, "the bucket") {
		t.Errorf("the health blames the bucket: %s", said)
	}
}

// Where each answer of the bucket takes half a second, a lesson answers on
// another host within a few of them.
func TestSlowS3(t *testing.T) {
	t.Parallel()
	g := startGateway(t)
	redis := startRedis(t)
	env := append(g.env("slow"), "NEXUS_REDIS_URL="+redis, "NEXUS_CHECKPOINT_INTERVAL=1h")
	launch(t, t.TempDir(), []string{"worker"}, env...)
	p := start(t, t.TempDir(), []string{"api"}, env...)
	p.finished(p.teach("support", lesson{"Which door is open?", "The first."}).ID)
	g.fault.Store(&bucketFault{before: func(_ http.ResponseWriter, r *http.Request) bool {
		select {
		case <-time.After(500 * time.Millisecond):
		case <-r.Context().Done():
		}
		return false
	}})
	var took []time.Duration
	for i := range 3 {
		l := lesson{fmt.Sprintf("Which door is open on day %d?", i), fmt.Sprintf("Door %d.", i)}
		began := time.Now()
		p.teach("support", l)
		p.answers(l.Prompt, l.Response)
		took = append(took, time.Since(began).Round(time.Millisecond))
	}
	t.Logf("lessons answered after %v", took)
}
