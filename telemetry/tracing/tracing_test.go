package tracing

import (
	"errors"
	"strings"
	"testing"
)

func TestWanted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		env   string
		want  bool
		fault string // the variable that is wrong
	}{
		{"", false, ""},
		{"OTEL_SERVICE_NAME=nexus", false, ""},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318", true, ""},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://collector:4318/v1/traces", true, ""},
		{"OTEL_TRACES_EXPORTER=otlp", true, ""},
		{"OTEL_TRACES_EXPORTER=none OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318", false, ""},
		{"OTEL_SDK_DISABLED=true OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318", false, ""},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318 OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", true, ""},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4317 OTEL_EXPORTER_OTLP_PROTOCOL=grpc", false, "OTEL_EXPORTER_OTLP_PROTOCOL"},
		{"OTEL_TRACES_EXPORTER=zipkin", false, "OTEL_TRACES_EXPORTER"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=", false, ""},
	} {
		got, err := Wanted(strings.Fields(c.env))
		var wrong *VariableError
		if errors.As(err, &wrong); got != c.want || c.fault == "" && err != nil || c.fault != "" && (wrong == nil || wrong.Name != c.fault) {
			t.Errorf("%s: %v, %v", c.env, got, err)
		}
	}
}
