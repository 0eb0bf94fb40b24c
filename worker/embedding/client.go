// Package embedding asks an embedding server for the vectors of texts. It speaks the
// API of OpenAI, which most servers of such models offer, those on one's own machine
// too.
package embedding

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strings"

	"github.com/sashabaranov/go-openai"

	"github.com/nexus-continuum/nexus/job"
)

// What errors of Embed wrap.
var (
	// ErrRefused: asking again would not help. The key is wrong, the model unknown,
	// or its vectors have another length.
	ErrRefused = errors.New("refused")
	// ErrAway: the server cannot be reached, is overloaded or out of order.
	ErrAway = errors.New("away")
)

// MaxTexts is how many texts one request holds at most.
const MaxTexts = 64

const (
	// maxReply bounds the bytes that are read of an answer: 64 vectors of 8192
	// numbers in decimal.
	maxReply = 16 << 20
	// maxMessage bounds what is passed on of a server's own words, in characters.
	maxMessage = 300
)

// Options say whom to ask. URL and Model are needed.
type Options struct {
	// URL is the base of the API, such as http://localhost:11434/v1.
	URL    string
	Model  string
	APIKey string
	// Dimensions is the length of vectors to ask for; 0 takes what the model gives.
	Dimensions int
}

// Client asks one server. Its methods may be called by several goroutines.
type Client struct {
	opt    Options
	client *openai.Client
	host   string
}

// New makes a client; nothing is asked yet.
func New(opt Options) (*Client, error) {
	base, err := CheckURL(opt.URL)
	if err != nil {
		return nil, err
	}
	if opt.Model == "" || opt.Dimensions < 0 {
		return nil, fmt.Errorf("embedding: a model and no negative dimensions are needed; they are %q and %d", opt.Model, opt.Dimensions)
	}
	config := openai.DefaultConfig(opt.APIKey)
	config.BaseURL = strings.TrimSuffix(opt.URL, "/")
	config.HTTPClient = bounded{&http.Client{}}
	return &Client{opt: opt, client: openai.NewClientWithConfig(config), host: base.Host}, nil
}

// CheckURL reads the base of an API.
func CheckURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("must be the base of an embeddings API, such as https://api.openai.com/v1 or http://localhost:11434/v1")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("must have neither a user, a query nor a fragment; a key comes by NEXUS_EMBEDDINGS_API_KEY")
	}
	return u, nil
}

// Model is the model that new vectors come from.
func (c *Client) Model() string { return c.opt.Model }

// Dimensions is the length of new vectors; 0 where it is the server's choice.
func (c *Client) Dimensions() int { return c.opt.Dimensions }

// Embed gives the vectors that a model of the server has for up to MaxTexts texts,
// in their order. Each has dim numbers; with dim 0 all have the same length.
func (c *Client) Embed(ctx context.Context, model string, dim int, texts []string) ([][]float32, error) {
	asked := openai.EmbeddingRequestStrings{Input: texts, Model: openai.EmbeddingModel(model)}
	if c.opt.Dimensions > 0 {
		asked.Dimensions = dim // servers that cannot choose refuse the field
	}
	reply, err := c.client.CreateEmbeddings(ctx, asked)
	if err != nil {
		return nil, fmt.Errorf("ask %s for embeddings of %s: %w", c.host, model, explain(ctx, err))
	}
	out, err := vectors(reply.Data, dim, len(texts))
	if err != nil {
		return nil, fmt.Errorf("read what %s sent for %s: %w", c.host, model, err)
	}
	return out, nil
}

// vectors checks what came.
func vectors(data []openai.Embedding, dim, n int) ([][]float32, error) {
	out := make([][]float32, n)
	for _, e := range data {
		if e.Index < 0 || e.Index >= n || out[e.Index] != nil {
			return nil, fmt.Errorf("%w: it holds number %d twice or where there are %d texts", ErrAway, e.Index, n)
		}
		if dim == 0 {
			dim = len(e.Embedding)
		}
		if len(e.Embedding) != dim || dim == 0 {
			return nil, fmt.Errorf("%w: a vector has %d numbers where %d are wanted; check NEXUS_EMBEDDINGS_DIMENSIONS and NEXUS_EMBEDDINGS_MODEL", ErrRefused, len(e.Embedding), dim)
		}
		for _, x := range e.Embedding {
			if y := float64(x); math.IsNaN(y) || math.IsInf(y, 0) {
				return nil, fmt.Errorf("%w: a vector holds %g", ErrAway, x)
			}
		}
		out[e.Index] = e.Embedding
	}
	if len(data) != n {
		return nil, fmt.Errorf("%w: %d vectors for %d texts", ErrAway, len(data), n)
	}
	return out, nil
}

// explain finds out what an error means.
func explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	status := 0
	if e, ok := errors.AsType[*openai.APIError](err); ok {
		status, err = e.HTTPStatusCode, fmt.Errorf("%s: %s", e.HTTPStatus, job.Clip(e.Message, maxMessage))
	} else if e, ok := errors.AsType[*openai.RequestError](err); ok {
		status, err = e.HTTPStatusCode, fmt.Errorf("%s: %s", e.HTTPStatus, job.Clip(strings.TrimSpace(string(e.Body)), maxMessage))
	}
	switch {
	case status == http.StatusRequestTimeout, status == http.StatusConflict, status == http.StatusTooManyRequests:
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return fmt.Errorf("%w: %w; check NEXUS_EMBEDDINGS_API_KEY", ErrRefused, err)
	case status == http.StatusNotFound:
		return fmt.Errorf("%w: %w; check NEXUS_EMBEDDINGS_URL and NEXUS_EMBEDDINGS_MODEL", ErrRefused, err)
	case status >= 400 && status < 500:
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return fmt.Errorf("%w: %w", ErrAway, err)
}

// bounded reads so much of an answer and no more.
type bounded struct{ client *http.Client }

// Do implements openai.HTTPDoer.
func (b bounded) Do(r *http.Request) (*http.Response, error) {
	res, err := b.client.Do(r)
	if err != nil {
		return nil, err
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(res.Body, maxReply), res.Body}
	return res, nil
}
