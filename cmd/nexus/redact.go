package main

import (
	"bytes"
	"io"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// hidden stands where a secret stood.
const hidden = "(hidden)"

// minSecret is how short a secret may be that is looked for by its text; a
// shorter one would hide half of what is printed.
const minSecret = 6

var (
	// userInfo is all that stands before the last @ of a word, whether it parses as
	// a URL or not: a password may hold any character.
	userInfo = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://|//)?[^\s"'=,]*:[^\s"']*@`)
	// secretOption is an option of a URL or of a list whose name says that it is secret.
	secretOption = regexp.MustCompile(`(?i)([a-z_-]*(?:password|passwd|secret|token|credential|signature)[a-z_-]*=)[^&\s"',;]+`)
)

// redaction hides the secrets of the settings in everything that the program
// prints: errors, lists of settings, logs.
type redaction struct{ secrets [][]byte }

// newRedaction collects the secrets of the environment and the command line,
// also those in settings that turn out to be wrong.
func newRedaction(p *parser, args []string) *redaction {
	r := &redaction{}
	for _, f := range p.kong.Model.Flags {
		how, secret := f.Tag.Get("secret"), f.Tag.Has("secret")
		note := func(v string) {
			if secret && how != "url" {
				r.note(v)
				for part := range strings.SplitSeq(v, ",") {
					// name=key: the key; without a name all of it. A key may hold = itself.
					_, key, named := strings.Cut(part, "=")
					if !named {
						key = part
					}
					r.note(strings.TrimSpace(key))
				}
			}
			if f.Tag.Has("secretfile") {
				if b, err := os.ReadFile(v); err == nil { //nolint:gosec // the operator named the file
					r.note(strings.TrimSpace(string(b)))
				}
			}
			r.noteURL(v)
		}
		if _, v, ok := p.variable(f); ok {
			note(v)
		}
		for i, a := range args {
			if v, ok := strings.CutPrefix(a, "--"+f.Name+"="); ok {
				note(v)
			} else if a == "--"+f.Name && i+1 < len(args) {
				note(args[i+1])
			}
		}
	}
	// The longest first, so that no part of one stays.
	slices.SortFunc(r.secrets, func(a, b []byte) int { return len(b) - len(a) })
	return r
}

func (r *redaction) note(secret string) {
	if len(secret) < minSecret {
		return
	}
	r.secrets = append(r.secrets, []byte(secret))
	// As errors and logs quote it.
	if quoted := strconv.Quote(secret); quoted[1:len(quoted)-1] != secret {
		r.secrets = append(r.secrets, []byte(quoted[1:len(quoted)-1]))
	}
}

// noteURL notes the password of what looks like a URL.
func (r *redaction) noteURL(v string) {
	at := strings.LastIndexByte(v, '@')
	if at < 0 {
		return
	}
	from := strings.Index(v, "://")
	if from >= 0 && from < at {
		from += len("://")
	} else {
		from = 0
	}
	if _, password, ok := strings.Cut(v[from:at], ":"); ok {
		r.note(password)
		if plain, err := url.PathUnescape(password); err == nil && plain != password {
			r.note(plain)
		}
	}
}

// text hides secrets and whatever looks like one.
func (r *redaction) text(s string) string {
	s = userInfo.ReplaceAllString(s, "${1}"+hidden+"@")
	s = secretOption.ReplaceAllString(s, "${1}"+hidden)
	return string(r.known([]byte(s)))
}

// known hides the secrets of the settings.
func (r *redaction) known(b []byte) []byte {
	if r == nil {
		return b
	}
	for _, s := range r.secrets {
		if bytes.Contains(b, s) {
			b = bytes.ReplaceAll(b, s, []byte(hidden))
		}
	}
	return b
}

// writer hides the secrets of the settings in what is written. What is written
// at once must hold a secret as a whole, as a line of a log does.
func (r *redaction) writer(w io.Writer) io.Writer {
	if r == nil || len(r.secrets) == 0 {
		return w
	}
	return redactor{w, r}
}

type redactor struct {
	io.Writer
	redaction *redaction
}

// Write implements io.Writer.
func (w redactor) Write(b []byte) (int, error) {
	if _, err := w.Writer.Write(w.redaction.known(b)); err != nil {
		return 0, err //nolint:wrapcheck // the same writer
	}
	return len(b), nil
}
