// Package client speaks to a NEXUS server over its HTTP API.
//
//	c, err := client.New("http://localhost:8000", client.Key(os.Getenv("NEXUS_API_KEY")))
//	…
//	a, err := c.Ask(ctx, "How do I reset my password?", "support")
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/nexus-continuum/nexus/job"
)

// Client speaks to one server. It is safe for many goroutines.
type Client struct {
	base      *url.URL
	http      *http.Client
	key       string
	keyHeader string
}

// Option fits a Client to its server.
type Option func(*Client)

// Key is sent with each request; empty sends none.
func Key(key string) Option { return func(c *Client) { c.key = key } }

// KeyHeader names the header of the key, X-API-Key unless said otherwise.
func KeyHeader(name string) Option { return func(c *Client) { c.keyHeader = name } }

// HTTP sets the client that sends the requests.
func HTTP(h *http.Client) Option { return func(c *Client) { c.http = h } }

// New makes a client of the server at address, such as http://localhost:8000.
func New(address string, options ...Option) (*Client, error) {
	u, err := url.Parse(strings.TrimRight(address, "/"))
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("%q is no address of a server; it is written like http://localhost:8000", address)
	}
	c := &Client{base: u, http: http.DefaultClient, keyHeader: "X-API-Key"}
	for _, o := range options {
		o(c)
	}
	return c, nil
}

// Error is an answer of the server from 400 on.
type Error struct {
	Status     int           `json:"-"`
	Detail     string        `json:"detail"` // for people
	Code       string        `json:"code"`   // for programs
	Field      string        `json:"field"`
	Faults     []job.Fault   `json:"faults"`
	RequestID  string        `json:"request_id"`
	RetryAfter time.Duration `json:"-"` // 0: unsaid
}

func (e *Error) Error() string { return e.Detail }

// IsNotFound reports whether the server has no such thing.
func IsNotFound(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Status == http.StatusNotFound
}

// call is one request.
type call struct {
	method, path string
	query        url.Values
	kind         string // of the body
	body         io.Reader
	prefer       string
}

// send makes the request and returns a response below 400.
func (c *Client) send(ctx context.Context, r call) (*http.Response, error) {
	u := c.base.String() + r.path
	if len(r.query) > 0 {
		u += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, u, r.body)
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	if r.kind != "" {
		req.Header.Set("Content-Type", r.kind)
	}
	if r.prefer != "" {
		req.Header.Set("Prefer", r.prefer)
	}
	if c.key != "" {
		req.Header.Set(c.keyHeader, c.key)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("reach %s: %w", c.base, unwrapURL(err))
	}
	if res.StatusCode < http.StatusBadRequest {
		return res, nil
	}
	defer res.Body.Close()
	return nil, errorOf(res)
}

// unwrapURL drops what net/http repeats of the request.
func unwrapURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

func errorOf(res *http.Response) error {
	e := &Error{Status: res.StatusCode}
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil || json.Unmarshal(body, e) != nil || e.Detail == "" {
		e.Detail = "the server says " + res.Status
	}
	if s, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil {
		e.RetryAfter = time.Duration(s) * time.Second
	}
	return e
}

// do makes the request and reads its answer into out, which may be nil.
func (c *Client) do(ctx context.Context, r call, out any) error {
	res, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if out == nil {
		_, err = io.Copy(io.Discard, res.Body)
		return err
	}
	if err := json.NewDecoder(res.Body).Decode(out); err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.base, err)
	}
	return nil
}

func (c *Client) get(ctx context.Context, path string, query url.Values, out any) error {
	return c.do(ctx, call{method: http.MethodGet, path: path, query: query}, out)
}

func (c *Client) sendJSON(ctx context.Context, method, path string, in, out any) error {
	b, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("write a request: %w", err)
	}
	return c.do(ctx, call{method: method, path: path, kind: "application/json", body: bytes.NewReader(b)}, out)
}

func one(parts ...string) string {
	for i, p := range parts {
		if i%2 == 1 {
			parts[i] = url.PathEscape(p)
		}
	}
	return strings.Join(parts, "")
}

// set adds what is not empty.
func set(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}
