package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/worker/embedding/embeddingtest"
)

func TestAnEmbeddingServerIsShown(t *testing.T) {
	t.Parallel()
	s := embeddingtest.Start(t, map[string]int{"tiny": 32})
	p := start(t, t.TempDir(), []string{"serve"}, "NEXUS_REDIS=embedded", "NEXUS_EMBEDDINGS_URL="+s.URL, "NEXUS_EMBEDDINGS_MODEL=tiny", "NEXUS_EMBEDDINGS_API_KEY="+embeddingtest.Key)
	p.call("POST", "/api/lessons", map[string]any{"lessons": []map[string]string{
		{"prompt": "when do you open", "response": "At nine."}, {"prompt": "where are you", "response": "In the old town."},
	}}, nil)
	var status struct {
		Workers []struct {
			Embeddings *struct {
				Model   string
				Serving bool
				Lessons int
			}
		}
	}
	p.eventually("the lessons are seen by the embedding server", func() bool {
		p.call("GET", "/api/status", nil, &status)
		e := status.Workers[0].Embeddings
		return e != nil && e.Serving && e.Model == "tiny" && e.Lessons == 2
	})
	p.call("POST", "/api/interact", map[string]string{"prompt": "what does the old bridge weigh"}, nil)
	res, err := http.Get(p.url + "/api/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{`nexus_embeddings_prompts_total{outcome="refused"} 1`, `nexus_breaker_state{breaker="embeddings",state="closed"} 1`, "nexus_embeddings_request_duration_seconds_count 1"} {
		if !strings.Contains(string(b), line) {
			t.Errorf("the metrics lack %s", line)
		}
	}
}

func TestAnEmbeddingServerThatRefusesStopsTheStart(t *testing.T) {
	t.Parallel()
	s := embeddingtest.Start(t, map[string]int{"tiny": 32})
	for name, c := range map[string]struct {
		env  []string
		want string
	}{
		"no such model":        {[]string{"NEXUS_EMBEDDINGS_URL=" + s.URL, "NEXUS_EMBEDDINGS_MODEL=large", "NEXUS_EMBEDDINGS_API_KEY=" + embeddingtest.Key}, "check NEXUS_EMBEDDINGS_URL and NEXUS_EMBEDDINGS_MODEL"},
		"a wrong key":          {[]string{"NEXUS_EMBEDDINGS_URL=" + s.URL, "NEXUS_EMBEDDINGS_MODEL=tiny", "NEXUS_EMBEDDINGS_API_KEY=nonsense"}, "check NEXUS_EMBEDDINGS_API_KEY"},
		"no model":             {[]string{"NEXUS_EMBEDDINGS_URL=" + s.URL}, "must be set together"},
		"no address":           {[]string{"NEXUS_EMBEDDINGS_URL=localhost", "NEXUS_EMBEDDINGS_MODEL=tiny"}, "http://localhost:11434/v1"},
		"neither one nor both": {[]string{"NEXUS_EMBEDDINGS_WHEN=sometimes"}, "unsure"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out, fault bytes.Buffer
			m := Main{Stdout: &out, Stderr: &fault, Environ: append(c.env, "NEXUS_DATA_DIR="+t.TempDir(), "NEXUS_REDIS=embedded", "NEXUS_LISTEN=127.0.0.1:0")}
			if code := m.Run(context.Background(), []string{"serve"}); code == exitOK || !strings.Contains(fault.String(), c.want) || strings.Contains(fault.String(), embeddingtest.Key) {
				t.Errorf("exit code %d, %q, want %q", code, fault.String(), c.want)
			}
		})
	}
}
