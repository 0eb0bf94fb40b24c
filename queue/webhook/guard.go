package webhook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/nexus-continuum/nexus/job"
)

// ErrForbidden means that a receiver's address is not one of the public
// internet.
var ErrForbidden = errors.New("the address is not one of the public internet")

// Guard keeps webhooks from reaching what only this host may reach.
type Guard struct {
	// AllowPrivate lets private addresses, plain http and any port through.
	AllowPrivate bool
	// Ports are allowed beside 443 and 80.
	Ports []uint16
}

// allowsPort judges a port: behind others than those of the web stand services
// that must not be knocked at.
func (g Guard) allowsPort(port uint16) bool {
	return g.AllowPrivate || port == 443 || port == 80 || slices.Contains(g.Ports, port)
}

const maxURL = 2048

// Check refuses a webhook that could never be delivered. A name is resolved
// only when it is called. Error: CodeInvalid on the field webhook.
func (g Guard) Check(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || len(raw) > maxURL || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return job.Errorf(job.CodeInvalid, "the webhook must be an https URL of at most %d characters, without user, password or fragment", maxURL).On("webhook")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !g.AllowPrivate) {
		return job.Errorf(job.CodeInvalid, "the webhook must be an https URL").On("webhook")
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || !g.allowsPort(uint16(n)) {
			return job.Errorf(job.CodeInvalid, "the webhook must not lead to port %s; allowed are 443, 80 and those of NEXUS_WEBHOOK_PORTS", job.Clip(p, 20)).On("webhook")
		}
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && !g.allows(ip) {
		return job.Errorf(job.CodeInvalid, "the webhook must not lead to %s: %v", ip, ErrForbidden).On("webhook")
	}
	return nil
}

// special lists what is not globally reachable by the registries of RFC 6890
// and that netip.Addr has no method for, and the prefixes in which an IPv4
// address hides.
func special() []netip.Prefix {
	texts := [...]string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15",
		"198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fec0::/10",
	}
	out := make([]netip.Prefix, len(texts))
	for i, t := range texts {
		out[i] = netip.MustParsePrefix(t)
	}
	return out
}

// allows judges an address.
func (g Guard) allows(ip netip.Addr) bool {
	if g.AllowPrivate {
		return true
	}
	ip = ip.Unmap().WithZone("")
	if !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return false
	}
	for _, p := range special() {
		if p.Contains(ip) {
			return false
		}
	}
	return true
}

// control judges the address that a connection is about to be made to, after
// the name was resolved: what was judged is what is called.
func (g Guard) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%q: %w", address, ErrForbidden)
	}
	if !g.allows(at.Addr()) {
		return fmt.Errorf("%s: %w", at.Addr(), ErrForbidden)
	}
	if !g.allowsPort(at.Port()) {
		return fmt.Errorf("port %d: %w", at.Port(), ErrForbidden)
	}
	return nil
}

// client calls receivers. It follows no redirect, and takes no proxy: one would
// resolve the name a second time.
func (g Guard) client(timeout time.Duration) *http.Client {
	dialer := &net.Dialer{Timeout: timeout / 2, ControlContext: g.control}
	return &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSHandshakeTimeout: timeout / 2, ForceAttemptHTTP2: true,
			MaxIdleConns: 64, MaxIdleConnsPerHost: 4, IdleConnTimeout: 30 * time.Second, MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
