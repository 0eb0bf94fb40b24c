package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificateLook is how often the files of the certificate are looked at.
const certificateLook = 2 * time.Second

// certificate is read again when its files change: a renewal needs no restart.
type certificate struct {
	cert, key string
	log       *slog.Logger
	now       func() time.Time

	mu     sync.Mutex
	loaded *tls.Certificate
	stamp  string // of the files when they were last read
	looked time.Time
}

// speaksTLS reports whether the API speaks TLS.
func (s *Settings) speaksTLS() bool { return s.TLSCert != "" || len(s.TLSACME) > 0 }

// serverTLS is how the API speaks TLS; nil if it does not. The second is a part
// that gets the certificates, if an authority is to give them.
func (s *Settings) serverTLS(log *slog.Logger, now func() time.Time) (*tls.Config, *certificates, error) {
	if err := s.checkTLS(); err != nil || !s.speaksTLS() {
		return nil, nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	if s.TLSClientCA != "" {
		var err error
		if config.ClientCAs, err = readPool("NEXUS_TLS_CLIENT_CA", s.TLSClientCA); err != nil {
			return nil, nil, err
		}
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	if s.TLSCert == "" {
		c, err := newCertificates(s, log)
		if err != nil {
			return nil, nil, err
		}
		return c.config(config), c, nil
	}
	c := &certificate{cert: s.TLSCert, key: s.TLSKey, log: log, now: now}
	if err := c.load(); err != nil {
		return nil, nil, &settingError{"NEXUS_TLS_CERT", s.TLSCert, "must name a certificate in PEM, and NEXUS_TLS_KEY its key: " + err.Error()}
	}
	config.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current(), nil }
	return config, nil, nil
}

func (s *Settings) checkTLS() error {
	if (s.TLSCert == "") != (s.TLSKey == "") {
		return &settingError{"NEXUS_TLS_KEY", s.TLSKey, "must be set together with NEXUS_TLS_CERT, or neither"}
	}
	if s.TLSClientCA != "" && !s.speaksTLS() {
		return &settingError{"NEXUS_TLS_CLIENT_CA", s.TLSClientCA, "needs NEXUS_TLS_CERT and NEXUS_TLS_KEY, or NEXUS_TLS_ACME"}
	}
	return s.checkACME()
}

// current is the certificate of the moment. One that cannot be read leaves the
// one before in place.
func (c *certificate) current() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); now.Sub(c.looked) >= certificateLook {
		c.looked = now
		if stamp, err := c.stamped(); err != nil || stamp != c.stamp {
			if err == nil {
				err = c.read(stamp)
			}
			if err != nil {
				c.log.Error("the renewed certificate cannot be used; the one before stays in use", "file", c.cert, "error", err)
			} else {
				c.log.Info("the certificate was renewed", "file", c.cert, "until", c.loaded.Leaf.NotAfter)
			}
		}
	}
	return c.loaded
}

func (c *certificate) load() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	stamp, err := c.stamped()
	if err != nil {
		return err
	}
	c.looked = c.now()
	return c.read(stamp)
}

// read takes the files. A pair that does not fit, as while one of both is
// replaced, is looked at again.
func (c *certificate) read(stamp string) error {
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	if pair.Leaf == nil {
		return errors.New("it holds no certificate")
	}
	c.loaded, c.stamp = &pair, stamp
	return nil
}

// stamped tells the present files from others.
func (c *certificate) stamped() (string, error) {
	out := ""
	for _, name := range []string{c.cert, c.key} {
		i, err := os.Stat(name)
		if err != nil {
			return "", err //nolint:wrapcheck // it names the file
		}
		out += fmt.Sprintf("%d %d ", i.ModTime().UnixNano(), i.Size())
	}
	return out, nil
}
