package webhook

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/job"
)

func TestAddresses(t *testing.T) {
	t.Parallel()
	for text, public := range map[string]bool{
		"93.184.215.14": true, "1.1.1.1": true, "2606:4700::1111": true, "172.32.0.1": true, "100.128.0.1": true,
		"127.0.0.1": false, "127.1.2.3": false, "::1": false, // loopback
		"0.0.0.0": false, "0.1.2.3": false, "::": false, // unspecified
		"10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false, "fd00::1": false, // private
		"169.254.169.254": false, "fe80::1": false, "fe80::1%eth0": false, "fec0::1": false, // link-local, site-local
		"100.64.0.1": false, "100.127.255.255": false, // CGNAT
		"224.0.0.1": false, "239.1.1.1": false, "ff02::1": false, // multicast
		"255.255.255.255": false, "240.0.0.1": false, "198.18.0.1": false, "203.0.113.5": false, "2001:db8::1": false, // reserved
		"::ffff:10.0.0.1": false, "::ffff:1.1.1.1": true, "::127.0.0.1": false, // IPv4 in IPv6
		"64:ff9b::7f00:1": false, "2002:7f00:1::": false, "2001:0:1::1": false,
	} {
		if got := (Guard{}).allows(netip.MustParseAddr(text)); got != public {
			t.Errorf("%s: allowed %v, want %v", text, got, public)
		}
		if !(Guard{AllowPrivate: true}).allows(netip.MustParseAddr(text)) {
			t.Errorf("%s is refused although all are allowed", text)
		}
	}
}

func TestURLs(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]struct{ closed, open bool }{
		"https://example.com/hook?a=b":               {true, true},
		"https://example.com:443":                    {true, true},
		"https://example.com:8443":                   {false, true},
		"https://example.com:22":                     {false, true},
		"https://example.com:99999":                  {false, false},
		"https://1.1.1.1/":                           {true, true},
		"http://example.com/":                        {false, true},
		"https://127.0.0.1/":                         {false, true},
		"https://[::1]:80/":                          {false, true},
		"https://[::ffff:169.254.169.254]/":          {false, true},
		"https://u:p@example.com/":                   {false, false},
		"https:///path":                              {false, false},
		"https://example.com/#part":                  {false, false},
		"ftp://example.com/":                         {false, false},
		"file:///etc/passwd":                         {false, false},
		"example.com":                                {false, false},
		"https://e.com/" + strings.Repeat("a", 2048): {false, false},
	} {
		for _, c := range []struct {
			guard Guard
			want  bool
		}{{Guard{}, want.closed}, {Guard{AllowPrivate: true}, want.open}} {
			err := c.guard.Check(raw)
			if (err == nil) != c.want {
				t.Errorf("%+v %.60s: %v", c.guard, raw, err)
			}
			if err != nil && (job.AsError(err).Code != job.CodeInvalid || job.AsError(err).Field != "webhook") {
				t.Errorf("%.60s: %v is no fault of the webhook", raw, err)
			}
		}
	}
}

// A name that looks harmless leads to this host: the connection is refused.
func TestANameIsJudgedByItsAddress(t *testing.T) {
	t.Parallel()
	called := false
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true }))
	defer srv.Close()
	url := strings.Replace(srv.URL, "127.0.0.1", "localhost", 1)
	client := Guard{}.client(10 * time.Second)
	defer client.CloseIdleConnections()
	answer, err := client.Get(url)
	if err == nil {
		answer.Body.Close()
	}
	if !errors.Is(err, ErrForbidden) || called {
		t.Errorf("calling %s: %v", url, err)
	}
}

func TestPorts(t *testing.T) {
	t.Parallel()
	g := Guard{Ports: []uint16{8443}}
	if err := g.Check("https://example.com:8443/"); err != nil {
		t.Error(err)
	}
	if err := g.Check("https://example.com:8444/"); err == nil || !strings.Contains(err.Error(), "NEXUS_WEBHOOK_PORTS") {
		t.Errorf("another port: %v", err)
	}
	// What is called is judged again.
	for address, want := range map[string]bool{"1.1.1.1:443": true, "1.1.1.1:8443": true, "1.1.1.1:22": false} {
		if err := g.control(t.Context(), "tcp", address, nil); (err == nil) != want {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// FuzzGuard: a URL that passes leads to the web and to nobody's private address.
func FuzzGuard(f *testing.F) {
	for _, s := range []string{"https://example.com/hook", "https://[::1]:22/", "https://1.1.1.1:443", "http://u:p@h", "https://0x7f.1/", "https://EXAMPLE.com:0443/#x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if (Guard{}).Check(raw) != nil {
			return
		}
		u, err := url.Parse(raw)
		if err != nil || u.Scheme != "https" || u.User != nil || u.Hostname() == "" {
			t.Fatalf("%q passed", raw)
		}
		if p := u.Port(); p != "" && strings.TrimLeft(p, "0") != "443" && strings.TrimLeft(p, "0") != "80" {
			t.Errorf("%q passed with port %s", raw, p)
		}
		if ip, err := netip.ParseAddr(u.Hostname()); err == nil && !(Guard{}).allows(ip) {
			t.Errorf("%q leads to %s", raw, ip)
		}
	})
}
