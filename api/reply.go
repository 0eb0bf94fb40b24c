package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
)

// reply is the answer of a handler that makes work. It is a value, so that it can be
// stored for a repeat of the request before it is sent.
type reply struct {
	status   int
	location string
	body     any
}

// accepted is the 202 reply for a job.
func accepted(j job.Job) reply {
	return reply{status: http.StatusAccepted, location: j.Links.Self, body: j}
}

// work is a handler that makes work.
type work func(echo.Context) (reply, error)

const (
	// jobKey holds the id of the job that a request made, for the log.
	jobKey = "nexus.job"
	// claimedKey holds the job id that belongs to an Idempotency-Key.
	claimedKey = "nexus.claimed"

	headerLocation = echo.HeaderLocation
	headerReplayed = "Idempotency-Replayed"
	headerKey      = "Idempotency-Key"
)

// makes turns work into a handler. With an Idempotency-Key, the work is done once and
// its reply is stored.
func (s *Server) makes(do work) echo.HandlerFunc {
	return func(c echo.Context) error {
		key := c.Request().Header.Get("Idempotency-Key")
		if key == "" || c.Request().Method != http.MethodPost {
			return s.send(c, do)
		}
		body, err := readBody(c, maxJSON)
		if err != nil {
			return err
		}
		digest := digestOf(c.Request(), body)
		restore(c.Request(), body)
		return s.once(c, key, digest, do)
	}
}

func (s *Server) send(c echo.Context, do work) error {
	r, err := do(c)
	if err != nil {
		return err
	}
	body, err := json.Marshal(r.body)
	if err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return write(c, r.status, r.location, body)
}

func write(c echo.Context, status int, location string, body []byte) error {
	h := c.Response().Header()
	if location != "" {
		h.Set(headerLocation, location)
	}
	h.Set(echo.HeaderCacheControl, "no-store")
	body = append(body, '\n')
	h.Set(echo.HeaderContentLength, strconv.Itoa(len(body)))
	if err := c.Blob(status, echo.MIMEApplicationJSON, body); err != nil || c.Request().Method != http.MethodPost {
		return err
	}
	// The answer is sent before it is counted and logged, so that the client does not
	// wait for that.
	return http.NewResponseController(c.Response()).Flush()
}

// get turns a function that reads into a handler that answers with 200.
func get[T any](read func(echo.Context) (T, error)) echo.HandlerFunc {
	return func(c echo.Context) error {
		v, err := read(c)
		if err != nil {
			return err
		}
		body, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("write the answer: %w", err)
		}
		return write(c, http.StatusOK, "", body)
	}
}

// isGone reports whether the caller left, which is not a failure of this service.
func isGone(err error) bool { return errors.Is(err, context.Canceled) }
