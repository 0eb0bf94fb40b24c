package streamid

import (
	"strings"
	"testing"
)

func FuzzStreamIDs(f *testing.F) {
	f.Add("1-0", "1-1")
	f.Add("18446744073709551615", "")
	f.Fuzz(func(t *testing.T, a, b string) {
		if Newer(a, b) && Newer(b, a) {
			t.Errorf("%q and %q are each newer", a, b)
		}
		if Valid(a) && strings.ContainsAny(a, " \r\n") {
			t.Errorf("%q is taken for a stream id", a)
		}
	})
}
