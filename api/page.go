package api

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
)

//go:embed static/dist static/docs.html static/docs.css openapi.yaml
var assets embed.FS

const (
	// dashboardPolicy lets the dashboard load what this server has, and nothing
	// inline.
	dashboardPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	// dashboardAssets is where the built files lie. Their names hold a digest of
	// their content, so a browser may keep them.
	dashboardAssets = "/dashboard/assets/"
)

// pages are the documents for people. The dashboard is built by Vite from
// api/dashboard; the description of the API is one page whose style is allowed
// by its digest.
type pages struct {
	dashboardPage []byte
	dashboardFile fs.FS
	docsPage      []byte
	docsPolicy    string
	openapiFile   []byte
}

func newPages() (*pages, error) {
	var p pages
	var err error
	if p.dashboardPage, err = assets.ReadFile("static/dist/index.html"); err != nil {
		return nil, fmt.Errorf("read the dashboard: %w", err)
	}
	if p.dashboardFile, err = fs.Sub(assets, "static/dist/assets"); err != nil {
		return nil, fmt.Errorf("read the files of the dashboard: %w", err)
	}
	if p.openapiFile, err = assets.ReadFile("openapi.yaml"); err != nil {
		return nil, fmt.Errorf("read the OpenAPI file: %w", err)
	}
	css, err := assets.ReadFile("static/docs.css")
	if err != nil {
		return nil, fmt.Errorf("read the page part static/docs.css: %w", err)
	}
	doc, err := describe(p.openapiFile)
	if err != nil {
		return nil, err
	}
	p.docsPage, err = page("static/docs.html", map[string]any{"CSS": template.CSS(css), "Doc": doc})
	if err != nil {
		return nil, err
	}
	p.docsPolicy = fmt.Sprintf("default-src 'none'; style-src '%s'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'", digestSource(string(css)))
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

// dashboard serves the built files, and for every other path below /dashboard
// the page itself: which of its views to show, the page reads from the address.
func (p *pages) dashboard(c echo.Context) error {
	name, isAsset := strings.CutPrefix(c.Request().URL.Path, dashboardAssets)
	if !isAsset {
		return serve(c, "text/html; charset=utf-8", dashboardPolicy, p.dashboardPage)
	}
	body, err := fs.ReadFile(p.dashboardFile, name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		return job.Errorf(job.CodeNotFound, "the dashboard has no file of this name; reload the page, it was updated").Because(err)
	}
	if err != nil {
		return fmt.Errorf("read the dashboard's file %s: %w", name, err)
	}
	c.Response().Header().Set(echo.HeaderCacheControl, "public, max-age=31536000, immutable")
	return c.Blob(http.StatusOK, mime.TypeByExtension(path.Ext(name)), body)
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
