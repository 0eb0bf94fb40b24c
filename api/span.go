package api

import (
	"net"
	"net/http"

	"github.com/labstack/echo/v4"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.34.0"
	"go.opentelemetry.io/otel/trace"
)

// traced makes a span of each request, within the trace that its traceparent names.
// Names and attributes follow the semantic conventions for HTTP servers. Neither the
// query nor the body is included.
func (s *Server) traced(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if isMachineRoute(c.Path()) {
			return next(c)
		}
		ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		method, name := methodOf(r.Method)
		if c.Path() != "" {
			name += " " + c.Path()
		}
		ctx, span := s.opt.Tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
			method, semconv.HTTPRoute(c.Path()), semconv.URLPath(r.URL.Path), semconv.URLScheme(c.Scheme()),
			semconv.ServerAddress(hostOf(r.Host)), semconv.ClientAddress(c.RealIP()), semconv.UserAgentOriginal(r.UserAgent()),
		))
		defer span.End()
		c.SetRequest(r.WithContext(ctx))
		err := next(c) // rendered by then, so that the status is the one sent
		span.SetAttributes(semconv.HTTPResponseStatusCode(c.Response().Status))
		if id, ok := c.Get(jobKey).(string); ok {
			span.SetAttributes(attribute.String("nexus.job.id", id))
		}
		if status := c.Response().Status; status >= http.StatusInternalServerError {
			span.SetAttributes(semconv.ErrorTypeKey.Int(status))
			span.SetStatus(codes.Error, "")
		}
		return err
	}
}

// methodOf returns the method as an attribute and in the form for the name of a span.
func methodOf(method string) (attribute.KeyValue, string) {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return semconv.HTTPRequestMethodKey.String(method), method
	}
	return semconv.HTTPRequestMethodOther, "HTTP"
}

// hostOf returns a Host header without its port.
func hostOf(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return host
}
