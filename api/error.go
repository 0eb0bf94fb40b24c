package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
)

// errorBody is the form of every error.
type errorBody struct {
	Detail    string      `json:"detail"`
	Code      string      `json:"code"`
	Field     string      `json:"field,omitempty"`
	Faults    []job.Fault `json:"faults,omitempty"`
	Setting   string      `json:"setting,omitempty"` // that the refusal comes from
	RequestID string      `json:"request_id"`
}

// statusOf returns the HTTP status of a code; 500 for a code that is not listed.
func statusOf(code string) int {
	switch code {
	case job.CodeInvalid, job.CodeUnknownField, job.CodeBadJSON, job.CodeNotUTF8, job.CodePromptEmpty,
		job.CodePromptTooLong, job.CodeResponseTooLong, job.CodeUnknownAction, job.CodeUnknownTopic:
		return http.StatusBadRequest
	case job.CodeBadLesson, job.CodeBadFile, job.CodeIdempotencyReuse:
		return http.StatusUnprocessableEntity
	case job.CodeUnauthorized:
		return http.StatusUnauthorized
	case job.CodeForbidden:
		return http.StatusForbidden
	case job.CodeNotFound:
		return http.StatusNotFound
	case job.CodeMethodNotAllowed:
		return http.StatusMethodNotAllowed
	case job.CodeConflict, job.CodeJobEnded, job.CodeCanceled, job.CodeArchived, job.CodeDeleted:
		return http.StatusConflict
	case job.CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case job.CodeUnsupportedType:
		return http.StatusUnsupportedMediaType
	case job.CodeRateLimited:
		return http.StatusTooManyRequests
	case job.CodeQueueFull, job.CodeUnavailable:
		return http.StatusServiceUnavailable
	case job.CodeTimeout:
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}

// asError turns an error of a handler into one for callers. Only texts that were
// written for callers are passed on.
func asError(err error, c echo.Context) *job.Error {
	if e, ok := errors.AsType[*job.Error](err); ok {
		return e
	}
	if e, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge(e.Limit).Because(err)
	}
	if e, ok := errors.AsType[*echo.HTTPError](err); ok {
		return ofEcho(e, c)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return job.Errorf(job.CodeTimeout, "this took too long and was given up; try again").Because(err)
	}
	return job.AsError(err)
}

// ofEcho describes the router's error in the words of this API.
func ofEcho(e *echo.HTTPError, c echo.Context) *job.Error {
	path := c.Request().URL.Path
	switch e.Code {
	case http.StatusNotFound:
		return job.Errorf(job.CodeNotFound, "there is nothing at %s; /docs lists what there is", job.Clip(path, 200))
	case http.StatusMethodNotAllowed:
		return job.Errorf(job.CodeMethodNotAllowed, "%s does not take %s; allowed: %s",
			job.Clip(path, 200), job.Clip(c.Request().Method, 20), c.Response().Header().Get(echo.HeaderAllow))
	case http.StatusRequestEntityTooLarge:
		return job.Errorf(job.CodeTooLarge, "the request is larger than this route takes")
	case http.StatusUnsupportedMediaType:
		return job.Errorf(job.CodeUnsupportedType, "this route does not take that content type")
	case http.StatusServiceUnavailable:
		return job.Errorf(job.CodeUnavailable, "not available at the moment; try again")
	case http.StatusInternalServerError:
		return job.AsError(e)
	}
	if e.Code < http.StatusInternalServerError {
		return job.Errorf(job.CodeInvalid, "%v", e.Message).Because(e.Internal)
	}
	return job.AsError(e)
}

// renderedKey marks a request whose error was already answered and logged.
const renderedKey = "rendered"

// renderError is the only place that turns errors into HTTP answers.
func (s *Server) renderError(err error, c echo.Context) {
	// The logging middleware renders an error before it writes its line. It then passes
	// the error to echo, which calls this function again.
	if c.Get(renderedKey) != nil {
		return
	}
	c.Set(renderedKey, true)
	if c.Response().Committed {
		// Part of the answer was already sent; the end of the connection tells the
		// caller.
		s.log.Warn("request failed after its answer had begun", "request_id", requestID(c), "route", c.Path(), "error", err)
		return
	}
	e := asError(err, c)
	status := statusOf(e.Code)
	if status >= http.StatusInternalServerError && !errors.Is(err, context.Canceled) && !errors.Is(err, errPanicked) {
		level := slog.LevelError
		if status == http.StatusServiceUnavailable {
			level = slog.LevelWarn
		}
		s.log.Log(c.Request().Context(), level, "request failed", "request_id", requestID(c), "route", c.Path(), "code", e.Code, "error", err)
	}
	h := c.Response().Header()
	switch status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		h.Set(echo.HeaderRetryAfter, retryAfter(e.RetryAfter))
	case http.StatusUnauthorized:
		h.Set(echo.HeaderWWWAuthenticate, challenge)
	}
	if unread(c) {
		// The rest of the body is not waited for, so the connection ends with the answer.
		h.Set(echo.HeaderConnection, "close")
	}
	setting, _ := c.Get(settingKey).(string)
	h.Set(echo.HeaderCacheControl, "no-store")
	h.Del(echo.HeaderContentEncoding)
	var sendErr error
	if c.Request().Method == http.MethodHead {
		sendErr = c.NoContent(status)
	} else {
		sendErr = c.JSON(status, errorBody{Detail: e.Detail, Code: e.Code, Field: e.Field, Faults: e.Faults, Setting: setting, RequestID: requestID(c)})
	}
	if sendErr != nil {
		s.log.Debug("error answer not delivered", "request_id", requestID(c), "error", sendErr)
	}
}

// retryAfter formats whole seconds, rounded up, at least one.
func retryAfter(d time.Duration) string {
	return strconv.Itoa(max(1, int(math.Ceil(d.Seconds()))))
}

func tooLarge(limit int64) *job.Error {
	return job.Errorf(job.CodeTooLarge, "the body is larger than the %s that this route takes", size(limit))
}

// size formats a number of bytes for people.
func size(n int64) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}
