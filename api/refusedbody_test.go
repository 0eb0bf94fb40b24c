package api

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"slices"
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/job"
)

// sendBlindly writes a whole request before it reads anything, as many clients do,
// and returns the answer. The connection must end without a reset.
func (b *bundle) sendBlindly(c net.Conn, head string, body []byte) *http.Response {
	b.Helper()
	if _, err := io.WriteString(c, head+"\r\n"); err != nil {
		b.Fatalf("write the head: %v", err)
	}
	if n, err := c.Write(body); err != nil {
		b.Errorf("%s: the server hung up after %d of %d bytes: %v", firstLine(head), n, len(body), err)
		return nil
	}
	method, _, _ := strings.Cut(head, " ")
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		b.Errorf("%s: no answer: %v", firstLine(head), err)
		return nil
	}
	text, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err != nil {
		b.Errorf("%s: half an answer, %d %s: %v", firstLine(head), res.StatusCode, text, err)
	}
	if res.Close {
		if _, err := io.ReadAll(r); err != nil {
			b.Errorf("%s: the end of the connection after %d: %v", firstLine(head), res.StatusCode, err)
		}
	}
	return res
}

func firstLine(head string) string {
	line, _, _ := strings.Cut(head, "\r\n")
	return line
}

// narrow opens a connection whose own buffer takes little, so that a server that does
// not read is noticed.
func (b *bundle) narrow(config *tls.Config) net.Conn {
	b.Helper()
	c := b.raw()
	b.must(c.(*net.TCPConn).SetWriteBuffer(64 << 10))
	if config != nil {
		c = tls.Client(c, config)
	}
	return c
}

// A refusal reaches a client that is still sending, whatever is refused.
func TestARefusalReachesAClientThatIsStillWriting(t *testing.T) {
	t.Parallel()
	cert := httptest.NewTLSServer(nil)
	t.Cleanup(cert.Close)
	open := setup(t)
	keyed := setup(t, func(o *Options) {
		o.Keys = keysOfEachScope()
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: cert.TLS.Certificates}
	})
	big := bytes.Repeat([]byte("x\n"), 8<<20)
	header := func(more ...string) string {
		return strings.Join(append([]string{"Host: localhost", fmt.Sprintf("Content-Length: %d", len(big))}, more...), "\r\n") + "\r\n"
	}
	const asCSV = "Content-Type: text/csv"
	for name, tc := range map[string]struct {
		on     *bundle
		head   string
		body   []byte
		status int
	}{
		"an open quote":      {open, "POST /api/lessons HTTP/1.1\r\n" + header(asCSV), slices.Concat([]byte("prompt,response\np,\""), big[19:]), 422},
		"unknown columns":    {open, "POST /api/lessons HTTP/1.1\r\n" + header(asCSV), big, 400},
		"it closes itself":   {open, "POST /api/lessons HTTP/1.1\r\n" + header(asCSV, "Connection: close"), big, 400},
		"an unknown type":    {open, "POST /api/lessons HTTP/1.1\r\n" + header("Content-Type: application/x-tar"), big, 415},
		"an unknown setting": {open, "POST /api/import?x=1 HTTP/1.1\r\n" + header(), big, 400},
		"too large":          {open, "POST /api/interact HTTP/1.1\r\n" + header("Content-Type: application/json"), big, 413},
		"no route":           {open, "POST /api/nothing HTTP/1.1\r\n" + header(), big, 404},
		"a name of others":   {open, "POST /api/lessons HTTP/1.1\r\n" + strings.Replace(header(asCSV), "localhost", "evil.example", 1), big, 403},
		"in chunks": {
			open, "POST /api/lessons HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n" + asCSV + "\r\n",
			fmt.Appendf(nil, "%x\r\n%s\r\n0\r\n\r\n", len(big), big), 400,
		},
		"no key":        {keyed, "POST /api/lessons HTTP/1.1\r\n" + header(asCSV), big, 401},
		"a wrong key":   {keyed, "POST /api/lessons HTTP/1.1\r\n" + header(asCSV, "X-API-Key: wrong-0123456789abcdef"), big, 401},
		"a small scope": {keyed, "POST /api/lessons HTTP/1.1\r\n" + header(asCSV, "X-API-Key: "+scopeKey("read")), big, 403},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := *tc.on
			b.T = t
			var config *tls.Config
			if tc.on == keyed {
				config = &tls.Config{InsecureSkipVerify: true}
			}
			if res := b.sendBlindly(b.narrow(config), tc.head, tc.body); res != nil && res.StatusCode != tc.status {
				t.Errorf("%d, want %d", res.StatusCode, tc.status)
			}
		})
	}
}

