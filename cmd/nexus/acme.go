package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/mail"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"github.com/nexus-continuum/nexus/internal/lifecycle"
)

const (
	// acmeFolder of the data folder holds the account, the certificates and their
	// keys. It is not part of a backup.
	acmeFolder = "acme"
	// acmeAgain is how long to wait before the authority is asked again, doubled
	// after each failure up to acmeSeldom: authorities allow few failures an hour,
	// and autocert does not try again within a minute.
	acmeAgain, acmeSeldom = 90 * time.Second, time.Hour
)

// certificates gets certificates from an ACME authority (RFC 8555). The authority checks
// a name by a TLS connection to our own port (TLS-ALPN-01, RFC 8737).
type certificates struct {
	manager *autocert.Manager
	names   []string
	heard   *refusedNames
	log     *slog.Logger
	life    lifecycle.Life

	mu    sync.Mutex
	there map[string]bool // names whose certificate was there at least once
}

func newCertificates(s *Settings, log *slog.Logger) (*certificates, error) {
	trusted := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.TLSACMERoots != "" {
		var err error
		if trusted.RootCAs, err = readPool("NEXUS_TLS_ACME_ROOTS", s.TLSACMERoots); err != nil {
			return nil, err
		}
	}
	heard := &refusedNames{to: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: trusted}, why: map[string]string{}}
	client := &acme.Client{DirectoryURL: s.TLSACMEDirectory, UserAgent: "nexus", HTTPClient: &http.Client{Transport: heard, Timeout: time.Minute}}
	names := s.acmeNames()
	folder := filepath.Join(s.DataDir, acmeFolder)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the certificates: %w", err)
	}
	return &certificates{
		manager: &autocert.Manager{
			Prompt: autocert.AcceptTOS, Cache: autocert.DirCache(folder), HostPolicy: autocert.HostWhitelist(names...), Client: client, Email: s.TLSACMEEmail,
		},
		names: names, heard: heard, log: log, there: map[string]bool{},
	}, nil
}

// Start begins to get the certificates. The port must be open by then.
func (c *certificates) Start(ctx context.Context) error {
	return c.life.Start(ctx, func(context.Context) error {
		for _, name := range c.names {
			c.life.Go(func(ctx context.Context) { c.get(ctx, name) })
		}
		return nil
	})
}

// Stop does not wait for pending answers of the authority.
func (c *certificates) Stop(ctx context.Context) error { return c.life.Stop(ctx) }

// get asks the authority until there is a certificate. autocert renews it from then on.
func (c *certificates) get(ctx context.Context, name string) {
	for pause := acmeAgain; ; pause = min(2*pause, acmeSeldom) {
		answer := make(chan error, 1)
		go func() { // ends by itself: autocert gives up after five minutes
			cert, err := c.manager.GetCertificate(clientHello(name))
			if err == nil {
				c.log.Info("there is a certificate", "name", name, "until", cert.Leaf.NotAfter)
			}
			answer <- err
		}()
		select {
		case err := <-answer:
			if err == nil {
				c.mu.Lock()
				c.there[name] = true
				c.mu.Unlock()
				return
			}
			c.log.Error("no certificate yet; until there is one, nobody can connect by this name. The authority must reach this port as port 443 of the name",
				"name", name, "error", c.heard.explain(name, err), "again_in", pause)
		case <-ctx.Done():
			return
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

// clientHello asks for the only kind of certificate that is kept for a name: ECDSA.
func clientHello(name string) *tls.ClientHelloInfo {
	return &tls.ClientHelloInfo{
		ServerName: name, SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256},
		SupportedCurves: []tls.CurveID{tls.CurveP256}, CipherSuites: []uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
	}
}

// ofAuthority reports whether a handshake is the authority's check of a name.
func ofAuthority(hello *tls.ClientHelloInfo) bool {
	return len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == acme.ALPNProto
}

var errNoCertificate = errors.New("there is no certificate for this name")

// certificate returns the certificate of a name. A handshake never calls the authority,
// so that clients cannot use up its limits or wait for it.
func (c *certificates) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if ofAuthority(hello) {
		return c.manager.GetCertificate(hello) //nolint:wrapcheck // for the log of net/http
	}
	// A probe by address names nobody.
	name := c.names[0]
	if hello.ServerName != "" {
		name = strings.TrimSuffix(strings.ToLower(hello.ServerName), ".")
	}
	c.mu.Lock()
	there := c.there[name]
	c.mu.Unlock()
	if !there {
		return nil, fmt.Errorf("%w: %q", errNoCertificate, name)
	}
	return c.manager.GetCertificate(clientHello(name)) //nolint:wrapcheck // for the log of net/http
}

// config admits the authority without a client certificate.
func (c *certificates) config(base *tls.Config) *tls.Config {
	check := base.Clone()
	check.NextProtos, check.ClientAuth, check.ClientCAs = []string{acme.ALPNProto}, tls.NoClientCert, nil
	base.GetCertificate, check.GetCertificate = c.certificate, c.certificate
	base.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if ofAuthority(hello) {
			return check, nil
		}
		return nil, nil //nolint:nilnil // the usual one
	}
	return base
}

