package api

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"

	"github.com/labstack/echo/v4"
)

//go:embed static/dashboard.html static/dashboard.css static/dashboard.js static/docs.html static/docs.css openapi.yaml
var assets embed.FS

// pages are the documents for people, each in one piece: style and script lie
// within the page and are allowed by their digests, so that nothing else runs.
type pages struct {
	dashboardPage, docsPage     []byte
	dashboardPolicy, docsPolicy string
	openapiFile                 []byte
}

func newPages() (*pages, error) {
	read := func(name string) (string, error) {
		b, err := assets.ReadFile(name)
		if err != nil {
			return "", fmt.Errorf("read the page part %s: %w", name, err)
		}
		return string(b), nil
	}
	var p pages
	css, err := read("static/dashboard.css")
	if err != nil {
		return nil, err
	}
	js, err := read("static/dashboard.js")
	if err != nil {
		return nil, err
	}
	p.dashboardPage, err = page("static/dashboard.html", map[string]any{"CSS": template.CSS(css), "JS": template.JS(js)})
	if err != nil {
		return nil, err
	}
	p.dashboardPolicy = fmt.Sprintf("default-src 'none'; script-src '%s'; style-src '%s'; connect-src 'self'; img-src data:; "+
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'", digestSource(js), digestSource(css))

	if p.openapiFile, err = assets.ReadFile("openapi.yaml"); err != nil {
		return nil, fmt.Errorf("read the OpenAPI file: %w", err)
	}
	if css, err = read("static/docs.css"); err != nil {
		return nil, err
	}
	doc, err := describe(p.openapiFile)
	if err != nil {
		return nil, err
	}
	p.docsPage, err = page("static/docs.html", map[string]any{"CSS": template.CSS(css), "Doc": doc})
	if err != nil {
		return nil, err
	}
	p.docsPolicy = fmt.Sprintf("default-src 'none'; style-src '%s'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'", digestSource(css))
	return &p, nil
}

func page(name string, data any) ([]byte, error) {
	t, err := template.ParseFS(assets, name)
	if err != nil {
		return nil, fmt.Errorf("read the page %s: %w", name, err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		return nil, fmt.Errorf("write the page %s: %w", name, err)
	}
	return b.Bytes(), nil
}

// digestSource names an inline script or style in a Content-Security-Policy.
func digestSource(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

func (p *pages) dashboard(c echo.Context) error {
	return serve(c, "text/html; charset=utf-8", p.dashboardPolicy, p.dashboardPage)
}

func (p *pages) docs(c echo.Context) error {
	return serve(c, "text/html; charset=utf-8", p.docsPolicy, p.docsPage)
}

func (p *pages) openapi(c echo.Context) error {
	return serve(c, "application/yaml; charset=utf-8", policyNone, p.openapiFile)
}

func serve(c echo.Context, contentType, policy string, body []byte) error {
	h := c.Response().Header()
	h.Set(echo.HeaderContentSecurityPolicy, policy)
	h.Set(echo.HeaderCacheControl, "no-cache")
	return c.Blob(http.StatusOK, contentType, body)
}
