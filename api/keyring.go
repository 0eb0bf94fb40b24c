package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nexus-continuum/nexus/storage"
)

// KeyBook stores keys that can be made, rotated and revoked while the service runs;
// *storage.Keys implements it.
type KeyBook interface {
	List(ctx context.Context) ([]storage.Key, error)
	Changes(ctx context.Context) ([]storage.KeyChange, error)
	Used(ctx context.Context, at map[string]time.Time) error
	LastUse(ctx context.Context) (map[string]time.Time, error)
}

const (
	// keyLook is how often the book is read. It is also the longest delay until a
	// revocation or expiry recorded by another process takes effect.
	keyLook = 2 * time.Second
	// keyAgain is the shortest time between two readings that an unknown key triggers,
	// because a new key may be used at once.
	keyAgain = 500 * time.Millisecond
	// keyNote is how often the use of keys is recorded.
	keyNote = time.Minute
)

// identity is the caller, as far as a key identifies it.
type identity struct {
	name   string
	scopes Scope
	proof  string // of the secret that was given, for a session by it

	session *session // nil: the key itself was given
	token   string   // of the session
}

// keyring identifies the keys by their digests, so that a comparison takes the same
// time for any length of the given text.
type keyring struct {
	header string
	// told receives the changes of keys. It may be called again with the same changes.
	told  func(context.Context, []storage.KeyChange) error
	fixed []digestedKey
	book  KeyBook // nil: only fixed keys
	log   *slog.Logger
	now   func() time.Time

	kept  atomic.Pointer[bookPage]
	noted []storage.Key // the keys as they were when their changes were told; under turn
	turn  sync.Mutex    // of reading the book

	mu   sync.Mutex
	used map[string]time.Time // not noted yet
}

type digestedKey struct {
	identity
	digest [sha256.Size]byte
}

// bookPage is the content of the book when it was last read.
type bookPage struct {
	at      time.Time
	list    []storage.Key
	any     bool // a key was made once, be it revoked since
	byHash  map[[sha256.Size]byte]keptKey
	byProof map[string]keptKey
}

type keptKey struct {
	key    *storage.Key
	secret storage.Secret
	scopes Scope
	digest [sha256.Size]byte
}

func newKeyring(header string, keys []Key, book KeyBook, log *slog.Logger, now func() time.Time) *keyring {
	if header == "" {
		header = DefaultKeyHeader
	}
	k := &keyring{header: header, book: book, log: log, now: now, used: map[string]time.Time{}}
	k.kept.Store(&bookPage{})
	for _, key := range keys {
		if key.Scopes == 0 {
			key.Scopes = ScopeAll
		}
		k.fixed = append(k.fixed, digestedKey{digest: sha256.Sum256([]byte(key.Key)), identity: identity{name: key.Name, scopes: key.Scopes, proof: keyProof(sha256.Sum256([]byte(key.Key)))}})
	}
	return k
}

// open reports whether there are no keys, so that every caller may do everything.
func (k *keyring) open() bool { return len(k.fixed) == 0 && !k.kept.Load().any }

// read reads the book. If it cannot be read, the last content stays: known keys remain
// valid, and no others become valid.
func (k *keyring) read(ctx context.Context) error {
	if k.book == nil {
		return nil
	}
	list, err := k.book.List(ctx)
	if err != nil {
		return err
	}
	page := &bookPage{at: k.now(), list: list, any: len(list) > 0, byHash: map[[sha256.Size]byte]keptKey{}, byProof: map[string]keptKey{}}
	for i := range list {
		key := &list[i]
		scopes, err := ParseScopes(key.Scopes)
		if err != nil {
			k.log.Warn("an API key has scopes that this version does not know; it is not heeded", "key", key.Name, "error", err)
			continue
		}
		for _, s := range key.Secrets {
			kept := keptKey{key: key, secret: s, scopes: scopes}
			if n, err := hex.Decode(kept.digest[:], []byte(s.SHA256)); err != nil || n != sha256.Size {
				continue
			}
			page.byHash[kept.digest], page.byProof[keyProof(kept.digest)] = kept, kept
		}
	}
	k.kept.Store(page)
	return nil
}

