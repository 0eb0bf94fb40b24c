package embedding_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/worker/embedding"
	"github.com/nexus-continuum/nexus/worker/embedding/embeddingtest"
)

func connect(t *testing.T, url, key string, dimensions int) *embedding.Client {
	t.Helper()
	c, err := embedding.New(embedding.Options{URL: url, Model: "tiny", APIKey: key, Dimensions: dimensions})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestFaultsSayWhatToDo(t *testing.T) {
	t.Parallel()
	s := embeddingtest.Start(t, map[string]int{"tiny": 8})
	short := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1,2]}]}`))
	}))
	t.Cleanup(short.Close)
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	t.Cleanup(busy.Close)
	for name, c := range map[string]struct {
		client *embedding.Client
		model  string
		dim    int
		is     error
		says   string
	}{
		"a wrong key":      {connect(t, s.URL, "other", 0), "tiny", 0, embedding.ErrRefused, "NEXUS_EMBEDDINGS_API_KEY"},
		"an unknown model": {connect(t, s.URL, embeddingtest.Key, 0), "huge", 0, embedding.ErrRefused, "NEXUS_EMBEDDINGS_MODEL"},
		"another length":   {connect(t, s.URL, embeddingtest.Key, 0), "tiny", 9, embedding.ErrRefused, "NEXUS_EMBEDDINGS_DIMENSIONS"},
		"too few vectors":  {connect(t, short.URL, embeddingtest.Key, 0), "tiny", 0, embedding.ErrAway, "1 vectors for 2 texts"},
		"overloaded":       {connect(t, busy.URL, embeddingtest.Key, 0), "tiny", 0, embedding.ErrAway, "429"},
		"nobody there":     {connect(t, "http://127.0.0.1:1/v1", embeddingtest.Key, 0), "tiny", 0, embedding.ErrAway, "refused"},
	} {
		if _, err := c.client.Embed(t.Context(), c.model, c.dim, []string{"one", "two"}); !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %v and %q", name, err, c.is, c.says)
		}
	}
	// Models of several lengths are asked for the one that was set.
	if got, err := connect(t, s.URL, embeddingtest.Key, 5).Embed(t.Context(), "tiny", 5, []string{"one"}); err != nil || len(got[0]) != 5 {
		t.Errorf("vectors of 5 numbers: %v, %v", got, err)
	}
}

// fuse is a breaker in the hand of a test.
type fuse struct{ open bool }

func (f *fuse) Do(do func() error) error { return do() }
func (f *fuse) Open() bool               { return f.open }

func TestTextsWantedTogetherAreSentTogether(t *testing.T) {
	t.Parallel()
	s := embeddingtest.Start(t, map[string]int{"tiny": 8})
	f := &fuse{}
	g := embedding.NewGatherer(connect(t, s.URL, embeddingtest.Key, 0), f, time.Minute, func(time.Duration, error) {})
	space := embedding.Space{Model: "tiny", Dim: 8}
	ctx, cancel := context.WithCancel(t.Context())
	var wanting, running sync.WaitGroup
	for range 40 { // before anything is sent
		wanting.Go(func() {
			got, _, err := g.Vectors(ctx, space, []string{"the same", "the same twice"})
			if err != nil || len(got["the same"]) != 8 || len(got["the same twice"]) != 8 {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
	running.Go(func() { g.Run(ctx) })
	wanting.Wait()
	if n := len(s.Asked()); n > 10 {
		t.Errorf("%d requests for 80 texts", n)
	}
	n := len(s.Asked())
	f.open = true
	if _, known, err := g.Vectors(ctx, space, []string{"the same"}); err != nil || known != 1 || len(s.Asked()) != n {
		t.Errorf("a text that is known: %d known, %d requests more, %v", known, len(s.Asked())-n, err)
	}
	if _, _, err := g.Vectors(ctx, space, []string{"new"}); err == nil || len(s.Asked()) != n {
		t.Errorf("an open breaker lets a text through: %v", err)
	}
	cancel()
	running.Wait()
}
