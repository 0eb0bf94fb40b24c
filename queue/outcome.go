package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nexus-continuum/nexus/job"
)

// Causes for which the context of a handler ends, to be distinguished with
// context.Cause.
var (
	ErrCanceled = errors.New("the job was canceled")
	ErrDeadline = errors.New("the job's deadline has passed")
	ErrDraining = errors.New("the worker is stopping")
)

// HandBack returns the error with which a handler puts its job back without using up an
// attempt. reason is shown as waiting_for. after is how long the job rests. It is
// rounded up to whole seconds and is at least one second, but the jobs of a draining
// worker are free again at once.
func HandBack(reason string, after time.Duration) error {
	return &handBackError{reason: reason, after: after}
}

type handBackError struct {
	reason string
	after  time.Duration
}

func (h *handBackError) Error() string { return "handed back: " + h.reason }

// Retryable marks an error after which the job runs again. The number of runs is
// limited, and each rest is longer than the one before. It returns nil for nil.
func Retryable(err error) error {
	if err == nil {
		return nil
	}
	return &retryableError{err}
}

type retryableError struct{ err error }

func (r *retryableError) Error() string { return r.err.Error() }
func (r *retryableError) Unwrap() error { return r.err }

// outcome says how a job goes on after its handler has returned.
type outcome struct {
	state  job.State // final, or StateQueued to run again
	result any
	err    *job.Error

	why    string        // StateQueued: shown as waiting_for
	after  time.Duration // StateQueued: rest
	refund bool          // StateQueued: the attempt does not count
}

// judge decides the outcome of a job. cause is why its context ended, if it did.
// attempt counts from 1.
func judge(result any, err, cause error, attempt, most int) outcome {
	var back *handBackError
	var again *retryableError
	draining := errors.Is(cause, ErrDraining)
	switch {
	case err == nil:
		return outcome{state: job.StateSucceeded, result: result}
	case errors.Is(cause, ErrCanceled):
		return outcome{state: job.StateCanceled, err: canceledError()}
	case errors.As(err, &back):
		after := max(back.after, time.Second)
		if draining {
			after = 0
		}
		return outcome{state: job.StateQueued, why: back.reason, after: after, refund: true}
	case draining:
		return outcome{state: job.StateQueued, why: stoppedWhy, refund: true}
	case errors.Is(cause, ErrDeadline):
		return outcome{state: job.StateFailed, err: timeoutError().Because(err)}
	case errors.As(err, &again) && attempt < most:
		rest := time.Second << (2 * (attempt - 1)) // 1 s, 4 s, 16 s, …
		return outcome{
			state: job.StateQueued, after: rest,
			why: fmt.Sprintf("it failed (%s) and runs again", job.AsError(again.err).Detail),
		}
	}
	return outcome{state: job.StateFailed, err: job.AsError(err)}
}

// stoppedWhy is shown as waiting_for of a job whose worker drained.
const stoppedWhy = "its worker stopped; it runs again"

func timeoutError() *job.Error {
	return job.Errorf(job.CodeTimeout, "the job did not end before its deadline")
}

// endedBy returns why ctx ended; nil while it has not.
func endedBy(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return context.Cause(ctx)
}
