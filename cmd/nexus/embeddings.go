package main

import (
	"context"
	"errors"
	"time"

	"github.com/nexus-continuum/nexus/worker"
	"github.com/nexus-continuum/nexus/worker/embedding"
)

// embeddingsTry is how long the start waits for the embedding server.
const embeddingsTry = 3 * time.Second

// openEmbeddings is the embedding server beside the built-in encoder; nil if there is
// none. One that says no stops the start; one that is away does not, since the
// built-in encoder answers without it.
func (s *shared) openEmbeddings(ctx context.Context) (*worker.Embeddings, error) {
	set := s.settings
	if set.EmbeddingsURL == "" {
		return nil, nil //nolint:nilnil // none is no error
	}
	client, err := embedding.New(embedding.Options{
		URL: set.EmbeddingsURL, Model: set.EmbeddingsModel, APIKey: set.EmbeddingsAPIKey, Dimensions: set.EmbeddingsDimensions,
	})
	if err != nil {
		return nil, &settingError{"NEXUS_EMBEDDINGS_URL", set.EmbeddingsURL, err.Error()}
	}
	try, cancel := context.WithTimeout(ctx, embeddingsTry)
	defer cancel()
	_, err = client.Embed(try, client.Model(), client.Dimensions(), []string{"Is anybody there?"})
	switch {
	case errors.Is(err, embedding.ErrRefused):
		return nil, &settingError{"NEXUS_EMBEDDINGS_MODEL", set.EmbeddingsModel, err.Error()}
	case err != nil:
		s.log.Warn("the embedding server does not answer; the built-in encoder answers alone until it does", "error", err)
	}
	return &worker.Embeddings{Server: client, Always: set.EmbeddingsWhen == "always", Timeout: set.EmbeddingsTimeout.D()}, nil
}
