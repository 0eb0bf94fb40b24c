package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// pebbleProgram finds pebble, the ACME server that Let's Encrypt tests clients
// with: NEXUS_TEST_PEBBLE names it, else the go command builds the version that
// .ci/acme.mod pins, or takes it from its cache.
var pebbleProgram = sync.OnceValues(func() (string, error) {
	if named := os.Getenv("NEXUS_TEST_PEBBLE"); named != "" {
		return named, nil
	}
	build := exec.Command("go", "tool", "-modfile="+filepath.Join("..", "..", ".ci", "acme.mod"), "-n", "pebble")
	build.Stderr = os.Stderr
	out, err := build.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w; NEXUS_TEST_PEBBLE can name the program instead", build, err)
	}
	return strings.TrimSpace(string(out)), nil
})

// acmeAuthority is pebble. Every name leads to this machine for it.
type acmeAuthority struct {
	t               *testing.T
	directory, mgmt string
	roots           string // file with the certificate that its own server is checked by
	cmd             *exec.Cmd
}

// newACMEAuthority starts one that looks for names at a port.
func newACMEAuthority(t *testing.T, port string) *acmeAuthority {
	t.Helper()
	program, err := pebbleProgram()
	if err != nil {
		t.Fatalf("get an ACME server to test against: %v", err)
	}
	dir := t.TempDir()
	ca := newAuthority(t)
	a := &acmeAuthority{t: t, directory: freeAddress(t), mgmt: freeAddress(t), roots: filepath.Join(dir, "ca.pem")}
	ca.write(a.roots, "CERTIFICATE", ca.cert.Raw)
	ca.issue(dir, "pebble")
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": a.directory, "managementListenAddress": a.mgmt, "certificate": filepath.Join(dir, "pebble.pem"), "privateKey": filepath.Join(dir, "pebble.key"),
		"httpPort": 1, "tlsPort": json.Number(port), "retryAfter": map[string]int{"authz": 1, "order": 1},
		"profiles": map[string]any{"default": map[string]any{"description": "usual", "validityPeriod": 7776000}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "pebble.json"), config, 0o600); err != nil {
		t.Fatal(err)
	}
	out := &transcript{grown: make(chan struct{})}
	a.cmd = exec.Command(program, "-config", filepath.Join(dir, "pebble.json"), "-dnsserver", namesHere(t))
	a.cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0", "PEBBLE_AUTHZREUSE=0")
	a.cmd.Stdout, a.cmd.Stderr = out, out
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.end()
		if t.Failed() {
			t.Logf("pebble said:\n%s", tail(out.String(), 3000))
		}
	})
	ended := make(chan struct{}) // never closed: await has a limit
	if _, err := out.await(pebbleLine, ended); err != nil {
		t.Fatalf("the ACME server does not start: %v", err)
	}
	return a
}

func (a *acmeAuthority) end() {
	_ = a.cmd.Process.Kill()
	_ = a.cmd.Wait()
}

// pool holds what it signs certificates with.
func (a *acmeAuthority) pool() *x509.CertPool {
	a.t.Helper()
	own, err := readPool("", a.roots)
	if err != nil {
		a.t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: own}, DisableKeepAlives: true}, Timeout: 20 * time.Second}
	res, err := client.Get("https://" + a.mgmt + "/roots/0")
	if err != nil {
		a.t.Fatal(err)
	}
	defer res.Body.Close()
	pem, err := io.ReadAll(res.Body)
	pool := x509.NewCertPool()
	if err != nil || !pool.AppendCertsFromPEM(pem) {
		a.t.Fatalf("the root of the authority: %v, %s", err, pem)
	}
	return pool
}

// namesHere is a DNS server, over TCP as pebble asks, that says 127.0.0.1 of every
// name.
func namesHere(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go answerNames(c)
		}
	}()
	return l.Addr().String()
}

