package api

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/job"
)

const (
	// sessionIdle ends a session that is not used, and sessionMost ends any session.
	sessionIdle = 12 * time.Hour
	sessionMost = 7 * 24 * time.Hour
	// sessionLook is how long a process trusts a session that it saw in Redis. It is
	// also the longest delay until the end of a session in another process takes
	// effect.
	sessionLook = 2 * time.Second
	// sessionNote is how often the use of a session is recorded.
	sessionNote = time.Minute
	// sessionsPerKey limits the sessions of a key; beyond it the oldest ends.
	sessionsPerKey = 50

	sessionPrefix = "nexus_session_"
)

// session is a sign-in of a browser with a key. Redis stores it under a digest of its
// token. Of the key it stores only a proof, which cannot be turned back into the key. A
// thief of the Redis data gets neither token nor key.
type session struct {
	ID        string    `json:"id"`
	Key       string    `json:"key"`
	Proof     string    `json:"proof"` // of the key's secret that was given
	From      string    `json:"from"`
	Browser   string    `json:"browser"`
	CreatedAt time.Time `json:"created_at"`

	seenAt time.Time
}

// endsAt returns when a session ends if it is not used again.
func (s *session) endsAt() time.Time {
	end := cmp.Or(s.seenAt, s.CreatedAt).Add(sessionIdle)
	if most := s.CreatedAt.Add(sessionMost); end.After(most) {
		return most
	}
	return end
}

// sessions stores sessions in Redis, so that every process of the API knows them and a
// restart ends none.
type sessions struct {
	client redis.UniversalClient
	all    string // hash: id → session
	seen   string // hash: id → Unix ms; apart, so that noting a use brings none back that was ended
	now    func() time.Time

	mu    sync.Mutex
	known map[string]knownSession
	noted map[string]time.Time
}

type knownSession struct {
	session
	at time.Time // when it was read
}

func newSessions(client redis.UniversalClient, prefix string, now func() time.Time) *sessions {
	return &sessions{
		client: client, all: prefix + "{session}:all", seen: prefix + "{session}:seen", now: now,
		known: map[string]knownSession{}, noted: map[string]time.Time{},
	}
}

// sessionID is the id under which a session is listed. It is half of the digest of the
// token and reveals nothing of it.
func sessionID(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:sha256.Size/2])
}

