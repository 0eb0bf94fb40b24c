package api

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
)

// DefaultKeyHeader carries the API key unless a setting says otherwise.
const DefaultKeyHeader = "X-API-Key"

// Key is an API key and the name under which its use is counted and logged.
type Key struct {
	Name string
	Key  string
}

const (
	keyPrefix = "nexus_"
	base62    = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	// keyChars of base62 hold 256 bits: 43 · log2(62) = 256.03.
	keyChars = 43
)

// NewKey makes an API key from random; nil is the system's source.
func NewKey(random io.Reader) (string, error) {
	if random == nil {
		random = rand.Reader
	}
	out := []byte(keyPrefix)
	for range keyChars {
		n, err := rand.Int(random, big.NewInt(int64(len(base62))))
		if err != nil {
			return "", fmt.Errorf("make an API key: %w", err)
		}
		out = append(out, base62[n.Int64()])
	}
	return string(out), nil
}

// ParseKeys reads named keys written as "name:key,name:key".
func ParseKeys(list string) ([]Key, error) {
	var keys []Key
	for entry := range strings.SplitSeq(list, ",") {
		entry = strings.TrimSpace(entry)
		if entry == "" {
			continue
		}
		name, key, ok := strings.Cut(entry, ":")
		if name, key = strings.TrimSpace(name), strings.TrimSpace(key); !ok || name == "" || key == "" {
			return nil, fmt.Errorf("API keys are written name:key,name:key; entry %d is not", len(keys)+1)
		}
		keys = append(keys, Key{Name: name, Key: key})
	}
	return keys, nil
}

// keyring knows the keys by their digests, so that comparing takes the same
// time whatever the length of what was given.
type keyring struct {
	header string
	keys   []digestedKey
}

type digestedKey struct {
	name   string
	digest [sha256.Size]byte
}

func newKeyring(header string, keys []Key) *keyring {
	if header == "" {
		header = DefaultKeyHeader
	}
	k := &keyring{header: header}
	for _, key := range keys {
		k.keys = append(k.keys, digestedKey{name: key.Name, digest: sha256.Sum256([]byte(key.Key))})
	}
	return k
}

// name finds whose key was given. Every key is compared, so that the time taken
// tells nothing.
func (k *keyring) name(given string) (string, bool) {
	digest := sha256.Sum256([]byte(given))
	found := -1
	for i := range k.keys {
		if subtle.ConstantTimeCompare(digest[:], k.keys[i].digest[:]) == 1 {
			found = i
		}
	}
	if found < 0 {
		return "", false
	}
	return k.keys[found].name, true
}

const (
	clientKey    = "nexus.client"    // name of the key that a request carried
	keyFault     = "nexus.key-fault" // why it may not pass, if it may not
	challengeKey = "nexus.challenge" // what it should have been authorised with
)

// identify finds out who asks. Whether they may is for require to say.
func (k *keyring) identify(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		k.check(c, false)
		return next(c)
	}
}

// identifyPage does so for pages that a browser opens by itself: it takes the
// key as the password of HTTP Basic too. What other sites could do with that is
// stopped by sameOrigin.
func (k *keyring) identifyPage(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Set(challengeKey, `Basic realm="NEXUS: the API key is the password", charset="UTF-8"`)
		k.check(c, true)
		return next(c)
	}
}

func (k *keyring) check(c echo.Context, basic bool) {
	if len(k.keys) == 0 {
		return
	}
	given, ok := k.given(c.Request(), basic)
	if !ok {
		c.Set(keyFault, job.Errorf(job.CodeUnauthorized, "an API key is needed; send it in the header %s or as Authorization: Bearer", k.header))
		return
	}
	name, ok := k.name(given)
	if !ok {
		c.Set(keyFault, job.Errorf(job.CodeUnauthorized, "the API key is not known here"))
		return
	}
	c.Set(clientKey, name)
}

// require lets only those through who carry a key, if there are any keys.
func (k *keyring) require(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if fault, ok := c.Get(keyFault).(*job.Error); ok {
			return fault
		}
		return next(c)
	}
}

func (k *keyring) given(r *http.Request, basic bool) (string, bool) {
	if v := r.Header.Get(k.header); v != "" {
		return v, true
	}
	scheme, token, _ := strings.Cut(r.Header.Get(echo.HeaderAuthorization), " ")
	if strings.EqualFold(scheme, "bearer") && token != "" {
		return strings.TrimSpace(token), true
	}
	if basic {
		if _, password, ok := r.BasicAuth(); ok {
			return password, true
		}
	}
	return "", false
}

func challenge(c echo.Context) string {
	if v, ok := c.Get(challengeKey).(string); ok {
		return v
	}
	return `Bearer realm="NEXUS"`
}

// client says who asks: the name of the key, else the address.
func client(c echo.Context) string {
	if name, ok := c.Get(clientKey).(string); ok {
		return "key:" + name
	}
	return "ip:" + c.RealIP()
}
