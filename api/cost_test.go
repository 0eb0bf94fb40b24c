package api

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/nexus-continuum/nexus/job"
)

func TestReadingIsLimitedByItsCost(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *Options) { o.RateLimit = RateLimit{Enabled: true, RPM: 1, Burst: 1} })
	// 50 units at once: two pages of refusals, and one list, and then one thing.
	for path, times := range map[string]int{"/api/refusals": 2} {
		for range times {
			if a := b.get(path); a.status != http.StatusOK || a.header.Get("RateLimit-Policy") != `"read";q=50;w=60` || a.header.Get("RateLimit") == "" {
				t.Fatalf("%s: %d %v", path, a.status, a.header)
			}
		}
	}
	a := b.get("/api/refusals")
	b.wantError(a, 429, job.CodeRateLimited, "")
	if a.text(t, "setting") != "NEXUS_RATE_LIMIT_RPM" {
		t.Errorf("the refusal does not name its setting: %s", a.body)
	}
	if a := b.get("/api/jobs"); a.status != http.StatusOK {
		t.Errorf("a cheaper one that there is room for: %d", a.status)
	}
	b.wantError(b.do("DELETE", "/api/lessons?topic=a", nil), 404, job.CodeNotFound, "topic")
	b.wantError(b.do("DELETE", "/api/lessons?topic=a", nil), 429, job.CodeRateLimited, "")
}

func TestAnUploadCostsByItsLessons(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *Options) { o.RateLimit = RateLimit{Enabled: true, RPM: 1, Burst: 10} })
	var many strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&many, `{"prompt":"p%d","response":"r"}`+"\n", i)
	}
	if a := b.do("POST", "/api/lessons", []byte(many.String()), "Content-Type", "application/x-ndjson"); a.status != http.StatusAccepted {
		t.Fatalf("%d %s", a.status, a.body)
	}
	b.wantError(b.post("/api/interact", `{"prompt":"x"}`), 429, job.CodeRateLimited, "")
}

func TestTheLimitHoldsWithoutRedis(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *Options) { o.RateLimit = RateLimit{Enabled: true, RPM: 1, Burst: 3} })
	defer b.stallRedis()()
	refused := 0
	for range 6 {
		if b.post("/api/interact", `{"prompt":"x"}`).status == http.StatusTooManyRequests {
			refused++
		}
	}
	if refused < 2 {
		t.Errorf("%d of 6 requests were refused, of which 3 are allowed at once", refused)
	}
}

func TestAnOpenServiceOnItsOwnMachineIsGenerous(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *Options) { o.RateLimit = RateLimit{Enabled: true, RPM: 60, Burst: 10, GenerousWhileOpen: true} })
	for i := range 30 {
		if a := b.post("/api/interact", `{"prompt":"x"}`); a.status != http.StatusOK {
			t.Fatalf("a newcomer's question %d: %d", i+1, a.status)
		}
	}
}

func TestWrongKeysAreLimitedOnEveryRoute(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *Options) { o.Keys = keysOfEachScope() })
	if a := b.get("/api/status", "X-API-Key", rootKey); a.status != http.StatusOK {
		t.Fatal(a.status)
	}
	limited := 0
	for i, path := range []string{"/api/status", "/api/jobs", "/api/metrics", "/api/lessons", "/monitoring", "/api/jobs/x", "/api/jobs/x/events", "/api/refusals", "/api/hardware", "/api/checkpoints", "/api/status", "/api/jobs"} {
		a := b.get(path, "X-API-Key", fmt.Sprintf("guess-%d-0123456789", i))
		switch a.status {
		case http.StatusTooManyRequests:
			limited++
			b.wantError(a, 429, job.CodeRateLimited, "", "wrong API keys")
		case http.StatusUnauthorized:
		default:
			t.Errorf("%s: %d", path, a.status)
		}
	}
	if limited == 0 {
		t.Error("twelve wrong keys were all looked at")
	}
	// A right guess tells no more than a wrong one; who was in before stays in.
	b.wantError(b.get("/api/status", "X-API-Key", ownerKey), 429, job.CodeRateLimited, "")
	if a := b.get("/api/status", "X-API-Key", rootKey); a.status != http.StatusOK {
		t.Errorf("a neighbour locks out who was in before: %d", a.status)
	}
}

// raw opens a connection of its own.
func (b *bundle) raw() net.Conn {
	b.Helper()
	c, err := (&net.Dialer{}).DialContext(b.Context(), "tcp", b.srv.Addr().String())
	b.must(err)
	b.Cleanup(func() { c.Close() })
	b.must(c.SetDeadline(time.Now().Add(30 * time.Second)))
	return c
}

func TestASlowBodyHoldsNoConnection(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.srv.sendTimeout = 300 * time.Millisecond
	c := b.raw()
	fmt.Fprintf(c, "POST /api/interact HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"prom")
	// The answer comes, and then the connection's end, without another byte of ours.
	if _, err := io.ReadAll(c); err != nil {
		t.Errorf("the connection stays open: %v", err)
	}
}

func TestWithoutAKeyNoBodyIsRead(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *Options) { o.Keys = keysOfEachScope() })
	c := b.raw()
	fmt.Fprintf(c, "POST /api/lessons HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: 200000000\r\n\r\n")
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, nil)
	b.must(err)
	if res.StatusCode != http.StatusUnauthorized || !res.Close {
		t.Errorf("%d, closes: %v", res.StatusCode, res.Close)
	}
	if _, err := io.ReadAll(r); err != nil {
		t.Errorf("the connection stays open: %v", err)
	}
}

