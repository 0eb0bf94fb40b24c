package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// An address that others reach needs a key, or a word that it is meant so.
func TestAPublicAddressNeedsAKey(t *testing.T) {
	t.Parallel()
	p := launch(t, t.TempDir(), []string{"serve"}, "NEXUS_LISTEN=0.0.0.0:0", "NEXUS_REDIS=embedded")
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		t.Fatal("it started")
	}
	said := p.out.String()
	if code := p.cmd.ProcessState.ExitCode(); code != exitUsage || !strings.Contains(said, "NEXUS_ALLOW_PUBLIC=true") || !strings.Contains(said, "NEXUS_API_KEY") {
		t.Errorf("exit %d, says %q", code, said)
	}
	for _, env := range []string{"NEXUS_ALLOW_PUBLIC=true", "NEXUS_API_KEY=0123456789abcdefghij"} {
		p := launch(t, t.TempDir(), []string{"serve"}, "NEXUS_LISTEN=0.0.0.0:0", "NEXUS_REDIS=embedded", env)
		if _, err := p.out.await(readyLine, p.done); err != nil {
			t.Errorf("with %s: %v", env, err)
		}
	}
}

func TestThatANewcomerIsNotLimited(t *testing.T) {
	t.Parallel()
	// Without NEXUS_RATE_LIMIT_ENABLED=false, which launch sets for the other tests.
	p := start(t, t.TempDir(), []string{"serve"}, "NEXUS_REDIS=embedded", "NEXUS_RATE_LIMIT_ENABLED=")
	for i := range 30 {
		if code, _ := p.call("POST", "/api/interact", map[string]string{"prompt": "hi"}, nil); code != http.StatusOK {
			t.Fatalf("question %d: %d", i+1, code)
		}
	}
}

func TestWrongAccessSettings(t *testing.T) {
	t.Parallel()
	for env, want := range map[string]string{
		"NEXUS_TRUSTED_PROXIES=10.0.0.0/99":   "NEXUS_TRUSTED_PROXIES",
		"NEXUS_TLS_CERT=/x.pem":               "NEXUS_TLS_KEY",
		"NEXUS_TLS_CLIENT_CA=/x.pem":          "NEXUS_TLS_CLIENT_CA",
		"NEXUS_MAX_CONNECTIONS=-1":            "NEXUS_MAX_CONNECTIONS",
		"NEXUS_ALLOW_PUBLIC=perhaps":          "NEXUS_ALLOW_PUBLIC",
		"NEXUS_TRUSTED_PROXIES=proxy.example": "NEXUS_TRUSTED_PROXIES",
	} {
		if _, said, code := inProcess(t, t.TempDir(), []string{"config"}, env); code != exitUsage || !strings.Contains(said, want) {
			t.Errorf("%s: exit %d, %q", env, code, said)
		}
	}
}

// authority signs certificates for 127.0.0.1.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	n    int64
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

// issue writes name.pem and name.key, and returns the serial number.
func (a *authority) issue(dir, name string) int64 {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.n++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(100 + a.n), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(filepath.Join(dir, name+".key"), "EC PRIVATE KEY", secret)
	a.write(filepath.Join(dir, name+".pem"), "CERTIFICATE", der)
	return 100 + a.n
}

func (a *authority) write(path, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// TLS: at least 1.2, a renewed certificate without a restart, and clients with a
// certificate of their own if wanted.
func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca := newAuthority(t)
	caFile := filepath.Join(dir, "ca.pem")
	ca.write(caFile, "CERTIFICATE", ca.cert.Raw)
	serial := ca.issue(dir, "server")
	ca.issue(dir, "client")
	files := []string{"NEXUS_REDIS=embedded", "NEXUS_TLS_CERT=" + filepath.Join(dir, "server.pem"), "NEXUS_TLS_KEY=" + filepath.Join(dir, "server.key")}
	p := launch(t, t.TempDir(), []string{"serve"}, files...)
	url, err := p.out.await(readyLine, p.done)
	if err != nil || !strings.HasPrefix(url, "https://") {
		t.Fatalf("%q, %v", url, err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	dial := func(url string, config *tls.Config) (*http.Response, error) {
		config.RootCAs = roots
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}, Timeout: 20 * time.Second}
		return client.Get(url + "/healthz") //nolint:noctx // bounded by the client
	}
	res, err := dial(url, &tls.Config{})
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", res, err)
	}
	if got := res.TLS.PeerCertificates[0].SerialNumber.Int64(); got != serial {
		t.Errorf("certificate %d, want %d", got, serial)
	}
	// The client must be willing, or it is not the server that refuses.
	old := &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	if _, err := dial(url, old); err == nil || !strings.Contains(err.Error(), "protocol version not supported") {
		t.Errorf("TLS 1.1: %v", err)
	}
	if res, err := http.Get(strings.Replace(url, "https:", "http:", 1) + "/healthz"); err == nil && res.StatusCode == http.StatusOK { //nolint:noctx // a test
		t.Error("plain HTTP is answered")
	}
	renewed := ca.issue(dir, "server")
	p.eventually("the renewed certificate", func() bool {
		res, err := dial(url, &tls.Config{})
		return err == nil && res.TLS.PeerCertificates[0].SerialNumber.Int64() == renewed
	})

	q := launch(t, t.TempDir(), []string{"serve"}, append(files, "NEXUS_TLS_CLIENT_CA="+caFile)...)
	if url, err = q.out.await(readyLine, q.done); err != nil {
		t.Fatal(err)
	}
	if _, err := dial(url, &tls.Config{}); err == nil {
		t.Error("a client without a certificate is answered")
	}
	own, err := tls.LoadX509KeyPair(filepath.Join(dir, "client.pem"), filepath.Join(dir, "client.key"))
	if err != nil {
		t.Fatal(err)
	}
	if res, err := dial(url, &tls.Config{Certificates: []tls.Certificate{own}}); err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("a client with a certificate: %v", err)
	}
}
