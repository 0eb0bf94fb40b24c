package api

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
)

const (
	// maxBatch limits the body of a batch, in bytes. maxBatchJobs limits its jobs.
	maxBatch     = 16 << 20
	maxBatchJobs = 100_000
	// batchTogether is how many jobs of a batch are submitted at once; they share
	// pipelines to Redis.
	batchTogether = 64
)

// batchLine is the result of one line of a batch.
type batchLine struct {
	Line  int       `json:"line"`
	ID    string    `json:"id,omitempty"`
	Error *lineFail `json:"error,omitempty"`
}

type lineFail struct {
	Detail string `json:"detail"`
	Code   string `json:"code"`
	Field  string `json:"field,omitempty"`
	// RetryAfterMS is set if the same line may be sent again.
	RetryAfterMS int64 `json:"retry_after_ms,omitempty"`
}

// batch is POST /api/jobs:batch: one interact job a line, NDJSON in and out. A line
// that is not a job gets an error in its place, and the others are accepted.
func (s *Server) batch(c echo.Context) error {
	if _, err := mediaType(c, typeNDJSON, "application/jsonl", "application/ndjson"); err != nil {
		return err
	}
	body, err := readBody(c, maxBatch)
	if err != nil {
		return err
	}
	lines, err := batchLines(body)
	if err != nil {
		return err
	}
	c.Set(promptsKey, true)
	ctx := c.Request().Context()
	base, done, err := s.claimBatch(c, body)
	if err != nil {
		return err
	}
	s.limiter.charge(c, len(lines)/lessonsPerPrompt)
	out := s.submitLines(ctx, ownerOf(c), base, lines)
	done(ctx, ctx.Err() == nil)
	h := c.Response().Header()
	h.Set(echo.HeaderContentType, typeNDJSON)
	h.Set(echo.HeaderCacheControl, "no-store")
	c.Response().WriteHeader(http.StatusOK)
	w := bufio.NewWriterSize(c.Response(), 64<<10)
	encode := json.NewEncoder(w)
	for i := range out {
		if err := encode.Encode(&out[i]); err != nil {
			return nil //nolint:nilerr // The client went away; there is nobody to tell.
		}
	}
	_ = w.Flush()
	return nil
}

// numbered is a line with its number, counted from 1.
type numbered struct {
	n    int
	text []byte
	long bool
}

func batchLines(body []byte) ([]numbered, error) {
	r := lineReader{r: bufio.NewReaderSize(bytes.NewReader(body), 64<<10)}
	var out []numbered
	for {
		line, tooLong, err := r.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if len(bytes.TrimSpace(line)) == 0 && !tooLong {
			continue
		}
		if len(out) == maxBatchJobs {
			return nil, job.Errorf(job.CodeTooLarge, "the batch has more than %d jobs; send it in parts", maxBatchJobs)
		}
		out = append(out, numbered{n: r.number, text: bytes.Clone(line), long: tooLong})
	}
	if len(out) == 0 {
		return nil, job.Errorf(job.CodeBadJSON, `the body is empty; send one job a line, such as {"kind":"interact","prompt":"…"}`)
	}
	return out, nil
}

// claimBatch returns the id from which the ids of the jobs are derived. A repeat with
// the same Idempotency-Key gets the same id, and so the same jobs.
func (s *Server) claimBatch(c echo.Context, body []byte) (base string, done func(ctx context.Context, whole bool), err error) {
	key := c.Request().Header.Get("Idempotency-Key")
	if key == "" {
		return job.NewID(), func(context.Context, bool) {}, nil
	}
	if !printable(key, maxKeyLength) {
		return "", nil, job.Errorf(job.CodeInvalid, "the Idempotency-Key must be 1 to %d printable characters without spaces", maxKeyLength).On("Idempotency-Key")
	}
	claim, kept, err := s.claims.Once(c.Request().Context(), ownerOf(c), key, digestOf(c.Request(), body), idempotencyTTL)
	if err != nil {
		return "", nil, err
	}
	if claim == nil {
		c.Response().Header().Set(headerReplayed, "true")
		return string(kept), func(context.Context, bool) {}, nil
	}
	return claim.JobID, func(ctx context.Context, whole bool) {
		ctx = context.WithoutCancel(ctx)
		var err error
		if whole {
			err = claim.Keep(ctx, []byte(claim.JobID))
		} else {
			err = claim.Drop(ctx, true) // the next use gets the same ids
		}
		if err != nil {
			s.log.Warn("an idempotency key stays claimed for a while", "request_id", requestID(c), "error", err)
		}
	}, nil
}

func (s *Server) submitLines(ctx context.Context, owner, base string, lines []numbered) []batchLine {
	out := make([]batchLine, len(lines))
	next := make(chan int)
	var group sync.WaitGroup
	for range min(batchTogether, len(lines)) {
		group.Go(func() {
			for i := range next {
				out[i] = s.submitLine(ctx, owner, base, lines[i])
			}
		})
	}
	for i := range lines {
		next <- i
	}
	close(next)
	group.Wait()
	return out
}

func (s *Server) submitLine(ctx context.Context, owner, base string, line numbered) batchLine {
	id, err := s.submitBatched(ctx, owner, base, line)
	if err == nil {
		return batchLine{Line: line.n, ID: id}
	}
	e := job.AsError(err)
	return batchLine{Line: line.n, Error: &lineFail{Detail: e.Detail, Code: e.Code, Field: e.Field, RetryAfterMS: e.RetryAfter.Milliseconds()}}
}

func (s *Server) submitBatched(ctx context.Context, owner, base string, line numbered) (string, error) {
	if line.long {
		return "", job.Errorf(job.CodeTooLarge, "the line is longer than %s", size(maxLine))
	}
	began := s.now()
	var r jobRequest
	err := decodeObject(line.text, r.hook.fields(
		field{name: "kind", into: &r.kind}, field{name: "prompt", into: &r.prompt}, field{name: "topic", into: &r.topic},
		field{name: "timeout_ms", into: &r.timeoutMS, set: &r.hasTimeout})...)
	if err != nil {
		return "", err
	}
	if r.kind == "" {
		r.kind = string(job.KindInteract)
	}
	if r.kind != string(job.KindInteract) {
		return "", job.Errorf(job.CodeInvalid, "a batch takes interact jobs; send a %s job to POST /api/jobs", job.Clip(r.kind, 40)).On("kind")
	}
	if err := r.check(); err != nil {
		return "", err
	}
	if err := s.checkHook(r.hook); err != nil {
		return "", err
	}
	id, err := idOfLine(base, line.n)
	if err != nil {
		return "", err
	}
	spec := job.Spec{
		ID: id, Owner: owner, Kind: job.KindInteract, Prompt: r.prompt, Topic: r.topic, CreatedAt: began.UTC(),
		Webhook: r.hook.url, WebhookEvents: r.hook.events,
	}
	if r.hasTimeout {
		spec.Deadline = spec.CreatedAt.Add(time.Duration(r.timeoutMS) * time.Millisecond)
	}
	if _, err := s.put(ctx, spec, began); err != nil {
		return "", err
	}
	return id, nil
}

// idOfLine derives the id of a job from that of its batch: a UUIDv7 of the same moment,
// in the order of the lines.
func idOfLine(base string, n int) (string, error) {
	u, err := uuid.Parse(base)
	if err != nil {
		return "", fmt.Errorf("make the id of line %d: %w", n, err)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", base, n))
	binary.BigEndian.PutUint32(u[8:12], 0x80000000|uint32(n)) //nolint:gosec // at most some millions
	copy(u[12:], sum[:4])
	return u.String(), nil
}
