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

// Key is an API key as it is kept: never the key itself, only digests of it.
type Key struct {
	Name   string   `json:"name"`
	Scopes []string `json:"scopes"`
	Note   string   `json:"note,omitempty"`
	// Secrets are what the key may be at the moment, the newest first. A rotation
	// leaves the older one valid for a while.
	Secrets   []Secret  `json:"secrets"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	RevokedAt time.Time `json:"revoked_at,omitzero"`
}

// Secret is one text that a key may be given as. A digest without salt or
// stretching suffices since the text holds 256 random bits: nobody can try them.
type Secret struct {
	SHA256    string    `json:"sha256"`
	CreatedAt time.Time `json:"created_at"`
	Until     time.Time `json:"until,omitzero"` // zero: as long as the key
}

// ValidAt reports whether the key as such may be used at that time.
func (k *Key) ValidAt(now time.Time) bool {
	return k.RevokedAt.IsZero() && (k.ExpiresAt.IsZero() || now.Before(k.ExpiresAt))
}

// ValidAt reports whether the secret may still be given at that time.
func (s *Secret) ValidAt(now time.Time) bool { return s.Until.IsZero() || now.Before(s.Until) }

// keyRecord is all keys that were ever made. Revoked ones stay, so that nobody
// gets the jobs of another by taking the name.
type keyRecord struct {
	Version   int64       `json:"version"`
	Keys      []Key       `json:"keys"`
	Changes   []KeyChange `json:"changes,omitempty"` // the last maxKeyChanges
	UpdatedAt time.Time   `json:"updated_at"`
}

// KeyChange says what was done to a key, for the audit log. The record of the
// keys holds it, so that a key cannot change without it.
type KeyChange struct {
	Number int64     `json:"number"` // rises by one with each
	At     time.Time `json:"at"`
	Action string    `json:"action"` // key_create, key_rotate or key_revoke
	Name   string    `json:"name"`
	By     string    `json:"by"`
}

// What is done to keys.
const (
	KeyCreated = "key_create"
	KeyRotated = "key_rotate"
	KeyRevoked = "key_revoke"
)

// maxKeyChanges bounds what waits for an API to note it.
const maxKeyChanges = 500

// keyUse is when each key was last used. It is a record of its own, since it
// changes often and its loss does no harm.
type keyUse struct {
	Version int64                `json:"version"`
	Used    map[string]time.Time `json:"used"`
}

// maxKeys bounds the record, revoked keys included.
const maxKeys = 2000

var keyName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// CheckKeyName says what is wrong with the name of a key.
func CheckKeyName(name string) error {
	if !keyName.MatchString(name) {
		return fmt.Errorf("the name of a key is 1 to 64 lower-case letters, digits, dots, dashes or underscores, not %q", name)
	}
	return nil
}

// KeyOptions fit Keys to its surroundings.
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

// List returns every key that was ever made, by one small read; nil if none ever
// was. A damaged record is ErrCorrupt: nobody is let in by it, and none of it is
// dropped by itself.
func (k *Keys) List(ctx context.Context) ([]Key, error) {
	r, _, err := k.read(ctx)
	return r.Keys, err
}

func (k *Keys) read(ctx context.Context) (keyRecord, Version, error) {
	b, version, err := k.store.Read(ctx, KeysKey)
	if errors.Is(err, ErrNotFound) {
		return keyRecord{}, Absent, nil
	}
	if err != nil {
		return keyRecord{}, Absent, fmt.Errorf("read the API keys: %w", err)
	}
	var r keyRecord
	if err := unseal(b, kindKeys, &r); err != nil {
		return keyRecord{}, version, fmt.Errorf("read the API keys (%s in the storage folder): %w", KeysKey, err)
	}
	return r, version, nil
}

// Changes returns what was done to keys last, the oldest first.
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

// update changes the record by change, which is called again on what another
// process wrote if that was faster.
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

// Create keeps a new key. ErrKeyTaken if its name was used before.
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

// Rotate gives a key a new secret; the present one stays valid for overlap.
// ErrNotFound if there is no such key, or it was revoked.
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

// Revoke ends a key at once. ErrNotFound if there is no such key, or it was
// revoked before.
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

// LastUse returns when each key was last used, to the minute or so.
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

// Used notes when keys were used. Of several processes' words the latest counts.
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
