package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nexus-continuum/nexus/storage/storetest"
)

// gateway is a real S3 server with a proxy before it that spoils what it is told to.
type gateway struct {
	folder string // its buckets, as folders
	proxy  *httptest.Server
	fault  atomic.Pointer[bucketFault]
	hits   atomic.Int64 // requests that met the fault
}

// bucketFault spoils an exchange: before it answers in place of the server and
// says so, after it changes what the server answered.
type bucketFault struct {
	before func(w http.ResponseWriter, r *http.Request) (answered bool)
	after  func(r *http.Response) error
}

func startGateway(t *testing.T) *gateway {
	t.Helper()
	server := storetest.NewS3Server(t)
	server.Start()
	g := &gateway{folder: server.Folder}
	behind := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: server.Address})
			r.Out.Host = r.In.Host // it is signed
		},
		ModifyResponse: func(r *http.Response) error {
			if f := g.fault.Load(); f != nil && f.after != nil {
				return f.after(r)
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	g.proxy = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := g.fault.Load(); f != nil {
			g.hits.Add(1)
			if f.before != nil && f.before(w, r) {
				return
			}
		}
		behind.ServeHTTP(w, r)
	}))
	// A cut connection is the test's own doing.
	g.proxy.Config.ErrorLog = nil
	g.proxy.Start()
	t.Cleanup(g.proxy.Close)
	return g
}

func (g *gateway) env(bucket string) []string {
	return []string{
		"NEXUS_S3_ENDPOINT=" + strings.TrimPrefix(g.proxy.URL, "http://"), "NEXUS_S3_TLS=false", "NEXUS_S3_BUCKET=" + bucket,
		"NEXUS_S3_ACCESS_KEY=" + storetest.S3AccessKey, "NEXUS_S3_SECRET_KEY=" + storetest.S3SecretKey,
	}
}

func refuseWith(status int, code string) *bucketFault {
	return &bucketFault{before: func(w http.ResponseWriter, r *http.Request) bool {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>on purpose</Message></Error>", code)
		return true
	}}
}

// spoil changes the body of the objects that are read, and leaves its length as
// it was. Listings are let through: not every upload needs one.
func spoil(change func([]byte) io.Reader) *bucketFault {
	return &bucketFault{after: func(r *http.Response) error {
		if r.Request.Method != http.MethodGet || r.StatusCode != http.StatusOK || r.Request.URL.Query().Has("list-type") {
			return nil
		}
		b, err := io.ReadAll(r.Body)
		r.Body.Close()
		r.Body = io.NopCloser(change(b))
		return err
	}}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("cut on purpose") }

// issues is what the health says is wrong, a line each.
func (p *process) issues() string {
	p.t.Helper()
	var status struct{ Health struct{ Issues []string } }
	p.call("GET", "/api/status", nil, &status)
	return strings.Join(status.Health.Issues, "\n")
}