func answerNames(c net.Conn) {
	defer c.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		b := make([]byte, int(size[0])<<8|int(size[1]))
		var m dnsmessage.Message
		if _, err := io.ReadFull(c, b); err != nil || m.Unpack(b) != nil || len(m.Questions) != 1 {
			return
		}
		m.Response, m.Additionals = true, nil
		if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}, Body: &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
			}}
		}
		out, err := m.Pack()
		if err != nil {
			return
		}
		if _, err := c.Write(append([]byte{byte(len(out) >> 8), byte(len(out))}, out...)); err != nil {
			return
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Certificates from an authority: got at the start, kept in the data folder, and
// still there when the authority is not. Clients' certificates do not keep the
// authority out.
func TestCertificatesFromAnAuthority(t *testing.T) {
	t.Parallel()
	listen, data := freeAddress(t), t.TempDir()
	_, port, err := net.SplitHostPort(listen)
	if err != nil {
		t.Fatal(err)
	}
	a := newACMEAuthority(t, port)
	env := []string{
		"NEXUS_REDIS=embedded", "NEXUS_LISTEN=" + listen, "NEXUS_TLS_ACME=nexus.example.com, Second.example.com", "NEXUS_TLS_ACME_DIRECTORY=https://" + a.directory + "/dir",
		"NEXUS_TLS_ACME_ROOTS=" + a.roots, "NEXUS_TLS_ACME_EMAIL=admin@example.com",
	}
	p := launch(t, data, []string{"serve"}, env...)
	if url, err := p.out.await(readyLine, p.done); err != nil || url != "https://"+listen {
		t.Fatalf("%q, %v", url, err)
	}
	var roots *x509.CertPool
	shown := func(name string) *x509.Certificate {
		c, err := tls.Dial("tcp", listen, &tls.Config{ServerName: name, RootCAs: roots, InsecureSkipVerify: name == ""})
		if err != nil {
			return nil
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0]
	}
	roots = a.pool()
	p.eventually("a certificate for each name", func() bool { return shown("nexus.example.com") != nil && shown("second.example.com") != nil })
	first := shown("nexus.example.com")
	if byAddress := shown(""); byAddress == nil || !byAddress.Equal(first) {
		t.Error("who names nobody does not get the first certificate")
	}
	if shown("other.example.com") != nil {
		t.Error("a name that is not listed gets a certificate")
	}
	for _, args := range [][]string{{"health"}, {"ask", "hello"}} {
		if out, said, code := inProcess(t, data, args, env...); code != exitOK && code != exitRefused {
			t.Errorf("nexus %s: exit %d, %s%s", args[0], code, out, said)
		}
	}
	p.stop()
	a.end()
	err = filepath.WalkDir(filepath.Join(data, acmeFolder), func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if i, err := d.Info(); err != nil || i.Mode().Perm()&0o077 != 0 {
			t.Errorf("others can read %s: %v, %v", path, i.Mode(), err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}

	p = launch(t, data, []string{"serve"}, env...)
	p.eventually("the certificate of before, without the authority", func() bool {
		c := shown("nexus.example.com")
		return c != nil && c.Equal(first)
	})
	p.stop()

	// One that looks elsewhere says what it found, and the log passes it on.
	elsewhere := newACMEAuthority(t, "1")
	p = launch(t, t.TempDir(), []string{"serve"}, append(env, "NEXUS_TLS_ACME_DIRECTORY=https://"+elsewhere.directory+"/dir", "NEXUS_TLS_ACME_ROOTS="+elsewhere.roots)...)
	if said, err := p.out.await(noCertificateLine, p.done); err != nil || !strings.Contains(said, "Failed to connect") {
		t.Errorf("an authority that cannot reach us: %v, %s", err, said)
	}
	p.stop()

	// An authority that checks a name has no certificate of a client.
	b := newACMEAuthority(t, port)
	p = launch(t, t.TempDir(), []string{"serve"}, append(env, "NEXUS_TLS_ACME_DIRECTORY=https://"+b.directory+"/dir", "NEXUS_TLS_ACME_ROOTS="+b.roots, "NEXUS_TLS_CLIENT_CA="+b.roots)...)
	if _, err := p.out.await(certificateLine, p.done); err != nil {
		t.Fatalf("no certificate where clients must show theirs: %v", err)
	}
	if res, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}).Get("https://" + listen + "/healthz"); err == nil {
		t.Errorf("a client without a certificate is answered: %d", res.StatusCode)
	}
}

var (
	pebbleLine        = regexp.MustCompile(`ACME directory (available)`)
	certificateLine   = regexp.MustCompile(`there is a (certificate)`)
	noCertificateLine = regexp.MustCompile(`no certificate yet.* error=(.*)`)
)

func TestWrongSettingsOfAnAuthority(t *testing.T) {
	t.Parallel()
	for env, want := range map[string]string{
		"NEXUS_TLS_ACME=localhost":         "full names",
		"NEXUS_TLS_ACME=*.example.com":     "full names",
		"NEXUS_TLS_ACME=192.0.2.1":         "full names",
		"NEXUS_TLS_ACME=a.example.com:443": "full names",
		"NEXUS_TLS_ACME=a.example.com NEXUS_TLS_ACME_DIRECTORY=http://a.example.com/dir": "https URL",
		"NEXUS_TLS_ACME=a.example.com NEXUS_TLS_ACME_EMAIL=nobody":                       "plain address",
		"NEXUS_TLS_ACME=a.example.com NEXUS_TLS_CERT=/x.pem NEXUS_TLS_KEY=/x.key":        "not be set together",
	} {
		if _, said, code := inProcess(t, t.TempDir(), []string{"config"}, strings.Fields(env)...); code != exitUsage || !strings.Contains(said, want) {
			t.Errorf("%s: exit %d, %q", env, code, said)
		}
	}
	// A file that is not there is told at the start.
	p := launch(t, t.TempDir(), []string{"serve"}, "NEXUS_REDIS=embedded", "NEXUS_TLS_ACME=a.example.com", "NEXUS_TLS_ACME_ROOTS=/missing.pem")
	<-p.done
	if code := p.cmd.ProcessState.ExitCode(); code != exitUsage || !strings.Contains(p.out.String(), "NEXUS_TLS_ACME_ROOTS") {
		t.Errorf("exit %d, %s", code, p.out)
	}
}
