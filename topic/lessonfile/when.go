package lessonfile

import (
	"fmt"
	"strings"
	"time"

	"github.com/nexus-continuum/nexus/job"
)

// when reads what a row or an object says of the time in which its answer may be
// given; wrong is a fault in words.
func (l *Lesson) when(draft, from, until string) (wrong string) {
	switch draft = strings.ToLower(strings.TrimSpace(draft)); {
	case truthy(draft):
		l.Draft = new(bool)
		*l.Draft = true
	case draft == "false", draft == "no", draft == "n", draft == "0":
		l.Draft = new(bool)
	}
	for _, b := range []struct {
		name, text string
		at         **time.Time
	}{{"valid_from", from, &l.From}, {"valid_until", until, &l.Until}} {
		text := strings.TrimSpace(b.text)
		if text == "" {
			continue
		}
		t, ok := moment(text)
		if !ok {
			return fmt.Sprintf("%s is %q; write a time as 2027-01-31T08:00:00Z or a day as 2027-01-31, which begins at midnight UTC", b.name, job.Clip(text, 40))
		}
		*b.at = &t
	}
	return ""
}

// moment reads a time, or a day in UTC.
func moment(text string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil && t.Year() >= 1970 {
			return t.UTC().Truncate(time.Millisecond), true
		}
	}
	return time.Time{}, false
}
