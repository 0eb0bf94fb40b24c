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

// preferredWait reads the Prefer header (RFC 7240): how long the caller wants to
// wait, unsaid if it does not say, and the words that say what was heeded. What
// it does not know it ignores, as the RFC asks.
func preferredWait(h http.Header, unsaid time.Duration) (wait time.Duration, applied string) {
	wait = unsaid
	async, waits := false, false
	for _, value := range h.Values("Prefer") {
		for preference := range strings.SplitSeq(value, ",") {
			// Parameters after a semicolon change nothing here.
			preference, _, _ = strings.Cut(preference, ";")
			name, v, _ := strings.Cut(preference, "=")
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "respond-async":
				async = true
			case "wait":
				seconds, err := strconv.Atoi(strings.Trim(strings.TrimSpace(v), `"`))
				// The first of several counts.
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
