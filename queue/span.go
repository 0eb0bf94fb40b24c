package queue

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.34.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/nexus-continuum/nexus/job"
)

// The trace of a job travels with its task, in asynq's headers. Its spans are `send`
// where the job is queued, `wait` while it is in the queue, and `process` in the
// worker. Names and attributes follow the semantic conventions for messaging. Without a
// tracer nothing is written.

// spanCarrier is the form of a trace context in the headers of a task: traceparent and
// tracestate.
var spanCarrier propagation.TraceContext

func spanAttributes(shard job.Lane, id string, operation attribute.KeyValue, name string) trace.SpanStartEventOption {
	return trace.WithAttributes(
		semconv.MessagingSystemKey.String("asynq"), semconv.MessagingDestinationName(string(shard)),
		semconv.MessagingMessageID(id), semconv.MessagingOperationName(name), operation,
	)
}

// sending begins the span of an enqueue. headers carry the trace, and end ends the
// span.
func (q *Queue) sending(ctx context.Context, p payload) (_ context.Context, headers map[string]string, end func(error)) {
	if q.opt.Tracer == nil {
		return ctx, nil, func(error) {}
	}
	ctx, span := q.opt.Tracer.Start(ctx, "send "+string(laneOf(p.shard)), trace.WithSpanKind(trace.SpanKindProducer),
		spanAttributes(p.shard, p.ID, semconv.MessagingOperationTypeSend, "send"))
	headers = map[string]string{}
	spanCarrier.Inject(ctx, propagation.MapCarrier(headers))
	return ctx, headers, func(err error) {
		failSpan(span, err)
		span.End()
	}
}

// processing begins the span of a job while its handler runs, and adds a span for the
// wait before it. The wait began by the clock of the process that queued the job.
func (s *Server) processing(ctx context.Context, headers map[string]string, p payload) (context.Context, trace.Span) {
	if s.q.opt.Tracer == nil {
		return ctx, nil
	}
	ctx = spanCarrier.Extract(ctx, propagation.MapCarrier(headers))
	lane, now := string(laneOf(s.lane)), time.Now()
	queued := p.CreatedAt
	if queued.IsZero() || queued.After(now) {
		queued = now
	}
	_, wait := s.q.opt.Tracer.Start(ctx, "wait "+lane, trace.WithTimestamp(queued),
		spanAttributes(s.lane, p.ID, semconv.MessagingOperationTypeReceive, "wait"))
	wait.End(trace.WithTimestamp(now))
	return s.q.opt.Tracer.Start(ctx, "process "+lane, trace.WithSpanKind(trace.SpanKindConsumer),
		spanAttributes(s.lane, p.ID, semconv.MessagingOperationTypeProcess, "process"))
}

// recordOutcome records the outcome of the job in its span.
func (t *Task) recordOutcome(o outcome) {
	if t.span == nil {
		return
	}
	t.span.SetAttributes(attribute.Int("nexus.job.attempt", t.Attempt), attribute.String("nexus.job.state", string(o.state)))
	if o.err != nil && o.state == job.StateFailed {
		failSpan(t.span, o.err)
	}
}

func (t *Task) endSpan() {
	if t.span != nil {
		t.span.End()
	}
}

func failSpan(span trace.Span, err error) {
	if err == nil {
		return
	}
	e := job.AsError(err)
	span.SetAttributes(semconv.ErrorTypeKey.String(e.Code))
	span.SetStatus(codes.Error, e.Detail)
}
