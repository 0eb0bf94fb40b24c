package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/telemetry/interaction"
)

var refusalLines = flag.Int("refusals.lines", 100_000, "how many refused prompts BenchmarkRefusalsOverHTTP keeps")

// BenchmarkRefusalsOverHTTP tells how long a page of refused prompts takes over
// HTTP, with a real model that says of each whether it would be answered by now.
// One more prompt is refused before each. What a trivial route takes in the same
// run says how busy the machine is.
func BenchmarkRefusalsOverHTTP(b *testing.B) {
	dir, err := os.MkdirTemp("", "nexus-refusals-") // a path that is short enough for a socket
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	s := startSystem(b, false, "NEXUS_DATA_DIR="+dir, "NEXUS_REDIS=child", fmt.Sprintf("NEXUS_LOG_LENGTH=%d", 2**refusalLines))
	defer s.stop()
	s.teach(len(verbs) * len(things) * len(wholes))
	s.refuse(filepath.Join(dir, "redis", "redis.sock"), *refusalLines)

	read := func(path string) (body []byte, took time.Duration) {
		began := time.Now()
		res, err := s.client.Get(s.url + path)
		if err != nil {
			b.Fatal(err)
		}
		defer res.Body.Close()
		if body, err = io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK {
			b.Fatalf("%s: %d, %v, %s", path, res.StatusCode, err, body)
		}
		return body, time.Since(began)
	}
	_, first := read("/api/refusals")
	var pages, later, trivial []time.Duration
	for i := 0; b.Loop(); i++ {
		if !s.post("/api/interact", fmt.Sprintf(`{"prompt":"what may the %d-th visitor of the museum bring along"}`, i%50)) {
			b.Fatal("a prompt is not answered")
		}
		_, t := read("/healthz")
		trivial = append(trivial, t)
		body, t := read("/api/refusals")
		pages = append(pages, t)
		var page struct {
			Refusals []struct{ Prompt string } `json:"refusals"`
			Next     string                    `json:"next_cursor"`
		}
		if err := json.Unmarshal(body, &page); err != nil || len(page.Refusals) != 50 || page.Next == "" {
			b.Fatalf("%d groups, next %q, %v", len(page.Refusals), page.Next, err)
		}
		_, t = read("/api/refusals?cursor=" + url.QueryEscape(page.Next))
		later = append(later, t)
	}
	ms := func(all []time.Duration, share float64) float64 {
		slices.Sort(all)
		return float64(all[int(share*float64(len(all)-1))].Microseconds()) / 1000
	}
	b.ReportMetric(first.Seconds(), "s/first")
	b.ReportMetric(ms(pages, 0.5), "ms/page")
	b.ReportMetric(ms(pages, 0.95), "ms/page-p95")
	b.ReportMetric(ms(later, 0.5), "ms/next-page")
	b.ReportMetric(ms(trivial, 0.5), "ms/healthz")
	b.ReportMetric(ms(trivial, 0.95), "ms/healthz-p95")
}

// refuse puts refused prompts into the log, most of them different.
func (s *system) refuse(socket string, lines int) {
	s.b.Helper()
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: socket})
	defer client.Close()
	log := interaction.New(interaction.Options{Redis: client})
	random := rand.New(rand.NewPCG(1, 2))
	asks := []string{"how can i", "where do i", "why should i", "when may i", "who can", "what happens if i", "is it possible to", "tell me how to"}
	batch := make([]job.Interaction, 0, 1000)
	for i := range lines {
		v, t, w := pick(random.IntN(len(verbs) * len(things) * len(wholes)))
		_, u, x := pick(random.IntN(len(verbs) * len(things) * len(wholes)))
		batch = append(batch, job.Interaction{
			ID: job.NewID(), At: job.At(time.Now()), Reason: job.ReasonUnfamiliar,
			Prompt: fmt.Sprintf("%s sing the %s of %s while the %s must %s like a %s", asks[random.IntN(len(asks))], t, w, u, v, x),
		})
		if len(batch) == cap(batch) || i == lines-1 {
			if err := log.Append(s.b.Context(), batch); err != nil {
				s.b.Fatal(err)
			}
			batch = batch[:0]
		}
	}
}
