package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/storage/s3"
	"github.com/nexus-continuum/nexus/storage/storetest"
)

// TestCrashes stops before and after each request in turn.
func TestCrashes(t *testing.T) {
	t.Parallel()
	g := startGateway(t)
	storetest.Crashes(t, func(t *testing.T, root string, step func(string) error) storage.Store {
		return storetest.NewFaulty(g.open(t, "crashes", root), step)
	})
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for name, opt := range map[string]s3.Options{
		"no endpoint":   {Bucket: "b"},
		"no bucket":     {Endpoint: "localhost:1"},
		"half a key":    {Endpoint: "localhost:1", Bucket: "b", AccessKey: "a"},
		"a wrong one":   {Endpoint: "ftp://localhost:1", Bucket: "b"},
		"a path in it":  {Endpoint: "http://localhost:1/x", Bucket: "b"},
		"a bad address": {Endpoint: "local host", Bucket: "b"},
	} {
		if _, err := s3.Open(opt); err == nil {
			t.Errorf("options with %s are taken", name)
		}
	}
}

func TestBucketMissing(t *testing.T) {
	t.Parallel()
	g := startGateway(t)
	opt := g.options("not-there", "")
	opt.CreateBucket = false
	s, err := s3.Open(opt)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Prepare(t.Context()); !errors.Is(err, storage.ErrUnavailable) || !strings.Contains(err.Error(), `"not-there"`) {
		t.Errorf("Prepare = %v, want ErrUnavailable with the name of the bucket", err)
	}
	// A lost bucket must not look like a fresh start.
	if _, _, err := storage.NewCheckpoints(s, storage.Options{}).LoadLatest(t.Context()); err == nil || errors.Is(err, storage.ErrNotFound) {
		t.Errorf("LoadLatest from a missing bucket = %v, want an error that is not ErrNotFound", err)
	}
	opt.CreateBucket = true
	if s, err = s3.Open(opt); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Prepare(t.Context()); err != nil {
			t.Errorf("Prepare that may create the bucket = %v", err)
		}
	}
}

func TestWrongCredentials(t *testing.T) {
	t.Parallel()
	g := startGateway(t)
	g.open(t, "guarded", "")
	for name, change := range map[string]func(*s3.Options){
		"secret": func(o *s3.Options) { o.SecretKey = "wrong-secret" },
		"key":    func(o *s3.Options) { o.AccessKey = "nobody" },
	} {
		opt := g.options("guarded", "")
		change(&opt)
		s, err := s3.Open(opt)
		if err != nil {
			t.Fatal(err)
		}
		for what, err := range map[string]error{"Prepare": s.Prepare(t.Context()), "Put": s.Put(t.Context(), "a", storage.Body(nil))} {
			if !errors.Is(err, storage.ErrDenied) || strings.Contains(fmt.Sprint(err), opt.SecretKey) {
				t.Errorf("%s with a wrong %s = %v, want ErrDenied and no secret in it", what, name, err)
			}
		}
		if _, _, err := storage.NewCheckpoints(s, storage.Options{}).LoadLatest(t.Context()); !errors.Is(err, storage.ErrDenied) {
			t.Errorf("LoadLatest with a wrong %s = %v, want ErrDenied", name, err)
		}
	}
}

func TestServerAway(t *testing.T) {
	t.Parallel()
	s, err := s3.Open(s3.Options{Endpoint: freeAddress(t), Bucket: "b", Region: "us-east-1", AccessKey: "a", SecretKey: "b", Insecure: true})
	if err != nil {
		t.Fatalf("Open while the server is away = %v; the service could not start", err)
	}
	began := time.Now()
	if err := s.Put(t.Context(), "a", storage.Body([]byte("x"))); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("Put = %v, want ErrUnavailable", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v to say so", took)
	}
}

// faultyWire answers some requests in place of the server.
type faultyWire struct {
	mu    sync.Mutex
	fault func(r *http.Request, n int) (*http.Response, error)
	n     int
}

func (f *faultyWire) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	f.n++
	n := f.n
	f.mu.Unlock()
	if resp, err := f.fault(r, n); resp != nil || err != nil {
		return resp, err
	}
	return http.DefaultTransport.RoundTrip(r)
}

