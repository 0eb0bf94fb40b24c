package job

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Error is an error for callers, with a code for programs and a sentence for people.
// Its internal cause is available through Unwrap and belongs in the log only.
type Error struct {
	Code   string  `json:"code"`
	Detail string  `json:"detail"`
	Field  string  `json:"field,omitempty"`
	Faults []Fault `json:"faults,omitempty"`

	// RetryAfter is how long a caller should wait; zero means that it is not known. In
	// JSON it is retry_after_ms.
	RetryAfter time.Duration `json:"-"`
	cause      error
}

// errorJSON is the form in which an Error is sent from a worker to a waiting caller.
type errorJSON struct {
	plainError
	RetryAfterMS int64 `json:"retry_after_ms,omitempty"`
}

type plainError Error

// MarshalJSON writes the parts that a caller may see.
func (e *Error) MarshalJSON() ([]byte, error) {
	return json.Marshal(errorJSON{plainError(*e), e.RetryAfter.Milliseconds()})
}

// UnmarshalJSON reads the output of MarshalJSON.
func (e *Error) UnmarshalJSON(b []byte) error {
	var v errorJSON
	if err := json.Unmarshal(b, &v); err != nil {
		return fmt.Errorf("read an error: %w", err)
	}
	*e = Error(v.plainError)
	e.RetryAfter = time.Duration(v.RetryAfterMS) * time.Millisecond
	return nil
}

// Error codes. Package api assigns one HTTP status to each.
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

// On sets the name of the faulty field and returns e.
func (e *Error) On(field string) *Error { e.Field = field; return e }

// Because stores the cause for the log and returns e.
func (e *Error) Because(err error) *Error { e.cause = err; return e }

// After sets how long to wait before the next try and returns e.
func (e *Error) After(d time.Duration) *Error { e.RetryAfter = d; return e }

// AsError returns the Error in err's chain. Any other error becomes CodeInternal, and
// its text is not shown to the caller.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return Errorf(CodeInternal, "something went wrong on our side; the log has it under this request id").Because(err)
}

// Clip shortens text from an outside source to chars characters, before it is shown.
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
