package api

import (
	"net/http"
	"net/netip"
	"testing"
)

func TestCallerAddress(t *testing.T) {
	t.Parallel()
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:1::/48")}
	for _, c := range []struct{ from, xff, forwarded, want string }{
		{"203.0.113.9:1", "", "", "203.0.113.9"},
		{"203.0.113.9:1", "198.51.100.1", "for=198.51.100.2", "203.0.113.9"}, // not a proxy of ours
		{"10.0.0.1:1", "198.51.100.1", "", "198.51.100.1"},
		{"10.0.0.1:1", "198.51.100.1:4711", "", "198.51.100.1"},
		{"10.0.0.1:1", "6.6.6.6, 198.51.100.1, 10.0.0.2", "", "198.51.100.1"}, // what the caller made up stands before
		{"10.0.0.1:1", "10.0.0.3", "", "10.0.0.3"},
		{"10.0.0.1:1", "198.51.100.1, unknown", "", "10.0.0.1"},
		{"10.0.0.1:1", "", "for=198.51.100.1", "198.51.100.1"},
		{"10.0.0.1:1", "", `For="[2001:db8::7]:4711";proto=https, for=10.1.1.1`, "2001:db8::7"},
		{"10.0.0.1:1", "", `for="_hidden"`, "10.0.0.1"},
		{"10.0.0.1:1", "", `for=unknown, for="198.51.100.1"`, "198.51.100.1"},
		// A quote that the caller left open does not hide what the proxy appended.
		{"10.0.0.1:1", "", `for=6.6.6.6;by=", for=198.51.100.1`, "10.0.0.1"},
		{"10.0.0.1:1", "", `for=6.6.6.6;by=", for="[2001:db8::7]:4711"`, "10.0.0.1"},
		{"10.0.0.1:1", "", `for=6.6.6.6;by="a,b", for=198.51.100.1`, "198.51.100.1"},
		{"10.0.0.1:1", "198.51.100.1", "for=198.51.100.1", "198.51.100.1"},
		{"10.0.0.1:1", "198.51.100.1", "for=6.6.6.6", "10.0.0.1"}, // one of both is made up
		{"[2001:db8:1::1]:1", "[2001:db8::7]:80", "", "2001:db8::7"},
		{"[::ffff:10.0.0.1]:1", "198.51.100.1", "", "198.51.100.1"},
	} {
		r := &http.Request{RemoteAddr: c.from, Header: http.Header{}}
		if c.xff != "" {
			r.Header.Set("X-Forwarded-For", c.xff)
		}
		if c.forwarded != "" {
			r.Header.Set("Forwarded", c.forwarded)
		}
		if got := callerAddress(proxies)(r); got != c.want {
			t.Errorf("from %s, X-Forwarded-For %q, Forwarded %q: %s, want %s", c.from, c.xff, c.forwarded, got, c.want)
		}
	}
	if a, b := rateLimitAddress("2001:db8::1"), rateLimitAddress("2001:db8::ffff:2"); a != b || a == rateLimitAddress("2001:db8:0:1::1") {
		t.Errorf("a /64 is counted as %s and %s", a, b)
	}
	if rateLimitAddress("192.0.2.1") == rateLimitAddress("192.0.2.2") {
		t.Error("two IPv4 addresses are one")
	}
}

// FuzzCallerAddress: whatever a caller makes up, an untrusted connection counts
// as itself, and a trusted one as some address.
func FuzzCallerAddress(f *testing.F) {
	f.Add("198.51.100.1, 10.0.0.2", `for="[2001:db8::7]:80";by=x, for=_x`)
	f.Add(`"`, `for="`)
	f.Add(",,,", ";;for=;=")
	extract := callerAddress([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})
	f.Fuzz(func(t *testing.T, xff, forwarded string) {
		h := http.Header{"X-Forwarded-For": {xff}, "Forwarded": {forwarded}}
		if got := extract(&http.Request{RemoteAddr: "203.0.113.9:1", Header: h}); got != "203.0.113.9" {
			t.Errorf("counted as %q", got)
		}
		if got := extract(&http.Request{RemoteAddr: "10.0.0.1:1", Header: h}); !netip.MustParseAddr(got).IsValid() {
			t.Errorf("%q is no address", got)
		}
	})
}
