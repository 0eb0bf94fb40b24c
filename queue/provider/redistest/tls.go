package redistest

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
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Secure is a server that speaks TLS only, and the files that a client needs.
type Secure struct {
	*Server
	CA, Cert, Key string
}

// StartTLS runs a server that wants a certificate of its clients too, as
// redis-server does unless it is told otherwise.
func StartTLS(t testing.TB, args ...string) *Secure {
	t.Helper()
	s := &Secure{Server: &Server{t: t, Dir: t.TempDir()}}
	s.certificates()
	pair, err := tls.LoadX509KeyPair(s.Cert, s.Key)
	if err != nil {
		t.Fatal(err)
	}
	s.env = func(o *redis.Options) {
		//nolint:gosec // only to see whether the server answers
		o.TLSConfig = &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{pair}}
	}
	s.launch(func() []string {
		s.Addr = freeAddr(t)
		return append([]string{
			"--bind", "127.0.0.1", "--port", "0", "--tls-port", port(s.Addr),
			"--tls-cert-file", s.Cert, "--tls-key-file", s.Key, "--tls-ca-cert-file", s.CA,
		}, args...)
	})
	return s
}

// certificates makes an authority and one certificate of it, for both sides.
func (s *Secure) certificates() {
	s.t.Helper()
	fatal := func(err error) {
		if err != nil {
			s.t.Helper()
			s.t.Fatal(err)
		}
	}
	now := time.Now()
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	fatal(err)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "an authority for tests"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	fatal(err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	fatal(err)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	fatal(err)
	keyDER, err := x509.MarshalECPrivateKey(key)
	fatal(err)
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	s.CA = write(s.t, s.Dir, "ca.pem", block("CERTIFICATE", caDER))
	s.Cert = write(s.t, s.Dir, "cert.pem", block("CERTIFICATE", leafDER))
	s.Key = write(s.t, s.Dir, "key.pem", block("EC PRIVATE KEY", keyDER))
}
