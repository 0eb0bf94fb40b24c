package api

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/labstack/echo/v4"
)

// UsualProxies returns the networks that are trusted if the setting only says that
// there is a proxy of one's own: this machine, its link and private networks.
func UsualProxies() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"),
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
		netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("fc00::/7"),
	}
}

// callerAddress returns the address of the caller. Anyone can send the headers of a
// proxy, so they are trusted only from the networks of trusted. The hops are followed
// back from the connection to the first address that is not trusted.
func callerAddress(trusted []netip.Prefix) echo.IPExtractor {
	isTrusted := func(a netip.Addr) bool {
		for _, p := range trusted {
			if p.Contains(a) {
				return true
			}
		}
		return false
	}
	walk := func(from netip.Addr, hops []netip.Addr) netip.Addr {
		at := from
		for i := len(hops) - 1; i >= 0 && isTrusted(at) && hops[i].IsValid(); i-- {
			at = hops[i]
		}
		return at
	}
	return func(r *http.Request) string {
		direct, ok := parseAddress(r.RemoteAddr)
		if !ok {
			host, _, _ := net.SplitHostPort(r.RemoteAddr)
			return host // of a socket that has no address
		}
		if !isTrusted(direct) {
			return direct.String()
		}
		at := direct
		xff, forwarded := r.Header.Values("X-Forwarded-For"), r.Header.Values("Forwarded")
		switch {
		case len(xff) > 0 && len(forwarded) > 0:
			// A proxy sets one of the two headers and may pass on the other as the
			// caller invented it. An address counts only if both headers give it.
			if a := walk(direct, forwardedFor(xff)); a == walk(direct, forwardedBy(forwarded)) {
				at = a
			}
		case len(xff) > 0:
			at = walk(direct, forwardedFor(xff))
		case len(forwarded) > 0:
			at = walk(direct, forwardedBy(forwarded))
		}
		return at.String()
	}
}

// forwardedFor reads X-Forwarded-For. A hop that is not an address is kept as an
// invalid one, because the hops before it cannot be trusted.
func forwardedFor(values []string) []netip.Addr {
	var out []netip.Addr
	for _, v := range values {
		for part := range strings.SplitSeq(v, ",") {
			a, _ := parseAddress(strings.TrimSpace(part))
			out = append(out, a)
		}
	}
	return out
}

// forwardedBy reads the for= part of each element of Forwarded (RFC 7239). A value with
// an open quote is one invalid hop: a caller that leaves a quote open would otherwise
// hide the element that a proxy appends to the same line.
func forwardedBy(values []string) []netip.Addr {
	var out []netip.Addr
	for _, v := range values {
		if strings.Count(v, `"`)%2 != 0 {
			out = append(out, netip.Addr{})
			continue
		}
		for _, element := range splitQuoted(v, ',') {
			var a netip.Addr
			for _, pair := range splitQuoted(element, ';') {
				name, value, ok := strings.Cut(pair, "=")
				if ok && strings.EqualFold(strings.TrimSpace(name), "for") {
					a, _ = parseAddress(strings.Trim(strings.TrimSpace(value), `"`))
				}
			}
			out = append(out, a)
		}
	}
	return out
}

// splitQuoted splits at sep outside quotes.
func splitQuoted(s string, sep byte) []string {
	var out []string
	quoted, from := false, 0
	for i := range len(s) {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == sep && !quoted:
			out = append(out, s[from:i])
			from = i + 1
		}
	}
	return append(out, s[from:])
}

// parseAddress parses an address with or without a port: 192.0.2.1, 192.0.2.1:80, 2001:db8::1,
// [2001:db8::1], [2001:db8::1]:80.
func parseAddress(s string) (netip.Addr, bool) {
	if a, err := netip.ParseAddrPort(s); err == nil {
		return plainAddr(a.Addr()), true
	}
	if inner, ok := strings.CutPrefix(s, "["); ok {
		s = strings.TrimSuffix(inner, "]")
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, false
	}
	return plainAddr(a), true
}

func plainAddr(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// rateLimitAddress returns the address by which callers are counted. For IPv6 it is the /64
// network, because one host has all of it.
func rateLimitAddress(ip string) string {
	a, err := netip.ParseAddr(ip)
	if err != nil || !a.Is6() {
		return ip
	}
	p, err := a.Prefix(64)
	if err != nil {
		return ip
	}
	return p.String()
}
