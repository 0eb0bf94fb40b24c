package api

import (
	"bytes"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/labstack/echo/v4"
)

// monitorPolicy is the content policy for asynqmon. Its page has two scripts and makes
// its styles while it runs; both carry the nonce of this answer.
func monitorPolicy(nonce string) string {
	return strings.NewReplacer("script-src 'self'", "script-src 'self' 'nonce-"+nonce+"'", "style-src 'self'", "style-src 'self' 'nonce-"+nonce+"'").
		Replace(dashboardPolicy)
}

// pageWriter holds back asynqmon's page until it is complete, removes fonts from other
// hosts and marks its scripts. Everything else passes unchanged.
type pageWriter struct {
	http.ResponseWriter
	nonce string
	page  *bytes.Buffer
	begun bool
}

// Write implements http.ResponseWriter.
func (w *pageWriter) Write(b []byte) (int, error) {
	if !w.begun {
		w.begun = true
		if bytes.HasPrefix(bytes.ToLower(bytes.TrimSpace(b)), []byte("<!doctype html")) {
			w.page = &bytes.Buffer{}
		}
	}
	if w.page != nil {
		return w.page.Write(b)
	}
	return w.ResponseWriter.Write(b) //nolint:wrapcheck // the same writer
}

// WriteHeader implements http.ResponseWriter.
func (w *pageWriter) WriteHeader(status int) {
	w.begun = true
	w.ResponseWriter.WriteHeader(status)
}

// needless matches what the page does not need: files from other hosts, and the
// manifest, which browsers request without cookies.
var needless = regexp.MustCompile(`<link[^>]*(?:href="(?:https?:)?//|rel="manifest")[^>]*>`)

// send sends the page.
func (w *pageWriter) send() error {
	if w.page == nil {
		return nil
	}
	page := needless.ReplaceAll(w.page.Bytes(), nil)
	page = bytes.ReplaceAll(page, []byte("<script>"), []byte(`<script nonce="`+w.nonce+`">`))
	// Its style library looks for the nonce here.
	page = bytes.Replace(page, []byte("<head>"), []byte(`<head><meta property="csp-nonce" content="`+w.nonce+`"/>`), 1)
	h := w.Header()
	h.Set(echo.HeaderContentType, echo.MIMETextHTMLCharsetUTF8)
	h.Set(echo.HeaderCacheControl, "no-store")
	if _, err := w.ResponseWriter.Write(page); err != nil {
		return fmt.Errorf("send the page of the queue monitor: %w", err)
	}
	return nil
}