// acmeNames returns the names of NEXUS_TLS_ACME.
func (s *Settings) acmeNames() []string {
	out := make([]string, len(s.TLSACME))
	for i, name := range s.TLSACME {
		out[i] = strings.ToLower(strings.TrimSpace(name))
	}
	return out
}

// hostPattern matches a name with at least two labels. Other names get no certificate.
var hostPattern = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)

func (s *Settings) checkACME() error {
	if len(s.TLSACME) == 0 {
		return nil
	}
	if s.TLSCert != "" {
		return &settingError{"NEXUS_TLS_ACME", strings.Join(s.TLSACME, ","), "must not be set together with NEXUS_TLS_CERT: certificates come from files or from an authority"}
	}
	for _, name := range s.acmeNames() {
		if len(name) > 253 || !hostPattern.MatchString(name) {
			return &settingError{"NEXUS_TLS_ACME", name, "must be full names such as nexus.example.com, separated by commas; no addresses, wildcards or ports, and other letters as xn--…"}
		}
	}
	if u, err := url.Parse(s.TLSACMEDirectory); err != nil || u.Scheme != "https" || u.Host == "" {
		return &settingError{"NEXUS_TLS_ACME_DIRECTORY", s.TLSACMEDirectory, "must be an https URL, such as " + autocert.DefaultACMEDirectory}
	}
	if s.TLSACMEEmail != "" {
		if a, err := mail.ParseAddress(s.TLSACMEEmail); err != nil || a.Address != s.TLSACMEEmail {
			return &settingError{"NEXUS_TLS_ACME_EMAIL", s.TLSACMEEmail, "must be a plain address, such as admin@example.com"}
		}
	}
	return nil
}

// readPool reads certificates in PEM that are trusted.
func readPool(setting, path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, &settingError{setting, path, "must name a file: " + err.Error()}
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, &settingError{setting, path, "must hold certificates in PEM"}
	}
	return pool, nil
}

// refusedNames is the transport to the authority. It records why a name was refused,
// because autocert only reports that it was.
type refusedNames struct {
	to http.RoundTripper

	mu  sync.Mutex
	why map[string]string
}

// maxAuthorization limits how much is read of one answer about a name.
const maxAuthorization = 1 << 20

// RoundTrip implements http.RoundTripper.
func (n *refusedNames) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := n.to.RoundTrip(r)
	if err != nil || !strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") {
		return res, err //nolint:wrapcheck // the same way
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAuthorization))
	_ = res.Body.Close() // it was read
	if err != nil {
		return nil, fmt.Errorf("read what the authority says: %w", err)
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	var of struct {
		Identifier struct{ Value string }
		Challenges []struct{ Error struct{ Detail string } }
	}
	if json.Unmarshal(body, &of) == nil && of.Identifier.Value != "" {
		for _, c := range of.Challenges {
			if c.Error.Detail != "" {
				n.mu.Lock()
				n.why[of.Identifier.Value] = c.Error.Detail
				n.mu.Unlock()
			}
		}
	}
	return res, nil
}

// explain adds the authority's reason to an error.
func (n *refusedNames) explain(name string, err error) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if why := n.why[name]; why != "" {
		delete(n.why, name)
		return fmt.Errorf("the authority says: %s (%w)", why, err)
	}
	return err
}
