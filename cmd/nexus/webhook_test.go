package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// Teaching with a webhook: the receiver hears when the lessons answer and how
// the job ended, signed with the secret that the storage keeps.
func TestWebhookOfLessons(t *testing.T) {
	t.Parallel()
	type call struct {
		header http.Header
		body   []byte
	}
	calls := make(chan call, 100)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		calls <- call{r.Header, b}
	}))
	defer srv.Close()
	dir := t.TempDir()
	p := start(t, dir, []string{"serve"}, "NEXUS_WEBHOOK_ALLOW_PRIVATE=true")
	var taught task
	code, _ := p.call("POST", "/api/lessons?webhook="+url.QueryEscape(srv.URL), map[string]any{
		"topic": "webhooks", "lessons": []lesson{{Prompt: "Who is told of a lesson?", Response: "Its receiver."}},
	}, &taught)
	if code != http.StatusAccepted {
		t.Fatalf("teaching with a webhook: %d", code)
	}
	var phases []string
	limit := time.After(60 * time.Second)
	for {
		select {
		case <-limit:
			t.Fatalf("no result came; phases so far %v", phases)
		case c := <-calls:
			secret, err := os.ReadFile(filepath.Join(dir, "nexus_checkpoints", "webhook_secret"))
			if err != nil {
				t.Fatal(err)
			}
			wh, err := standard.NewWebhook(strings.TrimSpace(string(secret)))
			if err != nil {
				t.Fatal(err)
			}
			if err := wh.Verify(c.body, c.header); err != nil {
				t.Fatalf("signature of %s: %v", c.body, err)
			}
			var e struct {
				Type string
				Data struct{ ID, Phase, State string }
			}
			if err := json.Unmarshal(c.body, &e); err != nil {
				t.Fatal(err)
			}
			if e.Data.ID != taught.ID {
				t.Errorf("%s is not of job %s", c.body, taught.ID)
			}
			if e.Type == "progress" {
				phases = append(phases, e.Data.Phase)
			}
			if e.Type == "result" {
				if e.Data.State != "succeeded" || len(phases) == 0 {
					t.Errorf("the job ended %s after phases %v", e.Data.State, phases)
				}
				return
			}
		}
	}
}
