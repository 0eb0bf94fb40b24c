package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"time"
)

type healthCmd struct{ remote }

// Run asks /readyz of the server at NEXUS_LISTEN; an unready one is an error.
func (h healthCmd) Run(ctx context.Context, rt *runtime) error {
	if h.URL != "" {
		return h.there(ctx, rt)
	}
	host, port, err := net.SplitHostPort(rt.settings.Listen)
	if err != nil {
		return fmt.Errorf("NEXUS_LISTEN: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	scheme, client := "http", http.DefaultClient
	if rt.settings.speaksTLS() {
		// The certificate is for the name that clients use; here only our own port is asked.
		config := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // of this machine's own port, without a secret
		if rt.settings.TLSClientCA != "" {
			// We have no certificate of a client: that TLS answers is all that can be asked.
			return dialTLS(ctx, rt, net.JoinHostPort(host, port))
		}
		scheme, client = "https", &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
	}
	url := scheme + "://" + net.JoinHostPort(host, port) + "/readyz"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("ask %s: %w", url, err)
	}
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("ask %s: %w", url, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s says %s", url, res.Status)
	}
	fmt.Fprintln(rt.main.Stdout, "ready")
	return nil
}

// dialTLS sees that the port is open, where only clients with a certificate get
// an answer.
func dialTLS(ctx context.Context, rt *runtime, address string) error {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("reach %s: %w", address, err)
	}
	fmt.Fprintln(rt.main.Stdout, "listening")
	return c.Close()
}

// there asks the server of --url.
func (h healthCmd) there(ctx context.Context, rt *runtime) error {
	c, err := h.connect(rt)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := c.Ready(ctx); err != nil {
		return explain(err)
	}
	fmt.Fprintln(rt.main.Stdout, "ready")
	return nil
}
