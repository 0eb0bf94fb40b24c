package job

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Error is a fault that a person or a program is told of: a code for
// programs, a sentence for people. What caused it inside stays behind Unwrap
// and belongs in the log.
type Error struct {
	Code   string  `json:"code"`
	Detail string  `json:"detail"`
	Field  string  `json:"field,omitempty"`
	Faults []Fault `json:"faults,omitempty"`

	// RetryAfter is how long a caller should wait; zero is unsaid. In JSON it is
	// retry_after_ms.
	RetryAfter time.Duration `json:"-"`
	cause      error
}

// errorJSON is how an Error travels: from a worker to the caller who waits.
type errorJSON struct {
	plainError
	RetryAfterMS int64 `json:"retry_after_ms,omitempty"`
}

type plainError Error

// MarshalJSON writes what a caller may see.
func (e *Error) MarshalJSON() ([]byte, error) {
	return json.Marshal(errorJSON{plainError(*e), e.RetryAfter.Milliseconds()})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (e *Error) UnmarshalJSON(b []byte) error {
	var v errorJSON
	if err := json.Unmarshal(b, &v); err != nil {
		return fmt.Errorf("read an error: %w", err)
	}
	*e = Error(v.plainError)
	e.RetryAfter = time.Duration(v.RetryAfterMS) * time.Millisecond
	return nil
}

// Codes of errors. Each has one HTTP status, which package api knows.
const (
	CodeInvalid          = "invalid_request"
	CodeUnknownField     = "unknown_field"
	CodeBadJSON          = "bad_json"
	CodeNotUTF8          = "not_utf8"
	CodePromptEmpty      = "prompt_empty"
	CodePromptTooLong    = "prompt_too_long"
	CodeResponseTooLong  = "response_too_long"
	CodeBadLesson        = "bad_lesson"
	CodeBadFile          = "bad_file"
	CodeTooLarge         = "too_large"
	CodeUnsupportedType  = "unsupported_media_type"
	CodeUnknownAction    = "unknown_action"
	CodeUnknownTopic     = "unknown_topic"
	CodeUnauthorized     = "unauthorized"
	CodeForbidden        = "forbidden"
	CodeNotFound         = "not_found"
	CodeMethodNotAllowed = "method_not_allowed"
	CodeConflict         = "conflict"
	CodeJobEnded         = "job_ended"
	CodeIdempotencyReuse = "idempotency_key_reused"
	CodeRateLimited      = "rate_limited"
	CodeQueueFull        = "queue_full"
	CodeUnavailable      = "unavailable"
	CodeTimeout          = "timeout"
	CodeCanceled         = "canceled"
	CodeArchived         = "archived" // of a job: an operator archived it in asynq's tools
	CodeDeleted          = "deleted"  // of a job: an operator deleted it there
	CodeInternal         = "internal"
)

// Errorf makes an error with a code and a sentence.
func Errorf(code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Error returns the sentence and, for the log, the cause.
func (e *Error) Error() string {
	if e.cause != nil {
		return e.Detail + ": " + e.cause.Error()
	}
	return e.Detail
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// On names the field at fault.
func (e *Error) On(field string) *Error { e.Field = field; return e }

// Because keeps the cause for the log.
func (e *Error) Because(err error) *Error { e.cause = err; return e }

// After says how long to wait before the next try.
func (e *Error) After(d time.Duration) *Error { e.RetryAfter = d; return e }

// AsError finds the Error in err's chain; any other error becomes CodeInternal,
// with its text kept from the caller.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return Errorf(CodeInternal, "something went wrong on our side; the log has it under this request id").Because(err)
}

// Clip shortens what somebody else wrote, before it is shown again.
func Clip(s string, chars int) string {
	n := 0
	for i := range s {
		if n == chars {
			return s[:i] + "…"
		}
		n++
	}
	return s
}
