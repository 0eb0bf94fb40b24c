// Package embeddingtest stands in for an embedding server: it speaks the API of
// OpenAI and gives texts that mean the same like vectors, as far as a test tells it
// what means the same.
package embeddingtest

import (
	"encoding/json"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sashabaranov/go-openai"
)

// Key is what the server wants as a bearer token.
const Key = "embeddings-key"

// Server is an embedding server with any number of models.
type Server struct {
	// URL is the base of its API.
	URL string

	mu     sync.Mutex
	models map[string]int
	means  map[string]string
	held   chan struct{} // closed when requests may go on
	asked  []Asked
}

// Asked is one request.
type Asked struct {
	Model string
	Texts []string
}

// Start begins to serve until the test ends; models are names with the length of
// their vectors.
func Start(t testing.TB, models map[string]int) *Server {
	s := &Server{models: models, means: map[string]string{}, held: make(chan struct{})}
	close(s.held)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/embeddings", s.embed)
	h := httptest.NewServer(mux)
	t.Cleanup(func() { s.Release(); h.Close() })
	s.URL = h.URL + "/v1"
	return s
}

// Same makes texts mean the same.
func (s *Server) Same(texts ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range texts {
		s.means[strings.ToLower(t)] = texts[0]
	}
}

// Hold makes requests wait until Release.
func (s *Server) Hold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = make(chan struct{})
}

// Release lets requests go on.
func (s *Server) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.held:
	default:
		close(s.held)
	}
}

// Asked are the requests so far, those that failed too.
func (s *Server) Asked() []Asked {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// Knows reports whether a model was asked for a text.
func (s *Server) Knows(model, text string) bool {
	return slices.ContainsFunc(s.Asked(), func(a Asked) bool { return a.Model == model && slices.Contains(a.Texts, text) })
}

func (s *Server) embed(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Input      []string `json:"input"`
		Model      string   `json:"model"`
		Dimensions int      `json:"dimensions"`
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		refuse(w, http.StatusBadRequest, "the request is not JSON: "+err.Error())
		return
	}
	s.mu.Lock()
	s.asked = append(s.asked, Asked{asked.Model, asked.Input})
	held, dim := s.held, s.models[asked.Model]
	s.mu.Unlock()
	select {
	case <-held:
	case <-r.Context().Done():
		return
	}
	switch {
	case r.Header.Get("Authorization") != "Bearer "+Key:
		refuse(w, http.StatusUnauthorized, "wrong key")
	case dim == 0:
		refuse(w, http.StatusNotFound, "there is no model "+asked.Model)
	default:
		if asked.Dimensions > 0 {
			dim = asked.Dimensions
		}
		reply := openai.EmbeddingResponse{Object: "list", Model: openai.EmbeddingModel(asked.Model)}
		for i, text := range asked.Input {
			reply.Data = append(reply.Data, openai.Embedding{Object: "embedding", Index: i, Embedding: s.vector(text, dim)})
		}
		write(w, reply)
	}
}

// vector is that of what a text means, with a little of its own words.
func (s *Server) vector(text string, dim int) []float32 {
	s.mu.Lock()
	meaning, known := s.means[strings.ToLower(text)]
	s.mu.Unlock()
	if !known {
		meaning = text
	}
	out := make([]float32, dim)
	add := func(text string, share float64) {
		h := fnv.New64a()
		_, _ = h.Write([]byte(text))
		rng := rand.New(rand.NewPCG(h.Sum64(), 1))
		for i := range out {
			out[i] += float32(share * rng.NormFloat64())
		}
	}
	add(meaning, 1)
	add(text, 0.2)
	return out
}

func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(openai.ErrorResponse{Error: &openai.APIError{Message: message, Type: "error"}})
}

func write(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}