// TestBucketFaults: whatever the S3 server does, prompts are answered and lessons
// are taken; when it is well again everything reaches it by itself, and a host
// that has nothing but the bucket knows all that was taught meanwhile. The
// health names each fault while it lasts, and no longer.
func TestBucketFaults(t *testing.T) {
	t.Parallel()
	g := startGateway(t)
	held := make(chan struct{}) // what is slow stays so until the fault ends
	dir := t.TempDir()
	env := append(g.env("nexus"), "NEXUS_CHECKPOINT_INTERVAL=1h")
	p := start(t, dir, []string{"serve"}, env...)
	taught := []lesson{{"Which door is open?", "The first."}}
	p.teach("faults", taught[0])
	p.answers(taught[0].Prompt, taught[0].Response)

	bucket := filepath.Join(g.folder, "nexus")
	for _, f := range []struct {
		name  string
		says  string // by the health, while it lasts
		fault *bucketFault
		begin func() error
		end   func() error
	}{
		{name: "429", says: "TooManyRequests", fault: refuseWith(http.StatusTooManyRequests, "TooManyRequests")},
		{name: "500", says: "InternalError", fault: refuseWith(http.StatusInternalServerError, "InternalError")},
		{name: "slow", says: "no answer in", fault: &bucketFault{before: func(_ http.ResponseWriter, r *http.Request) bool {
			select {
			case <-held:
			case <-r.Context().Done():
			}
			return false
		}}, end: func() error { close(held); return nil }},
		{name: "cut mid-body", says: "storage unavailable", fault: spoil(func(b []byte) io.Reader { return io.MultiReader(bytes.NewReader(b[:len(b)/2]), failing{}) })},
		{name: "wrong bytes", says: "damaged", fault: spoil(func(b []byte) io.Reader {
			if len(b) > 0 {
				b[len(b)/2] ^= 4
			}
			return bytes.NewReader(b)
		})},
		{name: "credentials expired", says: "ExpiredToken", fault: refuseWith(http.StatusForbidden, "ExpiredToken")},
		{name: "clock skew", says: "RequestTimeTooSkewed", fault: refuseWith(http.StatusForbidden, "RequestTimeTooSkewed")},
		{
			name: "bucket missing", says: "NoSuchBucket", fault: &bucketFault{},
			begin: func() error { return os.Rename(bucket, bucket+".away") },
			end: func() error {
				// The service may make it anew; what it put there stays.
				if _, err := os.Stat(bucket); err == nil {
					return nil
				}
				return os.Rename(bucket+".away", bucket)
			},
		},
	} {
		if f.begin != nil {
			if err := f.begin(); err != nil {
				t.Fatal(err)
			}
		}
		g.hits.Store(0)
		g.fault.Store(f.fault)
		l := lesson{"Which door is open during " + f.name + "?", "That of " + f.name + "."}
		p.teach("faults", l)
		p.answers(l.Prompt, l.Response)
		taught = append(taught, l)
		p.eventually(f.name+" was met", func() bool { return g.hits.Load() > 0 })
		for _, l := range taught {
			if a := p.ask(l.Prompt); !a.Responded || a.Response != l.Response {
				t.Errorf("%s: %q: %+v", f.name, l.Prompt, a)
			}
		}
		said := ""
		p.eventually("the health names "+f.name, func() bool {
			said = p.issues()
			return strings.Contains(said, "the bucket ")
		})
		if !strings.Contains(said, f.says) {
			t.Errorf("%s: the health says %q", f.name, said)
		}
		g.fault.Store(nil)
		if f.end != nil {
			if err := f.end(); err != nil {
				t.Fatal(err)
			}
		}
		p.eventually("the health forgets "+f.name, func() bool { return !strings.Contains(p.issues(), "the bucket ") })
	}
	p.eventually("everything is in the bucket", func() bool {
		var status struct {
			Storage struct {
				Uploads *struct {
					Pending int     `json:"pending"`
					Fault   *string `json:"fault"`
				} `json:"uploads"`
			} `json:"storage"`
		}
		p.call("GET", "/api/status", nil, &status)
		u := status.Storage.Uploads
		return u != nil && u.Pending == 0 && u.Fault == nil
	})
	must(t, dir, env, "verify")
	if set, _ := filepath.Glob(filepath.Join(dir, "nexus_checkpoints", "corrupted", "*")); len(set) > 0 {
		t.Errorf("faults of the wire set %q aside", set)
	}
	p.kill()

	// A host that has nothing but the bucket; and a backup of it, into another bucket.
	backup := filepath.Join(t.TempDir(), "bucket.tar")
	must(t, filepath.Join(t.TempDir(), "none"), env, "backup", backup)
	p = start(t, t.TempDir(), []string{"serve"}, env...)
	for _, l := range taught {
		p.answers(l.Prompt, l.Response)
	}
	p.stop()
	other := g.env("other")
	must(t, filepath.Join(t.TempDir(), "none"), other, "restore", backup)
	if _, fault, code := command(t, filepath.Join(t.TempDir(), "none"), other, "restore", backup); code != exitFailure || !strings.Contains(fault, "--force") {
		t.Errorf("restore over a bucket: status %d, %s", code, fault)
	}
	must(t, filepath.Join(t.TempDir(), "none"), other, "restore", "--force", backup)
	p = start(t, t.TempDir(), []string{"serve"}, other...)
	for _, l := range taught {
		p.answers(l.Prompt, l.Response)
	}
}
