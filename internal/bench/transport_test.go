package main

import (
	"testing"
	"time"
)

// The comparison itself works: both ways answer, and a ratio comes out.
func TestTransport(t *testing.T) {
	t.Parallel()
	rows, err := transport(t.Context(), options{callers: 8, load: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		t.Log(r.what, r.figure)
		if r.figure == "0" || r.figure == "" {
			t.Errorf("%s: %q", r.what, r.figure)
		}
	}
}
