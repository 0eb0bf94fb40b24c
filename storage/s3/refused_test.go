package s3_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/storage/s3"
)

// refusing is an S3 server that refuses everything in one way.
func refusing(t *testing.T, status int, code string, header http.Header) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, values := range header {
			w.Header()[name] = values
		}
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			fmt.Fprintf(w, "<Error><Code>%s</Code><Message>on purpose</Message></Error>", code)
		}
	}))
	t.Cleanup(srv.Close)
	return srv
}

func address(srv *httptest.Server) string {
	_, host, _ := strings.Cut(srv.URL, "://")
	return host
}

// A refusal names the setting that mends it, and is told from a server that is away.
func TestRefusalsNameTheSetting(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	secure.Config.ErrorLog = nil
	t.Cleanup(secure.Close)
	late := http.Header{"Date": {time.Now().Add(34 * time.Minute).UTC().Format(http.TimeFormat)}}
	for name, c := range map[string]struct {
		address string
		tls     bool
		says    []string
	}{
		"another region":      {address(refusing(t, 301, "PermanentRedirect", http.Header{"X-Amz-Bucket-Region": {"eu-west-1"}})), false, []string{"eu-west-1", "set THE-REGION=eu-west-1"}},
		"a region it signs":   {address(refusing(t, 400, "AuthorizationHeaderMalformed", http.Header{"X-Amz-Bucket-Region": {"eu-west-1"}})), false, []string{"set THE-REGION=eu-west-1"}},
		"the clock":           {address(refusing(t, 403, "RequestTimeTooSkewed", late)), false, []string{"the clock of this machine is wrong", "behind that of the server"}},
		"an unknown key":      {address(refusing(t, 403, "InvalidAccessKeyId", nil)), false, []string{"does not know the access key", "THE-ACCESSKEY"}},
		"a wrong secret":      {address(refusing(t, 403, "SignatureDoesNotMatch", nil)), false, []string{"THE-SECRETKEY"}},
		"an expired token":    {address(refusing(t, 400, "ExpiredToken", nil)), false, []string{"token", "AWS_SESSION_TOKEN"}},
		"no rights":           {address(refusing(t, 403, "AccessDenied", nil)), false, []string{"s3:PutObject"}},
		"TLS to a plain one":  {address(plain), true, []string{"set THE-TLS=false"}},
		"plain to a TLS one":  {address(secure), false, []string{"set THE-TLS=true"}},
		"a certificate of no": {address(secure), true, []string{"certificate", "SSL_CERT_FILE"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := s3.Open(s3.Options{
				Endpoint: c.address, Bucket: "nexus", Region: "us-east-1", AccessKey: "key", SecretKey: "very-secret", Insecure: !c.tls,
				CreateBucket: true, Setting: func(option string) string { return "THE-" + strings.ToUpper(option) },
			})
			if err != nil {
				t.Fatal(err)
			}
			err = s.Prepare(t.Context())
			if !errors.Is(err, storage.ErrMisconfigured) || strings.Contains(fmt.Sprint(err), "very-secret") {
				t.Fatalf("Prepare = %v, want ErrMisconfigured", err)
			}
			for _, want := range c.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("Prepare = %q, want %q in it", err, want)
				}
			}
		})
	}
}

// forgetful is an S3 server that keeps the conditions of writes as far as it is told.
type forgetful struct {
	mu                   sync.Mutex
	etags                map[string]string
	unknown              bool // answers 501 to conditions
	ifNoneMatch, ifMatch bool // which conditions it keeps
}

func (f *forgetful) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w.Header().Set("Content-Type", "application/xml")
	refuse := func(status int, code string) {
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>on purpose</Message></Error>", code)
	}
	now, there := f.etags[r.URL.Path]
	none, match := r.Header.Get("If-None-Match"), r.Header.Get("If-Match")
	switch {
	case r.Method == http.MethodGet:
		fmt.Fprint(w, "<ListBucketResult><Name>nexus</Name><IsTruncated>false</IsTruncated></ListBucketResult>")
	case r.Method != http.MethodPut:
		refuse(http.StatusMethodNotAllowed, "MethodNotAllowed")
	case f.unknown && none+match != "":
		refuse(http.StatusNotImplemented, "NotImplemented")
	case none != "" && f.ifNoneMatch && there, match != "" && f.ifMatch && strings.Trim(match, `"`) != now:
		refuse(http.StatusPreconditionFailed, "PreconditionFailed")
	default:
		f.etags[r.URL.Path] = fmt.Sprintf("%032x", len(f.etags)+1)
		w.Header().Set("ETag", `"`+f.etags[r.URL.Path]+`"`)
	}
}

// A server that does not keep the conditions of writes would let two trainers
// overwrite each other's checkpoints: it is refused before anything is stored.
func TestAServerWithoutConditionalWritesIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		server *forgetful
		says   string // empty: it is taken
	}{
		"ignores If-None-Match": {&forgetful{ifMatch: true}, "ignores If-None-Match"},
		"ignores If-Match":      {&forgetful{ifNoneMatch: true}, "ignores If-Match"},
		"ignores both":          {&forgetful{}, "ignores If-"},
		"knows neither":         {&forgetful{unknown: true}, "refuses If-None-Match"},
		"keeps both":            {&forgetful{ifMatch: true, ifNoneMatch: true}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.server.etags = map[string]string{}
			srv := httptest.NewServer(c.server)
			t.Cleanup(srv.Close)
			for _, when := range []string{"a new bucket", "a bucket that was tried before"} {
				s, err := s3.Open(s3.Options{
					Endpoint: srv.URL, Bucket: "nexus", Region: "us-east-1", AccessKey: "key", SecretKey: "secret",
					Setting: func(option string) string { return "THE-" + option },
				})
				if err != nil {
					t.Fatal(err)
				}
				err = s.Prepare(t.Context())
				if c.says == "" {
					if err != nil {
						t.Errorf("%s: Prepare = %v", when, err)
					}
					continue
				}
				if !errors.Is(err, storage.ErrMisconfigured) || !strings.Contains(fmt.Sprint(err), c.says) || !strings.Contains(fmt.Sprint(err), "set THE-Endpoint") {
					t.Errorf("%s: Prepare = %v, want ErrMisconfigured, %q and the setting", when, err, c.says)
				}
			}
		})
	}
}

// What Prepare leaves in the bucket is not shown as an object of ours.
func TestTheProbeIsNotShown(t *testing.T) {
	t.Parallel()
	g := startGateway(t)
	s := g.open(t, "probed", "team/nexus")
	if infos, err := s.List(t.Context(), ""); err != nil || len(infos) > 0 {
		t.Errorf("after Prepare the bucket holds %v, %v", infos, err)
	}
	g.open(t, "probed", "team/nexus")
}
