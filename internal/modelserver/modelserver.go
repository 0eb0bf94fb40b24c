// Package modelserver reaches servers of language and embedding models by the API of
// OpenAI, which most of them offer, those on one's own machine too.
package modelserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/sashabaranov/go-openai"

	"github.com/nexus-continuum/nexus/job"
)

// What errors of Explain wrap.
var (
	// ErrRefused: asking again would not help. The key is wrong, the model unknown,
	// or the server does not take the request.
	ErrRefused = errors.New("refused")
	// ErrAway: the server cannot be reached, is overloaded or out of order.
	ErrAway = errors.New("away")
)

const (
	// maxReply bounds the bytes that are read of an answer.
	maxReply = 16 << 20
	// maxMessage bounds what is passed on of a server's own words, in characters.
	maxMessage = 300
)

// Role is what a server is for.
type Role struct {
	API     string // as people call it: "a chat API"
	Setting string // what the names of its settings begin with: "NEXUS_TEACHER"
}

// CheckURL reads the base of an API, such as http://localhost:11434/v1.
func (r Role) CheckURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("must be the base of %s, such as https://api.openai.com/v1 or http://localhost:11434/v1", r.API)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("must have neither a user, a query nor a fragment; a key comes by %s_API_KEY", r.Setting)
	}
	return u, nil
}

// Connect makes a client of the server at base, which CheckURL has read; nothing is
// asked yet. by may be nil.
func Connect(base *url.URL, key string, by *http.Client) *openai.Client {
	if by == nil {
		by = &http.Client{}
	}
	config := openai.DefaultConfig(key)
	config.BaseURL = strings.TrimSuffix(base.String(), "/")
	config.HTTPClient = bounded{by}
	return openai.NewClientWithConfig(config)
}

// Explain finds out what an error of the client means. One that wraps neither
// ErrRefused nor ErrAway is of what the server sent, or that it did not in time.
func (r Role) Explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	status := 0
	if e, ok := errors.AsType[*openai.APIError](err); ok {
		status, err = e.HTTPStatusCode, fmt.Errorf("%s: %s", e.HTTPStatus, job.Clip(e.Message, maxMessage))
	} else if e, ok := errors.AsType[*openai.RequestError](err); ok {
		status, err = e.HTTPStatusCode, fmt.Errorf("%s: %s", e.HTTPStatus, job.Clip(strings.TrimSpace(string(e.Body)), maxMessage))
	} else if _, ok := errors.AsType[*url.Error](err); !ok {
		return err
	}
	switch {
	case status == http.StatusRequestTimeout, status == http.StatusConflict, status == http.StatusTooManyRequests:
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return fmt.Errorf("%w: %w; check %s_API_KEY", ErrRefused, err, r.Setting)
	case status == http.StatusNotFound:
		return fmt.Errorf("%w: %w; check %[3]s_URL and %[3]s_MODEL", ErrRefused, err, r.Setting)
	case status >= 400 && status < 500:
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return fmt.Errorf("%w: %w", ErrAway, err)
}

// bounded reads so much of an answer and no more.
type bounded struct{ client *http.Client }

// Do implements openai.HTTPDoer.
func (b bounded) Do(r *http.Request) (*http.Response, error) {
	res, err := b.client.Do(r) //nolint:gosec // the server is the one that the operator named
	if err != nil {
		return nil, err
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(res.Body, maxReply), res.Body}
	return res, nil
}