// csrfToken is the token that our pages send with a change. A page of another site can
// neither read nor make it, although the browser sends the cookie for it.
func csrfToken(token string) string {
	mac := hmac.New(sha256.New, []byte(token))
	mac.Write([]byte("csrf"))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func sameText(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// keyProof is derived from the digest of a key and reveals nothing of it.
func keyProof(digest [sha256.Size]byte) string {
	mac := hmac.New(sha256.New, digest[:])
	mac.Write([]byte("session"))
	return hex.EncodeToString(mac.Sum(nil))
}

// begin stores a new session and returns its token, which is shown only once.
func (s *sessions) begin(ctx context.Context, who *identity, from, browser string) (token string, made session, err error) {
	text, err := randomText(nil)
	if err != nil {
		return "", session{}, err
	}
	token = sessionPrefix + text
	now := s.now()
	made = session{
		ID: sessionID(token), Key: who.name, Proof: who.proof, From: from, Browser: job.Clip(strings.ToValidUTF8(browser, ""), 200),
		CreatedAt: now.UTC().Truncate(time.Millisecond), seenAt: now,
	}
	old, err := s.list(ctx)
	if err != nil {
		return "", session{}, err
	}
	if err := s.drop(ctx, expiredSessions(old, who.name, now)); err != nil {
		return "", session{}, err
	}
	value, err := json.Marshal(made)
	if err != nil {
		return "", session{}, fmt.Errorf("write a session: %w", err)
	}
	pipe := s.client.Pipeline()
	pipe.HSet(ctx, s.all, made.ID, value)
	pipe.HSet(ctx, s.seen, made.ID, now.UnixMilli())
	pipe.PExpire(ctx, s.all, sessionMost)
	pipe.PExpire(ctx, s.seen, sessionMost)
	if _, err := pipe.Exec(ctx); err != nil {
		return "", session{}, sessionsAway(err)
	}
	return token, made, nil
}

// expiredSessions returns the sessions that have ended, and the oldest session of a key that
// has reached its limit.
func expiredSessions(all []session, key string, now time.Time) []string {
	var out []string
	own := 0
	for i := range all { // the newest first
		s := &all[i]
		if s.Key == key {
			own++
		}
		if !now.Before(s.endsAt()) || s.Key == key && own >= sessionsPerKey {
			out = append(out, s.ID)
		}
	}
	return out
}

// find returns the session of a token. While Redis is unavailable, sessions that this
// process knows stay valid.
func (s *sessions) find(ctx context.Context, token string) (session, bool, error) {
	id, now := sessionID(token), s.now()
	s.mu.Lock()
	known, ok := s.known[id]
	s.mu.Unlock()
	if !ok || now.Sub(known.at) >= sessionLook {
		fresh, there, err := s.read(ctx, id)
		switch {
		case err != nil && !ok:
			return session{}, false, err
		case err == nil && !there:
			s.forget(id)
			return session{}, false, nil
		case err == nil:
			known = knownSession{session: fresh, at: now}
			s.keep(known)
		}
	}
	if !now.Before(known.endsAt()) {
		s.forget(id)
		return session{}, false, nil
	}
	s.note(ctx, id, now)
	return known.session, true, nil
}

func (s *sessions) read(ctx context.Context, id string) (session, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, limiterTimeout)
	defer cancel()
	pipe := s.client.Pipeline()
	value, seen := pipe.HMGet(ctx, s.all, id), pipe.HMGet(ctx, s.seen, id)
	if _, err := pipe.Exec(ctx); err != nil {
		return session{}, false, sessionsAway(err)
	}
	text, _ := value.Val()[0].(string)
	at, _ := seen.Val()[0].(string)
	found, ok := readSession(id, text, at)
	return found, ok, nil
}

func readSession(id, text, seen string) (session, bool) {
	var out session
	if text == "" || json.Unmarshal([]byte(text), &out) != nil || out.ID != id {
		return session{}, false
	}
	if ms, err := strconv.ParseInt(seen, 10, 64); err == nil {
		out.seenAt = time.UnixMilli(ms)
	}
	return out, true
}

func (s *sessions) keep(k knownSession) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.known) >= maxBuckets {
		clear(s.known)
		clear(s.noted)
	}
	s.known[k.ID] = k
}

func (s *sessions) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, id)
	delete(s.noted, id)
}

// note records in Redis from time to time that a session is used; losing the record
// does no harm.
func (s *sessions) note(ctx context.Context, id string, now time.Time) {
	s.mu.Lock()
	last, ok := s.noted[id]
	due := !ok || now.Sub(last) >= sessionNote
	if due {
		s.noted[id] = now
	}
	s.mu.Unlock()
	if !due {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limiterTimeout)
	defer cancel()
	s.client.HSet(ctx, s.seen, id, now.UnixMilli())
}

// list returns every session, newest first.
func (s *sessions) list(ctx context.Context) ([]session, error) {
	pipe := s.client.Pipeline()
	values, seen := pipe.HGetAll(ctx, s.all), pipe.HGetAll(ctx, s.seen)
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, sessionsAway(err)
	}
	var out []session
	for id, text := range values.Val() {
		if one, ok := readSession(id, text, seen.Val()[id]); ok {
			out = append(out, one)
		}
	}
	slices.SortFunc(out, func(a, b session) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), strings.Compare(a.ID, b.ID))
	})
	return out, nil
}

// drop ends sessions.
func (s *sessions) drop(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	for _, id := range ids {
		s.forget(id)
	}
	pipe := s.client.Pipeline()
	pipe.HDel(ctx, s.all, ids...)
	pipe.HDel(ctx, s.seen, ids...)
	if _, err := pipe.Exec(ctx); err != nil {
		return sessionsAway(err)
	}
	return nil
}

func sessionsAway(err error) error {
	return job.Errorf(job.CodeUnavailable, "sessions cannot be read just now, since Redis cannot be reached; try again").After(time.Second).Because(err)
}
