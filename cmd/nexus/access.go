package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"

	"github.com/nexus-continuum/nexus/api"
	"github.com/nexus-continuum/nexus/storage"
)

// admit fills in who may call the API, from where, and how much.
func (s *shared) admit(ctx context.Context, opt *api.Options) error {
	keys, err := s.settings.namedKeys()
	if err != nil {
		return err
	}
	book := storage.NewKeys(s.store, storage.KeyOptions{Log: s.log, Now: clock()})
	kept, err := book.List(ctx)
	if err != nil {
		return err
	}
	open := len(keys) == 0 && len(kept) == 0
	public := loopback(ctx, s.settings.Listen, "") != ""
	if open && public && !s.settings.AllowPublic {
		return &settingError{
			"NEXUS_LISTEN", s.settings.Listen,
			"others can reach this address and there is no API key, so anybody could read and change everything. " +
				"Set NEXUS_API_KEY (`nexus apikey` makes one), or make a key with `nexus keys create`, or listen on 127.0.0.1; NEXUS_ALLOW_PUBLIC=true starts all the same",
		}
	}
	if open && public {
		s.log.Warn("everybody who reaches this address may do everything: there is no API key and NEXUS_ALLOW_PUBLIC is set", "listen", s.settings.Listen)
	}
	if opt.TrustedProxies, err = s.settings.proxies(); err != nil {
		return err
	}
	opt.Keys, opt.KeyBook, opt.KeyHeader = keys, book, s.settings.APIKeyHeader
	opt.Listen, opt.AllowedHosts, opt.Public = s.settings.Listen, s.settings.AllowedHosts, public
	opt.CORSOrigins = s.settings.CORSOrigins
	opt.MaxConnections = s.settings.connections()
	opt.RateLimit = api.RateLimit{
		Enabled: s.settings.RateLimitEnabled, RPM: s.settings.RateLimitRPM, Burst: s.settings.RateLimitBurst,
		// Who limits on purpose gets what is asked for.
		GenerousWhileOpen: !public && !s.given("NEXUS_RATE_LIMIT_ENABLED", "NEXUS_RATE_LIMIT_RPM", "NEXUS_RATE_LIMIT_BURST"),
	}
	return nil
}

// given reports whether any of the settings was set and is no default.
func (s *shared) given(variables ...string) bool {
	for _, v := range s.values {
		for _, name := range variables {
			if v.Variable == name && v.Source != sourceDefault {
				return true
			}
		}
	}
	return false
}

// proxies are the networks of NEXUS_TRUSTED_PROXIES, and the usual ones with
// NEXUS_TRUST_PROXY.
func (s *Settings) proxies() ([]netip.Prefix, error) {
	var out []netip.Prefix
	if s.TrustProxy {
		out = api.UsualProxies()
	}
	for _, text := range s.TrustedProxies {
		p, err := network(strings.TrimSpace(text))
		if err != nil {
			return nil, &settingError{"NEXUS_TRUSTED_PROXIES", text, "must be addresses or networks of proxies, such as 10.0.0.0/8 or 192.0.2.7, separated by commas"}
		}
		out = append(out, p)
	}
	return out, nil
}

func network(text string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Masked(), nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("read a network: %w", err)
	}
	a = a.Unmap()
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// connections is how many clients may be connected: what is set, or a half of
// the files that this process may open. The rest is for Redis, the storage and
// the answers themselves.
func (s *Settings) connections() int {
	if s.MaxConnections > 0 {
		return s.MaxConnections
	}
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return api.DefaultConnections
	}
	return int(min(api.DefaultConnections, max(files.Cur/2, 16))) //nolint:gosec // 10 000 at the most
}

// loopback says what is wrong with an address that others could reach; empty if
// nothing is. why ends the sentence.
func loopback(ctx context.Context, listen, why string) (want string) {
	right := "must be host:port with an address of this machine alone, such as 127.0.0.1:6060" + why
	host, _, err := net.SplitHostPort(listen)
	if err != nil || host == "" {
		return right
	}
	ips := []net.IP{net.ParseIP(host)}
	if ips[0] == nil {
		if ips, err = net.DefaultResolver.LookupIP(ctx, "ip", host); err != nil {
			return right + "; " + err.Error()
		}
	}
	for _, ip := range ips {
		if !ip.IsLoopback() {
			return right + "; " + ip.String() + " can be reached by others"
		}
	}
	return ""
}
