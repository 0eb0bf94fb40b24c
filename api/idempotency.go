package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
)

const (
	idempotencyTTL = 24 * time.Hour
	maxKeyLength   = 255
)

// outcome is a reply as it is kept for repeats.
type outcome struct {
	Status   int             `json:"status"`
	Location string          `json:"location,omitempty"`
	Body     json.RawMessage `json:"body"`
}

// once does the work behind an Idempotency-Key, unless it was done before: then
// its reply is given again. A failure is not kept, so that a repeat tries again.
func (s *Server) once(c echo.Context, key, digest string, do work) error {
	if !printable(key, maxKeyLength) {
		return job.Errorf(job.CodeInvalid, "the Idempotency-Key must be 1 to %d printable characters without spaces", maxKeyLength).On("Idempotency-Key")
	}
	// Keys belong to who sends them: two clients may choose the same one. Without
	// API keys all callers are one, since addresses change under the same client.
	claim, kept, err := s.queue.Once(c.Request().Context(), ownerOf(c), key, digest, idempotencyTTL)
	if err != nil {
		return err
	}
	if claim == nil {
		var o outcome
		if err := json.Unmarshal(kept, &o); err != nil {
			return fmt.Errorf("read the outcome of an idempotency key: %w", err)
		}
		c.Response().Header().Set(headerReplayed, "true")
		return write(c, o.Status, o.Location, o.Body)
	}
	// What was begun is ended and kept even when the caller goes away: the
	// repeat is what the key is for.
	ctx := context.WithoutCancel(c.Request().Context())
	c.Set(claimedKey, claim.JobID)
	r, err := do(c)
	if err != nil {
		// Without Redis's answer nobody knows whether the job was made.
		unsure := job.AsError(err).Code == job.CodeUnavailable
		if derr := claim.Drop(ctx, unsure); derr != nil {
			s.log.Warn("an idempotency key stays claimed for a while", "request_id", requestID(c), "error", derr)
		}
		return err
	}
	body, err := json.Marshal(r.body)
	if err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	o, err := json.Marshal(outcome{Status: r.status, Location: r.location, Body: body})
	if err != nil {
		return fmt.Errorf("write the outcome: %w", err)
	}
	if err := claim.Keep(ctx, o); err != nil {
		s.log.Warn("the outcome of an idempotency key could not be kept; a repeat would be done anew", "request_id", requestID(c), "error", err)
	}
	return write(c, r.status, r.location, body)
}

// newID is the id for the job that a request makes: that of its claim, if it has
// an Idempotency-Key.
func newID(c echo.Context) string {
	if id, ok := c.Get(claimedKey).(string); ok {
		return id
	}
	return job.NewID()
}

// digestOf tells requests apart by what they ask, not by who asks.
func digestOf(r *http.Request, body []byte) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n", r.Method, r.URL.RequestURI())
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}

// restore lets a body be read once more.
func restore(r *http.Request, body []byte) { r.Body = io.NopCloser(bytes.NewReader(body)) }
