package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/nexus-continuum/nexus/queue/provider/redistest"
)

// collectorOf is an OTLP collector that keeps what it is sent.
type collectorOf struct {
	*httptest.Server
	mu     sync.Mutex
	byName map[string]*spans.Span // of the trace that is looked for
	trace  string
	from   map[string]string // instance by name of span
}

func newCollector(t *testing.T, trace string) *collectorOf {
	t.Helper()
	c := &collectorOf{byName: map[string]*spans.Span{}, trace: trace, from: map[string]string{}}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		var got collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(b, &got)
		}
		if err != nil || r.URL.Path != "/v1/traces" || r.Method != http.MethodPost {
			t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, resource := range got.GetResourceSpans() {
			about := map[string]string{}
			for _, a := range resource.GetResource().GetAttributes() {
				about[a.GetKey()] = a.GetValue().GetStringValue()
			}
			if about["service.name"] != "nexus-test" || about["service.version"] == "" {
				t.Errorf("the sender is %v", about)
			}
			for _, scope := range resource.GetScopeSpans() {
				for _, s := range scope.GetSpans() {
					if fmt.Sprintf("%x", s.GetTraceId()) == c.trace {
						c.byName[s.GetName()], c.from[s.GetName()] = s, about["service.instance.id"]
					}
				}
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collectorOf) span(name string) *spans.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byName[name]
}

// One interact is one trace, from the caller's own span through two processes to
// the computing, and shows how long it waited and how long it was computed.
func TestOneTracePerInteract(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("needs redis-server on PATH; .ci/run installs it")
	}
	const trace, caller = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	c := newCollector(t, trace)
	dir := t.TempDir()
	env := []string{
		"NEXUS_REDIS_URL=redis://" + redistest.Start(t).Addr,
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + c.URL, "OTEL_SERVICE_NAME=nexus-test", "OTEL_BSP_SCHEDULE_DELAY=50",
	}
	launch(t, dir, []string{"worker"}, env...)
	p := start(t, dir, []string{"api"}, env...)
	var a reply
	code, _ := p.call("POST", "/api/interact", map[string]string{"prompt": "what is this"}, &a, "traceparent", "00-"+trace+"-"+caller+"-01")
	if code != http.StatusOK {
		t.Fatalf("status %d", code)
	}
	names := []string{"POST /api/interact", "send interactive", "wait interactive", "process interactive", "compute"}
	p.eventually("all spans are collected", func() bool {
		for _, name := range names {
			if c.span(name) == nil {
				return false
			}
		}
		return true
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	request, send, wait, process, compute := c.byName[names[0]], c.byName[names[1]], c.byName[names[2]], c.byName[names[3]], c.byName[names[4]]
	for _, pair := range []struct {
		child  *spans.Span
		parent string
		kind   spans.Span_SpanKind
	}{
		{request, caller, spans.Span_SPAN_KIND_SERVER},
		{send, fmt.Sprintf("%x", request.GetSpanId()), spans.Span_SPAN_KIND_PRODUCER},
		{wait, fmt.Sprintf("%x", send.GetSpanId()), spans.Span_SPAN_KIND_INTERNAL},
		{process, fmt.Sprintf("%x", send.GetSpanId()), spans.Span_SPAN_KIND_CONSUMER},
		{compute, fmt.Sprintf("%x", process.GetSpanId()), spans.Span_SPAN_KIND_INTERNAL},
	} {
		if got := fmt.Sprintf("%x", pair.child.GetParentSpanId()); got != pair.parent || pair.child.GetKind() != pair.kind {
			t.Errorf("span %s: parent %s, want %s; %s", pair.child.GetName(), got, pair.parent, pair.child.GetKind())
		}
		if pair.child.GetEndTimeUnixNano() < pair.child.GetStartTimeUnixNano() {
			t.Errorf("span %s ends before it begins", pair.child.GetName())
		}
	}
	if c.from[names[0]] != c.from[names[1]] || c.from[names[0]] == c.from[names[3]] || c.from[names[3]] != c.from[names[4]] {
		t.Errorf("spans come from %v", c.from)
	}
	attributes := map[string]string{}
	for _, s := range []*spans.Span{request, process} {
		for _, a := range s.GetAttributes() {
			attributes[a.GetKey()] = a.GetValue().GetStringValue()
			if n := a.GetValue().GetIntValue(); n != 0 {
				attributes[a.GetKey()] = fmt.Sprint(n)
			}
		}
	}
	for name, want := range map[string]string{
		"http.request.method": "POST", "http.route": "/api/interact", "http.response.status_code": "200", "url.path": "/api/interact",
		"messaging.system": "asynq", "messaging.destination.name": "interactive", "messaging.operation.type": "process", "nexus.job.state": "succeeded",
	} {
		if attributes[name] != want {
			t.Errorf("attribute %s is %q, want %q", name, attributes[name], want)
		}
	}
}
