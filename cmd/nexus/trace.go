package main

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/trace"

	"github.com/nexus-continuum/nexus/telemetry/tracing"
)

// openTracing prepares the way to a collector if the OTEL_… variables ask for
// it. It is the first part, so that it is the last to stop.
func (s *shared) openTracing(ctx context.Context, rt *runtime, h *app) error {
	wanted, err := tracing.Wanted(rt.main.Environ)
	if wrong, ok := errors.AsType[*tracing.VariableError](err); ok {
		return &settingError{wrong.Name, wrong.Value, wrong.Want}
	}
	if err != nil || !wanted {
		return err
	}
	if s.tracing, err = tracing.Open(ctx, tracing.Options{Service: "nexus", Version: versionText(), Instance: s.recorder.ID(), Log: s.log}); err != nil {
		return err
	}
	h.add("tracing", s.tracing)
	h.started++
	h.addLine("tracing", "spans go to an OpenTelemetry collector")
	return nil
}

// tracer is nil without tracing.
func (s *shared) tracer(part string) trace.Tracer {
	if s.tracing == nil {
		return nil
	}
	return s.tracing.Tracer(part)
}
