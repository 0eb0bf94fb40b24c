package storage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"time"
)

// Key is the stored form of an API key. It holds only digests, never the key itself.
type Key struct {
	Name   string   `json:"name"`
	Scopes []string `json:"scopes"`
	Note   string   `json:"note,omitempty"`
	// Secrets are the secrets that are accepted at the moment, newest first. After a
	// rotation the previous one stays valid for a while.
	Secrets   []Secret  `json:"secrets"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	RevokedAt time.Time `json:"revoked_at,omitzero"`
}

// Secret is one text that a key may be given as. A digest without salt or stretching is
// enough, because the text holds 256 random bits and cannot be guessed.
type Secret struct {
	SHA256    string    `json:"sha256"`
	CreatedAt time.Time `json:"created_at"`
	Until     time.Time `json:"until,omitzero"` // zero: as long as the key
}

// ValidAt reports whether the key itself is valid at that time.
func (k *Key) ValidAt(now time.Time) bool {
	return k.RevokedAt.IsZero() && (k.ExpiresAt.IsZero() || now.Before(k.ExpiresAt))
}

// ValidAt reports whether the secret is still accepted at that time.
func (s *Secret) ValidAt(now time.Time) bool { return s.Until.IsZero() || now.Before(s.Until) }

// keyRecord holds every key that was ever made. Revoked keys stay, so that nobody can
// reuse a name and get the jobs of its former holder.
type keyRecord struct {
	Version   int64       `json:"version"`
	Keys      []Key       `json:"keys"`
	Changes   []KeyChange `json:"changes,omitempty"` // the last maxKeyChanges
	UpdatedAt time.Time   `json:"updated_at"`
}

// KeyChange is an entry for the audit log about one change of a key. It is stored in
// the same record as the keys, so that a key cannot change without an entry.
type KeyChange struct {
	Number int64     `json:"number"` // rises by one with each
	At     time.Time `json:"at"`
	Action string    `json:"action"` // key_create, key_rotate or key_revoke
	Name   string    `json:"name"`
	By     string    `json:"by"`
}

// Actions of a KeyChange.
const (
	KeyCreated = "key_create"
	KeyRotated = "key_rotate"
	KeyRevoked = "key_revoke"
)

// maxKeyChanges limits how many changes wait for an API to log them.
const maxKeyChanges = 500

// keyUse is when each key was last used. It is a separate record, because it changes
// often and losing it does no harm.
type keyUse struct {
	Version int64                `json:"version"`
	Used    map[string]time.Time `json:"used"`
}

// maxKeys limits the number of keys in the record, including revoked ones.
const maxKeys = 2000

var keyName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// CheckKeyName returns an error that says what is wrong with the name of a key, or nil.
func CheckKeyName(name string) error {
	if !keyName.MatchString(name) {
		return fmt.Errorf("the name of a key is 1 to 64 lower-case letters, digits, dots, dashes or underscores, not %q", name)
	}
	return nil
}

// KeyOptions configure Keys.
type KeyOptions struct {
	By  string // who changes keys, for the audit log
	Log *slog.Logger
	Now func() time.Time
}

// Keys keeps the API keys of a store.
type Keys struct {
	store Store
	opt   KeyOptions
}

// NewKeys returns the API keys of a store.
func NewKeys(store Store, opt KeyOptions) *Keys {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	return &Keys{store: store, opt: opt}
}

// ErrKeyTaken means that a key of that name was made before.
var ErrKeyTaken = errors.New("the name is taken")

// List returns every key that was ever made, with one small read; nil if there are
// none. It returns ErrCorrupt if the record is damaged: then no key is accepted, and
// nothing is dropped from the record automatically.
func (k *Keys) List(ctx context.Context) ([]Key, error) {
	r, _, err := k.read(ctx)
	return r.Keys, err
}

func (k *Keys) read(ctx context.Context) (keyRecord, Version, error) {
	return readSealed[keyRecord](ctx, k.store, KeysKey, kindKeys, "read the API keys")
}

// Changes returns the latest changes of keys, oldest first.
func (k *Keys) Changes(ctx context.Context) ([]KeyChange, error) {
	r, _, err := k.read(ctx)
	return r.Changes, err
}

func (k *Keys) changed(r *keyRecord, action, name string, at time.Time) {
	c := KeyChange{Number: 1, At: at, Action: action, Name: name, By: k.opt.By}
	if n := len(r.Changes); n > 0 {
		c.Number = r.Changes[n-1].Number + 1
	}
	r.Changes = append(r.Changes, c)
	r.Changes = r.Changes[max(0, len(r.Changes)-maxKeyChanges):]
}

// update applies change to the record. If another process writes first, update calls
// change again on the new record.
func (k *Keys) update(ctx context.Context, change func(*keyRecord) error) error {
	return swapUntil(ctx, k.store, KeysKey, "update the API keys", func() ([]byte, Version, error) {
		r, version, err := k.read(ctx)
		if err != nil {
			return nil, version, err
		}
		if err := change(&r); err != nil {
			return nil, version, err
		}
		r.Version++
		r.UpdatedAt = k.now()
		b, err := seal(kindKeys, r)
		return b, version, err
	})
}

func (k *Keys) now() time.Time { return k.opt.Now().UTC().Round(0) }

// Create stores a new key. sha256 is the digest of its secret. It returns ErrKeyTaken
// if the name was used before.
func (k *Keys) Create(ctx context.Context, key Key, sha256 string) error {
	if err := CheckKeyName(key.Name); err != nil {
		return err
	}
	if err := checkDigest(sha256); err != nil {
		return err
	}
	return k.update(ctx, func(r *keyRecord) error {
		if slices.ContainsFunc(r.Keys, func(o Key) bool { return o.Name == key.Name }) {
			return fmt.Errorf("%w: %s", ErrKeyTaken, key.Name)
		}
		if len(r.Keys) >= maxKeys {
			return fmt.Errorf("%d API keys: %w", len(r.Keys), ErrTooLarge)
		}
		key.CreatedAt = k.now()
		key.Secrets = []Secret{{SHA256: sha256, CreatedAt: key.CreatedAt}}
		r.Keys = append(r.Keys, key)
		k.changed(r, KeyCreated, key.Name, key.CreatedAt)
		return nil
	})
}

// Rotate gives a key a new secret. The present secret stays valid for overlap. It
// returns ErrNotFound if there is no such key, or if it was revoked.
func (k *Keys) Rotate(ctx context.Context, name, sha256 string, overlap time.Duration) error {
	if err := checkDigest(sha256); err != nil {
		return err
	}
	return k.change(ctx, name, KeyRotated, func(key *Key, now time.Time) {
		until := now.Add(overlap)
		kept := []Secret{{SHA256: sha256, CreatedAt: now}}
		for _, s := range key.Secrets {
			if s.Until.IsZero() || s.Until.After(until) {
				s.Until = until
			}
			if s.ValidAt(now) {
				kept = append(kept, s)
			}
		}
		key.Secrets = kept
	})
}

// Revoke ends a key at once. It returns ErrNotFound if there is no such key, or if it
// was already revoked.
func (k *Keys) Revoke(ctx context.Context, name string) error {
	return k.change(ctx, name, KeyRevoked, func(key *Key, now time.Time) { key.RevokedAt, key.Secrets = now, nil })
}

func (k *Keys) change(ctx context.Context, name, action string, change func(*Key, time.Time)) error {
	return k.update(ctx, func(r *keyRecord) error {
		i := slices.IndexFunc(r.Keys, func(o Key) bool { return o.Name == name && o.RevokedAt.IsZero() })
		if i < 0 {
			return fmt.Errorf("API key %s: %w", name, ErrNotFound)
		}
		now := k.now()
		change(&r.Keys[i], now)
		k.changed(r, action, name, now)
		return nil
	})
}

// LastUse returns when each key was last used, accurate to about a minute.
func (k *Keys) LastUse(ctx context.Context) (map[string]time.Time, error) {
	u, _, err := k.readUse(ctx)
	return u.Used, err
}

func (k *Keys) readUse(ctx context.Context) (keyUse, Version, error) {
	b, version, err := k.store.Read(ctx, KeyUseKey)
	if errors.Is(err, ErrNotFound) {
		return keyUse{}, Absent, nil
	}
	if err != nil {
		return keyUse{}, Absent, fmt.Errorf("read the last use of the API keys: %w", err)
	}
	var u keyUse
	if err := unseal(b, kindKeyUse, &u); err != nil {
		if errors.Is(err, errNewer) {
			return keyUse{}, version, fmt.Errorf("read the last use of the API keys: %w", err)
		}
		k.opt.Log.Warn("the record of the last use of API keys is damaged; it begins anew", "error", err)
		return keyUse{}, version, nil
	}
	return u, version, nil
}

// Used records when keys were used. If several processes report a use, the latest time
// is kept.
func (k *Keys) Used(ctx context.Context, at map[string]time.Time) error {
	return swapUntil(ctx, k.store, KeyUseKey, "note the last use of the API keys", func() ([]byte, Version, error) {
		u, version, err := k.readUse(ctx)
		if err != nil {
			return nil, version, err
		}
		if u.Used == nil {
			u.Used = map[string]time.Time{}
		}
		for name, t := range at {
			if t.After(u.Used[name]) {
				u.Used[name] = t.UTC().Round(0)
			}
		}
		u.Version++
		b, err := seal(kindKeyUse, u)
		return b, version, err
	})
}
