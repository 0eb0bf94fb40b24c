package api

import (
	"bytes"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
)

// contract holds what is sent and answered against openapi.yaml.
type contract struct {
	doc    *openapi3.T
	router routers.Router
}

func newContract(t testing.TB) *contract {
	t.Helper()
	file, err := assets.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(file)
	if err != nil {
		t.Fatalf("openapi.yaml: %v", err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatalf("openapi.yaml: %v", err)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatalf("openapi.yaml: %v", err)
	}
	return &contract{doc: doc, router: router}
}

// check reports where an exchange leaves the contract. Requests are checked if
// the server took them; a route that the file does not have is not checked.
func (k *contract) check(t testing.TB, req *http.Request, sent []byte, a answer) {
	t.Helper()
	// The router matches the path only.
	bare := req.Clone(t.Context())
	bare.URL.Scheme, bare.URL.Host, bare.Host = "", "", ""
	bare.Body = io.NopCloser(bytes.NewReader(sent))
	route, params, err := k.router.FindRoute(bare)
	if err != nil {
		return
	}
	in := &openapi3filter.RequestValidationInput{
		Request: bare, PathParams: params, Route: route,
		Options: &openapi3filter.Options{
			AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true,
			ExcludeRequestBody: !strings.HasPrefix(req.Header.Get("Content-Type"), "application/json") || strings.HasPrefix(req.Header.Get("Content-Type"), "application/jsonl") ||
				bytes.HasPrefix(sent, utf8BOM) || req.URL.Path == "/api/import",
		},
	}
	if a.status < http.StatusBadRequest {
		if err := openapi3filter.ValidateRequest(t.Context(), in); err != nil {
			t.Errorf("%s %s was taken (%d), but openapi.yaml has it otherwise: %v", req.Method, req.URL.Path, a.status, err)
		}
	}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: a.status, Header: a.header, Options: in.Options}
	if !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
		out.Options = &openapi3filter.Options{ExcludeResponseBody: true, IncludeResponseStatus: true}
	}
	out.SetBodyBytes(a.body)
	if err := openapi3filter.ValidateResponse(t.Context(), out); err != nil {
		t.Errorf("%s %s answers %d otherwise than openapi.yaml has it: %v\n%s", req.Method, req.URL.Path, a.status, err, job.Clip(string(a.body), 600))
	}
}

var echoParameter = regexp.MustCompile(`:(\w+)`)

func TestTheFileAndTheRoutesAgree(t *testing.T) {
	t.Parallel()
	b := setup(t)
	k := newContract(t)
	var written, served []string
	for path, item := range k.doc.Paths.Map() {
		for method := range item.Operations() {
			written = append(written, method+" "+path)
		}
	}
	for _, r := range b.srv.echo.Routes() {
		// asynqmon's own pages are its own affair.
		if strings.HasSuffix(r.Path, "*") || r.Method == echo.RouteNotFound || (r.Path == "/monitoring" && r.Method != http.MethodGet) {
			continue
		}
		path := echoParameter.ReplaceAllString(strings.ReplaceAll(r.Path, `\:`, "\x00"), "{$1}")
		served = append(served, r.Method+" "+strings.ReplaceAll(path, "\x00", ":"))
	}
	slices.Sort(written)
	slices.Sort(served)
	for _, r := range written {
		if !slices.Contains(served, r) {
			t.Errorf("openapi.yaml has %s, which is not served", r)
		}
	}
	for _, r := range served {
		if !slices.Contains(written, r) {
			t.Errorf("%s is served, but openapi.yaml does not have it", r)
		}
	}
}

func TestTheFileIsServedAndReadable(t *testing.T) {
	t.Parallel()
	b := setup(t)
	file := b.get("/openapi.yaml")
	if _, err := openapi3.NewLoader().LoadFromData(file.body); err != nil || file.status != http.StatusOK {
		t.Errorf("%d: %v", file.status, err)
	}
	for _, operation := range newContract(t).doc.Paths.Map() {
		for _, op := range operation.Operations() {
			if op.OperationID == "" || op.Summary == "" || len(op.Tags) != 1 {
				t.Errorf("%+v lacks an id, a summary or its tag", op)
			}
		}
	}
}
