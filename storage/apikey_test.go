package storage_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/storage/dir"
)

func TestKeysAreKeptByTheirDigests(t *testing.T) {
	t.Parallel()
	store, err := dir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	keys := storage.NewKeys(store, storage.KeyOptions{Now: func() time.Time { return now }})
	first, second := strings.Repeat("a1", 32), strings.Repeat("b2", 32)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	if list, err := keys.List(t.Context()); err != nil || list != nil {
		t.Fatalf("before the first key: %v, %v", list, err)
	}
	must(keys.Create(t.Context(), storage.Key{Name: "bob", Scopes: []string{"ask"}, ExpiresAt: now.Add(time.Hour)}, first))
	if err := keys.Create(t.Context(), storage.Key{Name: "bob"}, second); !errors.Is(err, storage.ErrKeyTaken) {
		t.Errorf("the name was taken twice: %v", err)
	}
	for _, bad := range []string{"", "Bob", "a b", "../x", strings.Repeat("x", 65)} {
		if err := keys.Create(t.Context(), storage.Key{Name: bad}, second); err == nil {
			t.Errorf("the name %q was taken", bad)
		}
	}

	must(keys.Rotate(t.Context(), "bob", second, 10*time.Minute))
	list, err := keys.List(t.Context())
	must(err)
	k := list[0]
	if len(k.Secrets) != 2 || k.Secrets[0].SHA256 != second || !k.Secrets[1].ValidAt(now.Add(9*time.Minute)) || k.Secrets[1].ValidAt(now.Add(10*time.Minute)) {
		t.Errorf("after the rotation: %+v", k.Secrets)
	}
	if !k.ValidAt(now) || k.ValidAt(now.Add(time.Hour)) {
		t.Error("the key does not end when it should")
	}

	must(keys.Used(t.Context(), map[string]time.Time{"bob": now.Add(time.Minute)}))
	must(keys.Used(t.Context(), map[string]time.Time{"bob": now})) // another process, behind
	if used, err := keys.LastUse(t.Context()); err != nil || !used["bob"].Equal(now.Add(time.Minute)) {
		t.Errorf("last use %v, %v", used, err)
	}

	must(keys.Revoke(t.Context(), "bob"))
	if err := keys.Revoke(t.Context(), "bob"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("revoked twice: %v", err)
	}
	if err := keys.Rotate(t.Context(), "bob", first, 0); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("a revoked key was rotated: %v", err)
	}
	if err := keys.Create(t.Context(), storage.Key{Name: "bob"}, first); !errors.Is(err, storage.ErrKeyTaken) {
		t.Errorf("somebody else got the name, and so the jobs, of a revoked key: %v", err)
	}
}

func TestDamagedKeysLetNobodyIn(t *testing.T) {
	t.Parallel()
	store, err := dir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Put(t.Context(), "keys.json", storage.Body([]byte("{}"))); err != nil {
		t.Fatal(err)
	}
	keys := storage.NewKeys(store, storage.KeyOptions{})
	if _, err := keys.List(t.Context()); !errors.Is(err, storage.ErrCorrupt) || !strings.Contains(err.Error(), "keys.json") {
		t.Errorf("a damaged record was read: %v", err)
	}
	if err := keys.Create(t.Context(), storage.Key{Name: "x"}, strings.Repeat("a1", 32)); !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("a damaged record was written over: %v", err)
	}
}
