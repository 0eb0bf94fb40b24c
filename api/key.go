package api

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"net/textproto"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// DefaultKeyHeader is the header that carries the API key by default.
const DefaultKeyHeader = "X-API-Key"

// Key is an API key from the configuration, with the name for counting and logging its
// use, and its scopes.
type Key struct {
	Name   string
	Key    string
	Scopes Scope
}

const (
	keyPrefix = "nexus_"
	base62    = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	// keyChars is how many characters of base62 hold 256 bits: 43 · log2(62) = 256.03.
	keyChars = 43
)

// NewKey makes an API key of 256 random bits from random; nil means the system's
// source.
func NewKey(random io.Reader) (string, error) {
	text, err := randomText(random)
	if err != nil {
		return "", fmt.Errorf("make an API key: %w", err)
	}
	return keyPrefix + text, nil
}

// randomText returns text with 256 bits from random; nil means the system's source.
func randomText(random io.Reader) (string, error) {
	if random == nil {
		random = rand.Reader
	}
	out := make([]byte, keyChars)
	for i := range out {
		n, err := rand.Int(random, big.NewInt(int64(len(base62))))
		if err != nil {
			return "", fmt.Errorf("draw a random text: %w", err)
		}
		out[i] = base62[n.Int64()]
	}
	return string(out), nil
}

// ParseKey reads a key written as name=key, which has ScopeUsual, or as
// name[ask+read]=key. Its errors contain nothing of the key.
func ParseKey(entry string) (Key, error) {
	k := Key{Scopes: ScopeUsual}
	name, key, ok := strings.Cut(entry, "=")
	if !ok {
		return k, errors.New("each must be name=key or name[scope+scope]=key; one has no name")
	}
	if head, rest, found := strings.Cut(name, "["); found {
		list, closed := strings.CutSuffix(rest, "]")
		if !closed {
			return k, fmt.Errorf("the scopes of %q must end with ]", head)
		}
		var err error
		if k.Scopes, err = ParseScopes(strings.Split(list, "+")); err != nil {
			return k, fmt.Errorf("the key %q: %w", head, err)
		}
		name = head
	}
	k.Name, k.Key = strings.TrimSpace(name), key
	if k.Name == "" || strings.ContainsFunc(k.Name, func(r rune) bool { return r < 0x21 || r > 0x7e }) || len(k.Name) > 64 {
		return k, errors.New("the name of a key must be 1 to 64 printable characters without spaces")
	}
	if err := CheckKey(key); err != nil {
		return k, fmt.Errorf("the key %q: %w", k.Name, err)
	}
	return k, nil
}

// Limits of a key that a person chose.
const (
	minKeyChars = 16
	maxKeyChars = 512
	minKeyBits  = 40
)

// CheckKey returns an error for a key that could be guessed. The error reveals only the
// length of the key.
func CheckKey(key string) error {
	const advice = "; `nexus apikey` makes a good one"
	switch {
	case len(key) < minKeyChars:
		return fmt.Errorf("it has %d characters; %d are the least%s", len(key), minKeyChars, advice)
	case len(key) > maxKeyChars:
		return fmt.Errorf("it has %d characters; %d are the most%s", len(key), maxKeyChars, advice)
	case strings.ContainsFunc(key, func(r rune) bool { return r < 0x21 || r > 0x7e }):
		return errors.New("it holds a space or a character that a header cannot carry" + advice)
	case variety(key) < minKeyBits:
		return errors.New("it repeats itself too much to be hard to guess" + advice)
	}
	return nil
}

// variety returns how many bits the characters of a text hold by their frequencies
// (Shannon). If the text repeats a block, only the shortest such block counts.
func variety(s string) float64 {
	for n := 1; n < len(s); n++ {
		if strings.HasPrefix(strings.Repeat(s[:n], len(s)/n+1), s) {
			s = s[:n]
			break
		}
	}
	var seen [256]int
	for i := range len(s) {
		seen[s[i]]++
	}
	bits, n := 0.0, float64(len(s))
	for _, c := range seen {
		if c > 0 {
			bits -= float64(c) * math.Log2(float64(c)/n)
		}
	}
	return bits
}

// CheckHeaderName returns an error for a header name that cannot carry a key, or that
// has another meaning in HTTP.
func CheckHeaderName(name string) error {
	if !httpguts.ValidHeaderFieldName(name) {
		return errors.New("must be the name of an HTTP header: letters, digits and dashes, such as X-API-Key")
	}
	taken := []string{
		"Accept", "Accept-Encoding", "Accept-Language", "Authorization", "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Cookie", "Date", "Expect",
		"Forwarded", "Host", "Idempotency-Key", "Keep-Alive", "Last-Event-Id", "Origin", "Prefer", "Proxy-Authorization", "Proxy-Connection", "Referer", "Te", "Trailer",
		"Traceparent", "Tracestate", "Transfer-Encoding", "Upgrade", "User-Agent", "Via", "X-Csrf-Token", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto",
		"X-Request-Id", "X-Xsrf-Token",
	}
	if canonical := textproto.CanonicalMIMEHeaderKey(name); slices.Contains(taken, canonical) || strings.HasPrefix(canonical, "Sec-") {
		return fmt.Errorf("must be a header of its own; %s means something else", canonical)
	}
	return nil
}
