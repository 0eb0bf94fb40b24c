package api

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	defaultWait = 30 * time.Second
	maxWait     = 120 * time.Second
)

// preferredWait reads the Prefer header (RFC 7240). wait is how long the caller wants
// to wait; it is unsaid if the header does not say. applied lists the preferences that
// were applied. Unknown preferences are ignored, as the RFC requires.
func preferredWait(h http.Header, unsaid time.Duration) (wait time.Duration, applied string) {
	wait = unsaid
	async, waits := false, false
	for _, value := range h.Values("Prefer") {
		for preference := range strings.SplitSeq(value, ",") {
			// Parameters after a semicolon have no effect here.
			preference, _, _ = strings.Cut(preference, ";")
			name, v, _ := strings.Cut(preference, "=")
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "respond-async":
				async = true
			case "wait":
				seconds, err := strconv.Atoi(strings.Trim(strings.TrimSpace(v), `"`))
				// The first of several wait preferences counts.
				if err == nil && seconds >= 0 && !waits {
					waits = true
					wait = min(time.Duration(min(seconds, int(maxWait/time.Second)))*time.Second, maxWait)
				}
			}
		}
	}
	switch {
	case async && waits: // asynchronously, unless the answer is there by then (RFC 7240, 4.3)
		return wait, "respond-async, wait=" + strconv.Itoa(int(wait/time.Second))
	case async:
		return 0, "respond-async"
	case waits:
		return wait, "wait=" + strconv.Itoa(int(wait/time.Second))
	}
	return wait, ""
}
