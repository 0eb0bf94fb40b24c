package api

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
)

//go:embed static/dist static/reference openapi.yaml
var assets embed.FS

const (
	// dashboardPolicy lets the dashboard load files of this server, and nothing inline.
	dashboardPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	// docsPolicy lets the API reference call only this server. Its renderer writes its
	// styles into the page.
	docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; img-src 'self' data: blob:; " +
		"font-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	typeScript = "text/javascript; charset=utf-8"
	// dashboardAssets is the path of the built files. Their names contain a digest of
	// their content, so browsers may keep them.
	dashboardAssets = "/dashboard/assets/"
)

// pages are the documents for people. Vite builds the dashboard from api/dashboard.
// Scalar, one script that make reference fetches, shows the description of the API.
type pages struct {
	dashboardPage []byte
	dashboardFile fs.FS
	docsPage      []byte
	docsStart     []byte
	docsScript    []byte // compressed
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
	if p.docsPage, err = assets.ReadFile("static/reference/index.html"); err != nil {
		return nil, fmt.Errorf("read the API reference: %w", err)
	}
	if p.docsStart, err = assets.ReadFile("static/reference/start.js"); err != nil {
		return nil, fmt.Errorf("read the API reference: %w", err)
	}
	if p.docsScript, err = assets.ReadFile("static/reference/scalar.js.gz"); err != nil {
		return nil, fmt.Errorf("read the API reference: %w", err)
	}
	return &p, nil
}

// dashboard serves the built files. For every other path below /dashboard it serves the
// page itself, which chooses its view from the address.
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
	return serve(c, "text/html; charset=utf-8", docsPolicy, p.docsPage)
}

// docsAsset is GET /docs/assets/{name}.
func (p *pages) docsAsset(c echo.Context) error {
	h := c.Response().Header()
	h.Set(echo.HeaderCacheControl, "no-cache")
	switch c.Param("name") {
	case "start.js":
		return c.Blob(http.StatusOK, typeScript, p.docsStart)
	case "scalar.js":
		tag := digestTag(p.docsScript)
		h.Set("Etag", tag)
		h.Set(echo.HeaderVary, echo.HeaderAcceptEncoding)
		if c.Request().Header.Get("If-None-Match") == tag {
			return c.NoContent(http.StatusNotModified)
		}
		if strings.Contains(c.Request().Header.Get(echo.HeaderAcceptEncoding), "gzip") {
			h.Set(echo.HeaderContentEncoding, "gzip")
			return c.Blob(http.StatusOK, typeScript, p.docsScript)
		}
		z, err := gzip.NewReader(bytes.NewReader(p.docsScript))
		if err != nil {
			return fmt.Errorf("read the API reference: %w", err)
		}
		return c.Stream(http.StatusOK, typeScript, z)
	}
	return job.Errorf(job.CodeNotFound, "the API reference has no file of this name")
}

// digestTag returns the ETag of content.
func digestTag(b []byte) string {
	sum := sha256.Sum256(b)
	return `"` + hex.EncodeToString(sum[:8]) + `"`
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
