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

	"github.com/nexus-continuum/nexus/api/idempotency"
	"github.com/nexus-continuum/nexus/job"
)

const (
	idempotencyTTL = 24 * time.Hour
	maxKeyLength   = 255
)

// outcome is a reply in the form that is stored for repeats.
type outcome struct {
	Status   int             `json:"status"`
	Location string          `json:"location,omitempty"`
	Body     json.RawMessage `json:"body"`
}

// once does the work of a request with an Idempotency-Key. If it was already done, its
// stored reply is sent again. A failure is not stored, so that a repeat tries again.
func (s *Server) once(c echo.Context, key, digest string, do work) error {
	claim, kept, err := s.claim(c, key, digest)
	if err != nil {
		return err
	}
	if claim == nil {
		return replay(c, kept)
	}
	return s.claimed(c, claim, do)
}

// largeBody is work whose body is read only after its key was checked.
type largeBody struct {
	do work
	// skim reads the body of a repeat for its digest only.
	skim   func(c echo.Context) error
	digest func() string // of what do or skim has read
}

// onceStreaming is once for a large body. The key is claimed before the body is read. A
// repeat waits for the first request to end and is then only compared with it.
func (s *Server) onceStreaming(c echo.Context, body largeBody) error {
	key := c.Request().Header.Get(headerKey)
	if key == "" {
		return s.send(c, body.do)
	}
	claim, _, err := s.claim(c, key, idempotency.Unread)
	if err != nil {
		return err
	}
	if claim != nil {
		return s.claimed(c, claim, func(c echo.Context) (reply, error) {
			r, err := body.do(c)
			claim.SetDigest(body.digest())
			return r, err
		})
	}
	if err := body.skim(c); err != nil {
		return err
	}
	claim, kept, err := s.claim(c, key, body.digest())
	if err != nil {
		return err
	}
	if claim != nil { // the first was forgotten while this one was read
		s.drop(c, claim, false)
		return job.Errorf(job.CodeUnavailable, "the first request with this Idempotency-Key has just expired; send this one again")
	}
	return replay(c, kept)
}

// claim requests the right to do the work of a key. Keys belong to their sender,
// because two clients may choose the same one. Without API keys all callers count as
// one sender, because the address of a client can change.
func (s *Server) claim(c echo.Context, key, digest string) (*idempotency.Claim, []byte, error) {
	if !printable(key, maxKeyLength) {
		return nil, nil, job.Errorf(job.CodeInvalid, "the Idempotency-Key must be 1 to %d printable characters without spaces", maxKeyLength).On(headerKey)
	}
	return s.claims.Once(c.Request().Context(), ownerOf(c), key, digest, idempotencyTTL)
}

func replay(c echo.Context, kept []byte) error {
	var o outcome
	if err := json.Unmarshal(kept, &o); err != nil {
		return fmt.Errorf("read the outcome of an idempotency key: %w", err)
	}
	c.Response().Header().Set(headerReplayed, "true")
	return write(c, o.Status, o.Location, o.Body)
}

// claimed does the work of a claim and stores its reply, even if the caller leaves,
// because the key exists for the repeat.
func (s *Server) claimed(c echo.Context, claim *idempotency.Claim, do work) error {
	c.Set(claimedKey, claim.JobID)
	r, err := do(c)
	if err != nil {
		// Without a reply from Redis it is unknown whether the job was made.
		s.drop(c, claim, job.AsError(err).Code == job.CodeUnavailable)
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
	if err := claim.Keep(context.WithoutCancel(c.Request().Context()), o); err != nil {
		s.log.Warn("the outcome of an idempotency key could not be kept; a repeat would be done anew", "request_id", requestID(c), "error", err)
	}
	return write(c, r.status, r.location, body)
}

func (s *Server) drop(c echo.Context, claim *idempotency.Claim, unsure bool) {
	if err := claim.Drop(context.WithoutCancel(c.Request().Context()), unsure); err != nil {
		s.log.Warn("an idempotency key stays claimed for a while", "request_id", requestID(c), "error", err)
	}
}

// newID returns the id for the job of a request: the id of its claim if it has an
// Idempotency-Key, otherwise a new one.
func newID(c echo.Context) string {
	if id, ok := c.Get(claimedKey).(string); ok {
		return id
	}
	return job.NewID()
}

// digestOf identifies requests by their content, not by their sender.
func digestOf(r *http.Request, body []byte) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n", r.Method, r.URL.RequestURI())
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}

// restore allows a body to be read again.
func restore(r *http.Request, body []byte) { r.Body = io.NopCloser(bytes.NewReader(body)) }