// So it is on every route, with a key and without.
func TestEveryRouteAnswersAClientThatIsStillWriting(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *Options) { o.Keys = keysOfEachScope() })
	big := bytes.Repeat([]byte("x\n"), 1<<20)
	for path, item := range newContract(t).doc.Paths.Map() {
		for method := range item.Operations() {
			if strings.HasSuffix(path, "/events") {
				continue // does not end
			}
			path := strings.NewReplacer("{id}", "unknown", "{topic}", "unknown", "{queue}", "batch", "{name}", "unknown").Replace(path)
			for _, key := range []string{"", "X-API-Key: " + rootKey + "\r\n"} {
				c := b.narrow(nil)
				head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-tar\r\nContent-Length: %d\r\n%s", method, path, len(big), key)
				if res := b.sendBlindly(c, head, big); res != nil && (res.StatusCode >= 500 || res.StatusCode == http.StatusUnauthorized && key != "") {
					t.Errorf("%s %s: %d", method, path, res.StatusCode)
				}
				c.Close()
			}
		}
	}
}

// Over HTTP/2 only the stream of the refused request ends; others may be using the
// connection.
func TestARefusalOverHTTP2LeavesTheConnection(t *testing.T) {
	t.Parallel()
	cert := httptest.NewTLSServer(nil)
	t.Cleanup(cert.Close)
	b := setup(t, func(o *Options) {
		o.Keys = keysOfEachScope()
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: cert.TLS.Certificates, NextProtos: []string{"h2", "http/1.1"}}
	})
	b.client.Transport = &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	big := bytes.Repeat([]byte("x\n"), 4<<20)
	for i := range 10 {
		reused := false
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(g httptrace.GotConnInfo) { reused = g.Reused }})
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url+"/api/lessons", bytes.NewReader(big))
		b.must(err)
		req.Header.Set("Content-Type", "text/csv")
		res, err := b.client.Do(req)
		b.must(err)
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusUnauthorized || res.ProtoMajor != 2 {
			t.Fatalf("%s %d %s, %v", res.Proto, res.StatusCode, job.Clip(string(text), 200), err)
		}
		if i > 0 && !reused {
			t.Errorf("request %d had to connect again", i+1)
		}
	}
}

// A client that is refused before any route is reached cannot hold its connection with
// a slow body either.
func TestARefusedSlowBodyHoldsNoConnection(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *Options) { o.MaxConnections = 3 })
	for name, head := range map[string]string{
		"a name of others": "POST /api/lessons HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 1000\r\n\r\n",
		"no route":         "POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n",
		"it asks first":    "POST /nothing HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 1000\r\n\r\n",
		"in chunks":        "POST /nothing HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
	} {
		c := b.raw()
		if _, err := io.WriteString(c, head); err != nil {
			t.Fatal(err)
		}
		said, err := io.ReadAll(c)
		if err != nil {
			t.Errorf("%s: the connection stays open: %v", name, err)
		}
		if strings.Count(string(said), "HTTP/1.1 ") != 1 {
			t.Errorf("%s: it says %q", name, said)
		}
		c.Close()
	}
	// The connections that are kept for probes cannot be held in this way either.
	idle := []net.Conn{b.raw(), b.raw(), b.raw()}
	for _, c := range idle {
		fmt.Fprintf(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
		_, err := http.ReadResponse(bufio.NewReader(c), nil)
		b.must(err)
	}
	for _, path := range []string{"/api/lessons", "/healthz"} {
		c := b.raw()
		fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n", path)
		if _, err := io.ReadAll(c); err != nil {
			t.Errorf("%s beyond the limit: the connection stays open: %v", path, err)
		}
	}
}
