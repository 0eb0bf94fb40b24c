package api

import (
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/nexus-continuum/nexus/job"
)

// ours fails if a caller's mistake would be answered as a fault of ours.
func ours(t *testing.T, sent []byte, err error) {
	t.Helper()
	if err != nil && (job.AsError(err).Code == job.CodeInternal || statusOf(job.AsError(err).Code) >= 500) {
		t.Errorf("%q is answered as a fault of ours: %v", sent, err)
	}
}

func FuzzJobBody(f *testing.F) {
	for _, s := range []string{
		`{"kind":"interact","prompt":"p"}`, `{"kind":"train","topic":"t","timeout_ms":1}`, `{"timeout_ms":1e99}`, `{"kind":1}`, `[`, `{"kind":"interact","kind":"train"}`,
		`{"prompt":"\ud800"}`, `{"kind":"interact","prompt":"p","webhook":"https://h/","webhook_events":["state",1]}`, "{\"prompt\":\"\x1b\"}", `{"a":{"b":[{}]}}x`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var r jobRequest
		err := decodeObject(body, r.hook.fields(
			field{name: "kind", into: &r.kind}, field{name: "prompt", into: &r.prompt}, field{name: "topic", into: &r.topic},
			field{name: "timeout_ms", into: &r.timeoutMS, set: &r.hasTimeout})...)
		if err == nil {
			err = r.check()
		}
		ours(t, body, err)
		if err == nil && (!utf8.ValidString(r.prompt) || strings.ContainsAny(r.prompt, "\x00\x1b\u202e") || len(r.prompt) > maxJSON) {
			t.Errorf("%q is taken as the prompt %q", body, r.prompt)
		}
	})
}

func FuzzBatchLines(f *testing.F) {
	f.Add([]byte("{\"prompt\":\"a\"}\n\n{\"prompt\":\"b\"}\r\n"))
	f.Add([]byte("\xef\xbb\xbf{}\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		lines, err := batchLines(body)
		ours(t, body, err)
		last := 0
		for _, l := range lines {
			if l.n <= last || bytes.ContainsRune(l.text, '\n') {
				t.Errorf("line %d is %q", l.n, l.text)
			}
			last = l.n
		}
	})
}

func FuzzNDJSON(f *testing.F) {
	f.Add([]byte("{\"prompt\":\"a\",\"response\":\"b\"}\n{\"prompt\":1}\n"), "support")
	f.Add([]byte("\xef\xbb\xbf{}\r\n\r\n{"), "")
	f.Fuzz(func(t *testing.T, body []byte, topic string) {
		if checkTopic(topic) != nil {
			return // refused before the body is read
		}
		from := newNDJSONLessons(bytes.NewReader(body), topic)
		for lines, last := 0, 0; ; lines++ {
			l, fault, err := from.next()
			if errors.Is(err, errEnd) {
				return
			}
			if err != nil {
				t.Fatalf("a reader in memory fails: %v", err)
			}
			if lines > bytes.Count(body, []byte("\n"))+1 {
				t.Fatal("more lessons than lines")
			}
			if fault == nil {
				if l.Prompt == "" || !utf8.ValidString(l.Prompt+l.Topic) {
					t.Errorf("%q is taken as %+v", body, l)
				}
				continue
			}
			if fault.Line <= last || fault.Detail == "" || fault.Code == job.CodeInternal {
				t.Errorf("fault %+v after line %d", fault, last)
			}
			last = fault.Line
		}
	})
}

func FuzzPrefer(f *testing.F) {
	for _, s := range []string{"wait=5", "respond-async, wait=2", `wait="7"; x`, "wait=-1", "wait=99999999999999999999", "WAIT = 3,,;="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		wait, applied := preferredWait(http.Header{"Prefer": {value}}, defaultWait)
		if wait < 0 || wait > maxWait || wait%time.Second != 0 || strings.ContainsAny(applied, "\r\n") {
			t.Errorf("%q: %s, %q", value, wait, applied)
		}
	})
}

// A session is looked for only under what looks like a token of ours.
func FuzzSessionCookie(f *testing.F) {
	f.Add("nexus_session=nexus_session_abc; XSRF-TOKEN=x")
	f.Add(`nexus_session="`)
	s := &Server{secure: secureCaller(nil)}
	f.Fuzz(func(t *testing.T, cookie string) {
		token, ok := s.sessionOf(&http.Request{Header: http.Header{"Cookie": {cookie}}, URL: &url.URL{}})
		if ok && (!strings.HasPrefix(token, sessionPrefix) || len(token) > 100) {
			t.Errorf("%q is taken as %q", cookie, token)
		}
	})
}

func FuzzHost(f *testing.F) {
	for _, s := range []string{"localhost:80", "[::1]:80", "127.0.0.1", "evil.example", "localhost.", "::1", "[", "127.0.0.1.evil.example", "LOCALHOST:"} {
		f.Add(s)
	}
	h := newHosts(nil, "", false)
	f.Fuzz(func(t *testing.T, host string) {
		if name := hostName(host); h.knows(host) && strings.HasSuffix(name, ".example") {
			t.Errorf("%q is taken as ours", host)
		}
	})
}

func FuzzParseKey(f *testing.F) {
	for _, s := range []string{"a=0123456789abcdefghij", "a[ask+read]=0123456789abcdefghij", "=x", "a[", "a[]=x", "[=]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, entry string) {
		k, err := ParseKey(entry)
		if err == nil && (k.Name == "" || k.Scopes == 0 || k.Scopes&^ScopeAll != 0 || CheckKey(k.Key) != nil) {
			t.Errorf("%q is taken as %+v", entry, k)
		}
		if _, secret, ok := strings.Cut(entry, "="); ok && err != nil && len(secret) >= minKeyChars && strings.Contains(err.Error(), secret) {
			t.Errorf("the error shows the key: %v", err)
		}
	})
}