// find returns the identity of a given key. It compares every fixed key, so that the
// time taken reveals nothing. Stored keys are found by the digest of 256 random bits,
// which cannot be approached step by step.
func (k *keyring) find(ctx context.Context, given string) (*identity, bool) {
	digest := sha256.Sum256([]byte(given))
	found := -1
	for i := range k.fixed {
		if subtle.ConstantTimeCompare(digest[:], k.fixed[i].digest[:]) == 1 {
			found = i
		}
	}
	if found >= 0 {
		who := k.fixed[found].identity
		return &who, true
	}
	page := k.kept.Load()
	kept, ok := page.byHash[digest]
	if !ok && k.book != nil && k.now().Sub(page.at) >= keyAgain && k.turn.TryLock() {
		err := k.read(ctx)
		k.turn.Unlock()
		if err != nil {
			k.log.Warn("the API keys could not be read", "error", err)
		}
		kept, ok = k.kept.Load().byHash[digest]
	}
	if !ok || subtle.ConstantTimeCompare(digest[:], kept.digest[:]) != 1 {
		return nil, false
	}
	return k.valid(&kept)
}

// valid returns the identity of a key if the key may be used now, and records the use.
func (k *keyring) valid(kept *keptKey) (*identity, bool) {
	now := k.now()
	if !kept.key.ValidAt(now) || !kept.secret.ValidAt(now) {
		return nil, false
	}
	k.noteUse(kept.key.Name, now)
	return &identity{name: kept.key.Name, scopes: kept.scopes, proof: keyProof(kept.digest)}, true
}

// holder finds a key by its name and the proof that it was given before. It returns
// false if the key was revoked, has expired or has another secret by now.
func (k *keyring) holder(name, proof string) (*identity, bool) {
	for i := range k.fixed {
		if who := k.fixed[i].identity; who.name == name && sameText(who.proof, proof) {
			return &who, true
		}
	}
	kept, ok := k.kept.Load().byProof[proof]
	if !ok || kept.key.Name != name {
		return nil, false
	}
	return k.valid(&kept)
}

// lastUse returns when stored keys were last used, as far as any process has recorded
// it.
func (k *keyring) lastUse(ctx context.Context) (map[string]time.Time, error) {
	used, err := k.book.LastUse(ctx)
	if err != nil {
		return nil, err //nolint:wrapcheck // told as it is
	}
	out := maps.Clone(used)
	if out == nil {
		out = map[string]time.Time{}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for name, at := range k.used {
		if at.After(out[name]) {
			out[name] = at
		}
	}
	return out, nil
}

func (k *keyring) noteUse(name string, at time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.used[name] = at
}

// follow keeps reading the book, and records the use of keys, until ctx ends.
func (k *keyring) follow(ctx context.Context) {
	if k.book == nil {
		return
	}
	look, note := time.NewTicker(keyLook), time.NewTicker(keyNote)
	defer look.Stop()
	defer note.Stop()
	failing := false
	for {
		k.announce(ctx)
		select {
		case <-look.C:
			k.turn.Lock()
			err := k.read(ctx)
			k.turn.Unlock()
			if err != nil && !failing && ctx.Err() == nil {
				k.log.Error("the API keys cannot be read; those read before stay valid", "error", err)
			}
			failing = err != nil
		case <-note.C:
			k.flush(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			k.flush(last)
			cancel()
			return
		}
	}
}

// announce passes on the changes of keys if there are new ones.
func (k *keyring) announce(ctx context.Context) {
	k.turn.Lock()
	defer k.turn.Unlock()
	list := k.kept.Load().list
	if k.told == nil || len(list) == 0 || reflect.DeepEqual(list, k.noted) {
		return
	}
	changes, err := k.book.Changes(ctx)
	if err == nil {
		err = k.told(ctx, changes)
	}
	if err != nil {
		k.log.Debug("changes of keys are not in the audit log yet", "error", err)
		return
	}
	k.noted = list
}

// flush records when keys were used.
func (k *keyring) flush(ctx context.Context) {
	k.mu.Lock()
	used := k.used
	k.used = map[string]time.Time{}
	k.mu.Unlock()
	if len(used) == 0 {
		return
	}
	if err := k.book.Used(ctx, used); err != nil {
		k.log.Debug("when API keys were used could not be noted", "error", err)
		k.mu.Lock()
		defer k.mu.Unlock()
		for name, at := range used {
			if at.After(k.used[name]) {
				k.used[name] = at
			}
		}
	}
}

// checkKeys returns an error for keys that could not be distinguished.
func checkKeys(keys []Key) error {
	names := map[string]bool{}
	for _, k := range keys {
		if k.Key == "" {
			return fmt.Errorf("the key named %q is empty", k.Name)
		}
		if names[k.Name] {
			return fmt.Errorf("two keys are named %q", k.Name)
		}
		names[k.Name] = true
	}
	return nil
}
