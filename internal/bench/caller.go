package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// caller asks on one connection of its own. Client and server share the cores
// here, so the client does as little as can be: net/http's own would take about
// as much of them as the server does.
type caller struct {
	host string
	conn net.Conn
	in   *bufio.Reader
}

func (s *server) caller(ctx context.Context) (*caller, error) {
	host := strings.TrimPrefix(s.url, "http://")
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", host, err)
	}
	return &caller{host: host, conn: conn, in: bufio.NewReader(conn)}, nil
}

func (c *caller) close() { _ = c.conn.Close() }

// ask sends one prompt and returns the status of the answer.
func (c *caller) ask(prompt string) (status int, err error) {
	body, err := json.Marshal(map[string]string{"prompt": prompt})
	if err != nil {
		return 0, fmt.Errorf("write a prompt: %w", err)
	}
	if _, err := fmt.Fprintf(c.conn, "POST /api/interact HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", c.host, len(body), body); err != nil {
		return 0, fmt.Errorf("ask: %w", err)
	}
	res, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return 0, fmt.Errorf("read the answer: %w", err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return 0, fmt.Errorf("read the answer: %w", err)
	}
	return res.StatusCode, nil
}

// answered is ask for where anything but an answer is a failure.
func (c *caller) answered(prompt string) error {
	status, err := c.ask(prompt)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("interact: status %d", status)
	}
	return err
}