func answer(r *http.Request, status int, code string) *http.Response {
	if r.Body != nil {
		_ = r.Body.Close()
	}
	body := fmt.Sprintf("<Error><Code>%s</Code><Message>on purpose</Message></Error>", code)
	return &http.Response{
		Status: http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/xml"}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}

func (g gateway) through(t *testing.T, bucket string, fault func(r *http.Request, n int) (*http.Response, error)) *s3.Store {
	t.Helper()
	g.open(t, bucket, "")
	opt := g.options(bucket, "")
	opt.Transport = &faultyWire{fault: fault}
	s, err := s3.Open(opt)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestBusyThenWell(t *testing.T) {
	t.Parallel()
	g := startGateway(t)
	for i, c := range []struct {
		status int
		code   string
	}{{429, "TooManyRequests"}, {500, "InternalError"}, {503, "SlowDown"}} {
		s := g.through(t, fmt.Sprintf("busy-%d", i), func(r *http.Request, n int) (*http.Response, error) {
			if n <= 2 {
				return answer(r, c.status, c.code), nil
			}
			return nil, nil
		})
		body := bytes.Repeat([]byte("x"), 300_000)
		if err := s.Put(t.Context(), "a", storage.Body(body)); err != nil {
			t.Errorf("Put that is answered %d twice = %v, want success at the third try", c.status, err)
		}
		r, err := s.Get(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, body) || r.Close() != nil {
			t.Errorf("after %d the object has %d bytes, %v", c.status, len(got), err)
		}
	}
}

func TestBusyForLong(t *testing.T) {
	t.Parallel()
	g := startGateway(t)
	s := g.through(t, "down", func(r *http.Request, _ int) (*http.Response, error) { return answer(r, 503, "SlowDown"), nil })
	if err := s.Put(t.Context(), "a", storage.Body([]byte("x"))); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("Put to a server that is always busy = %v, want ErrUnavailable", err)
	}
	full := g.through(t, "full", func(r *http.Request, _ int) (*http.Response, error) { return answer(r, 507, "XMinioStorageFull"), nil })
	if err := full.Put(t.Context(), "a", storage.Body([]byte("x"))); !errors.Is(err, storage.ErrFull) {
		t.Errorf("Put to a full server = %v, want ErrFull", err)
	}
}

// TestPatienceOver: who gives up while the client still tries again hears why
// the server refused, not only that it took long.
func TestPatienceOver(t *testing.T) {
	t.Parallel()
	g := startGateway(t)
	for name, c := range map[string]struct {
		fault func(r *http.Request, n int) (*http.Response, error)
		says  string
	}{
		"ill":          {func(r *http.Request, _ int) (*http.Response, error) { return answer(r, 500, "InternalError"), nil }, "InternalError (500)"},
		"a mute 502":   {func(r *http.Request, _ int) (*http.Response, error) { return answer(r, 502, ""), nil }, "Bad Gateway (502)"},
		"not to reach": {func(*http.Request, int) (*http.Response, error) { return nil, errors.New("connection reset by peer") }, "connection reset"},
	} {
		again := make(chan struct{})
		s := g.through(t, "patience", func(r *http.Request, n int) (*http.Response, error) {
			if n == 1 {
				return c.fault(r, n)
			}
			if n == 2 {
				close(again)
			}
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-again; cancel() }()
		err := s.Put(ctx, "a", storage.Body([]byte("x")))
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: Put that was given up = %v, want %q in it", name, err, c.says)
		}
		cancel()
	}
}

// TestReplyLost: the server has done what was asked, and the answer is lost.
// The repeated request meets its own effect; the save must still succeed.
func TestReplyLost(t *testing.T) {
	t.Parallel()
	g := startGateway(t)
	lost := map[string]bool{}
	s := g.through(t, "lost", func(r *http.Request, _ int) (*http.Response, error) {
		if r.Method != http.MethodPut || lost[r.URL.Path] {
			return nil, nil
		}
		lost[r.URL.Path] = true
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		return nil, errors.Join(err, errors.New("connection reset by peer"))
	})
	c := storage.NewCheckpoints(s, storage.Options{Parallel: 1})
	parent := ""
	for i := range 3 {
		m, err := c.Save(t.Context(), parent, []storage.Part{{Name: "state", Data: fmt.Append(nil, i)}}, storage.Meta{})
		if err != nil {
			t.Fatalf("save %d, each of whose first answers is lost: %v", i, err)
		}
		lost["/lost/head.json"] = false
		parent = m.ID
	}
	if m, _, err := c.LoadLatest(t.Context()); err != nil || m.ID != parent {
		t.Errorf("LoadLatest = %s, %v; want %s", m.ID, err, parent)
	}
}

// TestBodyCutOrChanged: what arrives wrong is neither served nor, if it comes
// right at the next try, held against the store.
func TestBodyCutOrChanged(t *testing.T) {
	t.Parallel()
	g := startGateway(t)
	data := bytes.Repeat([]byte("0123456789"), 20_000)
	for name, spoil := range map[string]func([]byte) []byte{
		"cut":     func(b []byte) []byte { return b[:len(b)/2] },
		"changed": func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
	} {
		whole := g.open(t, "wire-"+name, "")
		saved, err := storage.NewCheckpoints(whole, storage.Options{}).Save(t.Context(), "", []storage.Part{{Name: "state", Data: data}}, storage.Meta{})
		if err != nil {
			t.Fatal(err)
		}
		spoiled := 0
		s := g.through(t, "wire-"+name, func(r *http.Request, _ int) (*http.Response, error) {
			if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/parts/") || spoiled > 0 {
				return nil, nil
			}
			spoiled++
			resp, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				return nil, err
			}
			b, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			resp.Body = &cutBody{Reader: bytes.NewReader(spoil(b)), left: int(resp.ContentLength)}
			return resp, err
		})
		c := storage.NewCheckpoints(s, storage.Options{})
		m, parts, err := c.LoadLatest(t.Context())
		if name == "cut" {
			if !errors.Is(err, storage.ErrUnavailable) {
				t.Errorf("LoadLatest over a connection that is cut = %v, want ErrUnavailable", err)
			}
			m, parts, err = c.LoadLatest(t.Context())
		}
		if err != nil || m.ID != saved.ID || !bytes.Equal(parts[0].Data, data) {
			t.Errorf("%s: LoadLatest = %s, %v; want %s whole", name, m.ID, err, saved.ID)
		}
		if infos, err := s.List(t.Context(), storage.Corrupted); err != nil || len(infos) > 0 || spoiled != 1 {
			t.Errorf("%s: set aside %v (%v) after %d spoiled answers", name, infos, err, spoiled)
		}
	}
}

