package job_test

import (
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/job"
)

func TestMisleading(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                  "",
		"tab\tand\r\nline":  "",
		"שלום \u200fעולם":   "",
		"\u2068مرحبا\u2069": "",
		"a\u2067b\u2066c\u2069\u2069\n\u2068d\u2069": "",
		"a\x00":                "U+0000",
		"\x1b[31m":             "U+001B",
		"a\u0085b":             "U+0085",
		"\u202edetrever":       "U+202E",
		"\u202aa\u202c":        "U+202A",
		"a\u2067b":             "U+2067",
		"a\u2067b\n\u2069":     "U+2067",
		"a\u2066b\u2029\u2069": "U+2066",
		"a\u2069":              "U+2069",
		"\u2068a\u2069\u2069":  "U+2069",
	} {
		got := job.Misleading(text)
		if (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