// Who sends on, byte by byte, what nobody wants is not listened to for as long as
// one whose body is read.
func TestARefusedBodyIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *Options) { o.Keys = keysOfEachScope() })
	b.srv.sendTimeout = time.Hour
	c := b.raw()
	fmt.Fprintf(c, "POST /api/interact HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000000000\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	b.must(err)
	if res.StatusCode != http.StatusUnauthorized {
		t.Errorf("%d", res.StatusCode)
	}
	b.untilCut(c, func() error {
		_, err := c.Write([]byte(" "))
		return err
	})
}

func TestStreamsOfEndedJobsEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.post("/api/jobs", `{"kind":"interact","prompt":"x"}`)
	id := a.text(t, "id")
	b.ended(id)
	for _, bad := range []string{"99999999999999999999-0", "1-99999999999999999999", "x", "1-", "-1", "+1-0", "1-2-3"} {
		b.wantError(b.get("/api/jobs/"+id+"/events", "Last-Event-ID", bad), 400, job.CodeInvalid, "Last-Event-ID")
	}
	// The greatest id that there can be: after it nothing comes, and the stream ends.
	for _, last := range []string{"18446744073709551615-18446744073709551615", "18446744073709551615", "0-0", ""} {
		if a := b.get("/api/jobs/"+id+"/events", "Last-Event-ID", last); a.status != http.StatusOK {
			t.Errorf("after %q: %d %s", last, a.status, a.body)
		}
	}
}

func TestStreamsAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	resume := b.worker.pause()
	defer resume()
	id := b.post("/api/jobs", `{"kind":"interact","prompt":"x"}`).text(t, "id")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range streamsPerCaller {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url+"/api/jobs/"+id+"/events", http.NoBody)
		b.must(err)
		res, err := b.client.Do(req)
		b.must(err)
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Fatal(res.StatusCode)
		}
	}
	b.wantError(b.get("/api/jobs/"+id+"/events"), 429, job.CodeRateLimited, "", "event streams")
	cancel()
	b.until("places are free again", func() bool {
		b.srv.streams.mu.Lock()
		defer b.srv.streams.mu.Unlock()
		return b.srv.streams.all == 0
	})
}

func TestConnectionsAreBoundedAndProbesAnswered(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *Options) { o.MaxConnections = 3 })
	idle := []net.Conn{b.raw(), b.raw(), b.raw()}
	for _, c := range idle { // each is accepted once it was answered
		fmt.Fprintf(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
		_, err := http.ReadResponse(bufio.NewReader(c), nil)
		b.must(err)
	}
	ask := func(path string) int {
		c := b.raw()
		defer c.Close()
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		b.must(err)
		return res.StatusCode
	}
	if got := ask("/api/status"); got != http.StatusServiceUnavailable {
		t.Errorf("a fourth connection: %d", got)
	}
	if got := ask("/healthz"); got != http.StatusOK {
		t.Errorf("a probe when all places are taken: %d", got)
	}
	for _, c := range idle {
		c.Close()
	}
	b.until("places are free again", func() bool { return ask("/api/status") == http.StatusOK })
}

// A client that asks and asks and never reads is let go, however it speaks.
func TestAClientThatNeverReadsIsLetGo(t *testing.T) {
	t.Parallel()
	cert := httptest.NewTLSServer(nil)
	t.Cleanup(cert.Close)
	plain := setup(t, func(o *Options) { o.sendWithin = 500 * time.Millisecond })
	secure := setup(t, func(o *Options) {
		o.sendWithin = 500 * time.Millisecond
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: cert.TLS.Certificates, NextProtos: []string{"h2", "http/1.1"}}
	})
	const path = "/docs/assets/scalar.js" // more than all buffers between us hold
	c := plain.raw()
	plain.untilCut(c, func() error {
		_, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path)
		return err
	})

	raw, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(secure.url, "https://"))
	secure.must(err)
	t.Cleanup(func() { raw.Close() })
	c = tls.Client(raw, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	_, err = io.WriteString(c, http2.ClientPreface)
	secure.must(err)
	f := http2.NewFramer(c, nil)
	secure.must(f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30}))
	secure.must(f.WriteWindowUpdate(0, 1<<30))
	var head bytes.Buffer
	stream := uint32(1)
	encoder := hpack.NewEncoder(&head)
	secure.untilCut(c, func() error {
		if stream > 20 { // fewer than may be open at once
			return f.WritePing(false, [8]byte{1})
		}
		head.Reset()
		for name, value := range map[string]string{":method": "GET", ":scheme": "https", ":authority": "localhost", ":path": path} {
			secure.must(encoder.WriteField(hpack.HeaderField{Name: name, Value: value}))
		}
		stream += 2
		return f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream - 2, BlockFragment: head.Bytes(), EndStream: true, EndHeaders: true})
	})
}

// untilCut asks again and again, without reading, until the server has closed the
// connection.
func (b *bundle) untilCut(c net.Conn, ask func() error) {
	b.Helper()
	b.until("the connection is cut", func() bool {
		b.must(c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)))
		err := ask()
		return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
	})
}
