// Package embedding asks an embedding server for the vectors of texts. It speaks the
// API of OpenAI, which most servers of such models offer, those on one's own machine
// too.
package embedding

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"

	"github.com/sashabaranov/go-openai"

	"github.com/nexus-continuum/nexus/internal/modelserver"
)

// What errors of Embed wrap.
var (
	ErrRefused = modelserver.ErrRefused
	ErrAway    = modelserver.ErrAway
)

// role names the server in what people read.
var role = modelserver.Role{API: "an embeddings API", Setting: "NEXUS_EMBEDDINGS"}

// MaxTexts is how many texts one request holds at most.
const MaxTexts = 64

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
	return &Client{opt: opt, client: modelserver.Connect(base, opt.APIKey, nil), host: base.Host}, nil
}

// CheckURL reads the base of an API.
func CheckURL(s string) (*url.URL, error) { return role.CheckURL(s) }

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

// explain finds out what an error means. A server that sends what is no answer is out
// of order.
func explain(ctx context.Context, err error) error {
	err = role.Explain(ctx, err)
	if ctx.Err() != nil || errors.Is(err, ErrRefused) || errors.Is(err, ErrAway) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrAway, err)
}
