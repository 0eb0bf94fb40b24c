package worker

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/nexus-continuum/nexus/job"
)

// traceCompute adds the time in a slot to the trace of a job, if it has one. The
// prompts of a batch are computed together, so their spans overlap.
func traceCompute(ctx context.Context, r answered, a *job.Answer) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	_, compute := span.TracerProvider().Tracer("github.com/nexus-continuum/nexus/worker").
		Start(ctx, "compute", trace.WithTimestamp(r.began), trace.WithAttributes(
			attribute.Int("nexus.flow.depth", a.Flow.Depth), attribute.Bool("nexus.flow.converged", a.Flow.Converged),
			attribute.Bool("nexus.responded", a.Responded), attribute.Float64("nexus.confidence", a.Confidence),
		))
	if a.Reason != nil {
		compute.SetAttributes(attribute.String("nexus.refusal.reason", *a.Reason))
	}
	if a.Checkpoint != nil {
		compute.SetAttributes(attribute.String("nexus.checkpoint", *a.Checkpoint))
	}
	compute.End(trace.WithTimestamp(r.began.Add(max(r.took, time.Microsecond))))
}
