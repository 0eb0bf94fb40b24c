package api

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
)

// monitorPolicy is the content policy for asynqmon. Its page has two scripts and makes
// its styles while it runs; both carry the nonce of this answer.
func monitorPolicy(nonce string) string {
	return strings.NewReplacer("script-src 'self'", "script-src 'self' 'nonce-"+nonce+"'", "style-src 'self'", "style-src 'self' 'nonce-"+nonce+"'").
		Replace(dashboardPolicy)
}

// pageWriter holds back asynqmon's page until it is complete, removes fonts from other
// hosts and marks its scripts. It also holds back errors, which send gives the form of
// this API's. Everything else passes unchanged.
type pageWriter struct {
	http.ResponseWriter
	nonce  string
	page   *bytes.Buffer
	begun  bool
	failed int // status of an error
	why    []byte
}

// maxWhy limits how much of the text of an error is read.
const maxWhy = 2 << 10

// Write implements http.ResponseWriter.
func (w *pageWriter) Write(b []byte) (int, error) {
	if w.failed != 0 {
		w.why = append(w.why, b[:min(len(b), maxWhy-len(w.why))]...)
		return len(b), nil
	}
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
	if status >= http.StatusBadRequest {
		w.failed = status
		return
	}
	w.ResponseWriter.WriteHeader(status)
}

// needless matches what the page does not need: files from other hosts, and the
// manifest, which browsers request without cookies.
var needless = regexp.MustCompile(`<link[^>]*(?:href="(?:https?:)?//|rel="manifest")[^>]*>`)

// fault is an error of asynqmon. It answers most requests that cannot be met with 500
// and the cause, which may name addresses and files of this deployment.
func (w *pageWriter) fault() error {
	why := job.Clip(strings.TrimSpace(strings.ToValidUTF8(string(w.why), "?")), 200)
	switch {
	case w.failed == http.StatusNotFound, strings.HasPrefix(why, "NOT_FOUND"), strings.Contains(why, "not found"):
		return job.Errorf(job.CodeNotFound, "the queue monitor knows no such queue or task; it may have ended")
	case strings.HasPrefix(why, `queue "`): // it is paused already, or not paused, or not empty
		return job.Errorf(job.CodeConflict, "%s", why)
	case w.failed == http.StatusMethodNotAllowed:
		return echo.ErrMethodNotAllowed
	case w.failed < http.StatusInternalServerError:
		return job.Errorf(job.CodeInvalid, "the queue monitor does not understand this request").Because(errors.New(why))
	}
	return job.Errorf(job.CodeUnavailable, "the queue monitor cannot do this now; is Redis reachable? GET /readyz says so").
		Because(errors.New(why)).After(monitorRetry)
}

// monitorRetry is when a request to the queue monitor may be tried again.
const monitorRetry = 2 * time.Second

// send sends the page, or returns the error.
func (w *pageWriter) send() error {
	if w.failed != 0 {
		w.Header().Del(echo.HeaderContentType)
		return w.fault()
	}
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
