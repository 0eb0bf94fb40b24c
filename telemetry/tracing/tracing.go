// Package tracing sends spans to an OpenTelemetry collector, if the standard
// OTEL_… variables ask for it; without them nothing of it runs.
package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.34.0"
	"go.opentelemetry.io/otel/trace"
)

// Options say who sends. Environment variables win over them.
type Options struct {
	Service  string // service.name
	Version  string // service.version
	Instance string // service.instance.id
	Log      *slog.Logger
}

// VariableError is a variable with a value that cannot be meant.
type VariableError struct{ Name, Value, Want string }

func (e *VariableError) Error() string { return fmt.Sprintf("%s=%q: %s", e.Name, e.Value, e.Want) }

// Wanted tells whether the variables, as NAME=value, ask for tracing: an OTLP
// endpoint is set or OTEL_TRACES_EXPORTER is otlp, and nothing turns it off.
func Wanted(environ []string) (bool, error) {
	env := map[string]string{}
	for _, pair := range environ {
		if name, v, ok := strings.Cut(pair, "="); ok {
			env[name] = strings.TrimSpace(v)
		}
	}
	exporter := strings.ToLower(env["OTEL_TRACES_EXPORTER"])
	asked := exporter == "otlp" || env["OTEL_EXPORTER_OTLP_ENDPOINT"] != "" || env["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] != ""
	if strings.EqualFold(env["OTEL_SDK_DISABLED"], "true") || exporter == "none" {
		return false, nil
	}
	if exporter != "" && exporter != "otlp" {
		return false, &VariableError{"OTEL_TRACES_EXPORTER", env["OTEL_TRACES_EXPORTER"], "must be otlp or none"}
	}
	if !asked {
		return false, nil
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if v := env[name]; v != "" && v != "http/protobuf" {
			return false, &VariableError{name, v, "must be http/protobuf, usually on port 4318"}
		}
	}
	return true, nil
}

// Tracing is the way of the spans out of this process.
type Tracing struct{ provider *sdk.TracerProvider }

// Open prepares it. Endpoint, headers, sampler, batches and resource come from
// the variables of the OpenTelemetry specification, which the SDK reads itself.
// A collector that is away is no error: spans are dropped then, and that is logged.
func Open(ctx context.Context, opt Options) (*Tracing, error) {
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("open the way to the collector: %w", err)
	}
	about, err := resource.New(
		ctx, resource.WithTelemetrySDK(), resource.WithHost(), resource.WithProcessPID(),
		resource.WithAttributes(
			semconv.ServiceName(opt.Service), semconv.ServiceVersion(opt.Version), semconv.ServiceInstanceID(opt.Instance)),
		resource.WithFromEnv(),
	)
	if err != nil {
		return nil, fmt.Errorf("describe this process to the collector: %w", err)
	}
	if opt.Log != nil {
		otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { opt.Log.Warn("spans were not sent", "error", err) }))
	}
	return &Tracing{provider: sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(about))}, nil
}

// Tracer names the part of the program that spans come from.
func (t *Tracing) Tracer(name string) trace.Tracer {
	return t.provider.Tracer("github.com/nexus-continuum/nexus/"+name, trace.WithSchemaURL(semconv.SchemaURL))
}

// Start does nothing: spans are sent as they come.
func (t *Tracing) Start(context.Context) error { return nil }

// Stop sends what is left.
func (t *Tracing) Stop(ctx context.Context) error {
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("send the last spans: %w", err)
	}
	return nil
}