// TestAListingOfSomethingElse: a proxy answers in the server's place, or the
// listing is damaged on the way; the error says where to look, and no listing of
// nothing is made of it.
func TestAListingOfSomethingElse(t *testing.T) {
	t.Parallel()
	g := startGateway(t)
	for name, body := range map[string]string{
		"a page":  "<html><body>Sign in to go on.</body></html>",
		"damaged": `<?xml version="1.0"?><ListBucketResult><Name>listings</Nbme></ListBucketResult>`,
	} {
		s := g.through(t, "listings", func(r *http.Request, _ int) (*http.Response, error) {
			if !r.URL.Query().Has("list-type") {
				return nil, nil
			}
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
		})
		_, err := s.List(t.Context(), "parts/")
		if !errors.Is(err, storage.ErrUnavailable) || !strings.Contains(err.Error(), "look for a proxy in between") {
			t.Errorf("%s in place of a listing: %v", name, err)
		}
	}
}

// cutBody ends as a connection does that closes before Content-Length.
type cutBody struct {
	io.Reader
	left int
}

func (c *cutBody) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if c.left -= n; errors.Is(err, io.EOF) && c.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (c *cutBody) Close() error { return nil }

// TestBodyChangedOnTheWayUp: the server checks the digest in the header.
func TestBodyChangedOnTheWayUp(t *testing.T) {
	t.Parallel()
	g := startGateway(t)
	s := g.through(t, "changed-up", func(r *http.Request, _ int) (*http.Response, error) {
		if r.Method == http.MethodPut {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			b[len(b)/2] ^= 1
			r.Body = io.NopCloser(bytes.NewReader(b))
		}
		return nil, nil
	})
	if err := s.Put(t.Context(), "a", storage.Body([]byte("some bytes"))); err == nil {
		t.Error("a body that was changed on its way is stored")
	}
	if _, err := s.Stat(t.Context(), "a"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("Stat = %v, want ErrNotFound", err)
	}
}
