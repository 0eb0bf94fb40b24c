// Package storetest is the suite that every storage.Store passes.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/nexus-continuum/nexus/storage"
)

// Opener opens the store named root, which is empty when it is first named.
// Opening a root again gives another handle on the same objects, as another
// process would have.
type Opener func(t *testing.T, root string) storage.Store

// Run holds the store that open gives against the contract of storage.Store.
func Run(t *testing.T, open Opener) {
	cases := []struct {
		name string
		run  func(t *testing.T, s, other storage.Store)
	}{
		{"nothing is there", nothing},
		{"what is put is got", putGet},
		{"put replaces", replaces},
		{"a body that fails changes nothing", failingBody},
		{"readers see whole objects", wholeObjects},
		{"list by prefix", list},
		{"list more than one page", listMany},
		{"delete", remove},
		{"move", move},
		{"swap", swap},
		{"swap has one winner", swapRace},
		{"records are small", records},
		{"bad keys are refused", badKeys},
		{"a canceled context stops", canceled},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, open(t, t.Name()), open(t, t.Name()))
		})
	}
}

func put(t *testing.T, s storage.Store, key, body string) {
	t.Helper()
	if err := s.Put(t.Context(), key, storage.Body([]byte(body))); err != nil {
		t.Fatalf("Put(%s): %v", key, err)
	}
}

func get(t *testing.T, s storage.Store, key string) string {
	t.Helper()
	r, err := s.Get(t.Context(), key)
	if err != nil {
		t.Fatalf("Get(%s): %v", key, err)
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatalf("Get(%s): read: %v", key, err)
	}
	return string(b)
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s = %v, want %v", what, err, want)
	}
}

func keys(t *testing.T, s storage.Store, prefix string) []string {
	t.Helper()
	infos, err := s.List(t.Context(), prefix)
	if err != nil {
		t.Fatalf("List(%q): %v", prefix, err)
	}
	out := make([]string, 0, len(infos))
	for _, i := range infos {
		out = append(out, i.Key)
	}
	return out
}

func nothing(t *testing.T, s, _ storage.Store) {
	ctx := t.Context()
	_, err := s.Get(ctx, "parts/a")
	wantErr(t, "Get", err, storage.ErrNotFound)
	_, err = s.Stat(ctx, "parts/a")
	wantErr(t, "Stat", err, storage.ErrNotFound)
	_, v, err := s.Read(ctx, "a.json")
	wantErr(t, "Read", err, storage.ErrNotFound)
	if v != storage.Absent {
		t.Errorf("Read of nothing gives version %q, want Absent", v)
	}
	wantErr(t, "Move", s.Move(ctx, "parts/a", "corrupted/parts/a"), storage.ErrNotFound)
	wantErr(t, "Delete", s.Delete(ctx, "parts/a"), nil)
	for _, prefix := range []string{"", "parts/", "checkpoint_"} {
		if got := keys(t, s, prefix); len(got) != 0 {
			t.Errorf("List(%q) of an empty store = %q", prefix, got)
		}
	}
}

func putGet(t *testing.T, s, other storage.Store) {
	for name, size := range map[string]int{"empty": 0, "one": 1, "page": 4096, "large": 5<<20 + 17} {
		body := bytes.Repeat([]byte("0123456789abcdef\n"), size/17+1)[:size]
		// A section of something larger must be stored as just that section.
		around := append(append([]byte("before"), body...), "after"...)
		key := "datasets/" + name
		if err := s.Put(t.Context(), key, io.NewSectionReader(bytes.NewReader(around), 6, int64(size))); err != nil {
			t.Fatalf("Put of %d bytes: %v", size, err)
		}
		if got := get(t, other, key); got != string(body) {
			t.Errorf("%d bytes stored, %d other ones got", size, len(got))
		}
		info, err := other.Stat(t.Context(), key)
		if err != nil || info.Key != key || info.Size != int64(size) || info.ModTime.IsZero() {
			t.Errorf("Stat(%s) = %+v, %v; want %d bytes and a time", key, info, err, size)
		}
	}
}

func replaces(t *testing.T, s, other storage.Store) {
	put(t, s, "a", "a long first content")
	put(t, other, "a", "second")
	if got := get(t, s, "a"); got != "second" {
		t.Errorf("got %q, want the second content", got)
	}
}

type brokenReader struct{}

var errBroken = errors.New("broken on purpose")

func (brokenReader) ReadAt(p []byte, off int64) (int, error) {
	if off > 1<<20 {
		return 0, errBroken
	}
	return len(p), nil
}

func failingBody(t *testing.T, s, other storage.Store) {
	put(t, s, "a", "old")
	for _, key := range []string{"a", "parts/b"} {
		err := s.Put(t.Context(), key, io.NewSectionReader(brokenReader{}, 0, 4<<20))
		wantErr(t, "Put of a failing body", err, errBroken)
	}
	if got := get(t, other, "a"); got != "old" {
		t.Errorf("after a failed Put the object is %d bytes, want the old content", len(got))
	}
	if got := keys(t, other, ""); len(got) != 1 {
		t.Errorf("after a failed Put the store holds %q, want only a", got)
	}
}

func wholeObjects(t *testing.T, s, other storage.Store) {
	body := func(i int) string { return string(bytes.Repeat([]byte{byte('a' + i)}, 300_000+i)) }
	put(t, s, "a", body(0))
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := s.Put(t.Context(), "a", storage.Body([]byte(body(i%8)))); err != nil {
				t.Errorf("Put: %v", err)
				return
			}
		}
	})
	defer writer.Wait()
	defer close(stop)
	for range 30 {
		got := get(t, other, "a")
		if want := body(len(got) - 300_000); got != want {
			t.Fatal("a reader saw a mixture of two contents")
		}
	}
}

func list(t *testing.T, s, other storage.Store) {
	all := []string{
		"checkpoint_a.json", "checkpoint_b.json", "corrupted/checkpoint_c.json", "corrupted/parts/ff",
		"head.json", "parts/00", "parts/ff", "partsx",
	}
	for i := len(all) - 1; i >= 0; i-- {
		put(t, s, all[i], all[i])
	}
	for prefix, want := range map[string][]string{
		"":            all,
		"checkpoint_": all[:2],
		"corrupted/":  all[2:4],
		"parts/":      all[5:7],
		"parts":       all[5:],
		"parts/f":     all[6:7],
		"none/":       {},
	} {
		if got := keys(t, other, prefix); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("List(%q) = %q, want %q", prefix, got, want)
		}
	}
	infos, err := other.List(t.Context(), "head")
	if err != nil || len(infos) != 1 || infos[0].Size != int64(len("head.json")) || infos[0].ModTime.IsZero() {
		t.Errorf("List(head) = %+v, %v; want its size and time", infos, err)
	}
}

func listMany(t *testing.T, s, other storage.Store) {
	const n = 1100 // a page of S3 has 1000
	var group sync.WaitGroup
	for w := range 4 {
		group.Go(func() {
			for i := w; i < n; i += 4 {
				if err := s.Put(t.Context(), fmt.Sprintf("parts/%04d", i), storage.Body([]byte("x"))); err != nil {
					t.Errorf("Put: %v", err)
					return
				}
			}
		})
	}
	group.Wait()
	got := keys(t, other, "parts/")
	if len(got) != n {
		t.Fatalf("List gives %d objects, want %d", len(got), n)
	}
	for i, key := range got {
		if key != fmt.Sprintf("parts/%04d", i) {
			t.Fatalf("List is not in order: %q at %d", key, i)
		}
	}
}

func remove(t *testing.T, s, other storage.Store) {
	put(t, s, "parts/a", "x")
	put(t, s, "parts/b", "y")
	for range 2 {
		wantErr(t, "Delete", other.Delete(t.Context(), "parts/a"), nil)
	}
	_, err := s.Get(t.Context(), "parts/a")
	wantErr(t, "Get after Delete", err, storage.ErrNotFound)
	if got := get(t, s, "parts/b"); got != "y" {
		t.Errorf("the neighbour is now %q", got)
	}
}

func move(t *testing.T, s, other storage.Store) {
	put(t, s, "checkpoint_a.json", "first")
	for _, body := range []string{"first", "again"} {
		put(t, s, "checkpoint_a.json", body)
		wantErr(t, "Move", s.Move(t.Context(), "checkpoint_a.json", "corrupted/checkpoint_a.json"), nil)
		if got := get(t, other, "corrupted/checkpoint_a.json"); got != body {
			t.Errorf("moved content is %q, want %q", got, body)
		}
		_, err := other.Stat(t.Context(), "checkpoint_a.json")
		wantErr(t, "Stat of what was moved away", err, storage.ErrNotFound)
	}
}

func swap(t *testing.T, s, other storage.Store) {
	ctx := t.Context()
	_, err := s.Swap(ctx, "head.json", "0123456789abcdef0123456789abcdef", []byte("x"))
	wantErr(t, "Swap of a version onto nothing", err, storage.ErrConflict)
	v1, err := s.Swap(ctx, "head.json", storage.Absent, []byte("one"))
	wantErr(t, "first Swap", err, nil)
	if v1 == storage.Absent {
		t.Fatal("Swap gave the version Absent")
	}
	_, err = other.Swap(ctx, "head.json", storage.Absent, []byte("zwei"))
	wantErr(t, "Swap of Absent onto something", err, storage.ErrConflict)
	body, read, err := other.Read(ctx, "head.json")
	if err != nil || string(body) != "one" || read != v1 {
		t.Fatalf("Read = %q, %q, %v; want what Swap stored and its version %q", body, read, err, v1)
	}
	v2, err := other.Swap(ctx, "head.json", v1, []byte("two"))
	wantErr(t, "second Swap", err, nil)
	_, err = s.Swap(ctx, "head.json", v1, []byte("drei"))
	wantErr(t, "Swap with an old version", err, storage.ErrConflict)
	if got := get(t, s, "head.json"); got != "two" || v2 == v1 {
		t.Errorf("head is %q (version %q after %q), want two", got, v2, v1)
	}
	wantErr(t, "Delete", s.Delete(ctx, "head.json"), nil)
	_, err = s.Swap(ctx, "head.json", v2, []byte("vier"))
	wantErr(t, "Swap onto what was deleted", err, storage.ErrConflict)
	_, err = s.Swap(ctx, "head.json", storage.Absent, []byte("three"))
	wantErr(t, "Swap of Absent after Delete", err, nil)
}

// swapRace counts up from several goroutines on two handles: each success is
// one step, so that a lost update shows as a smaller sum.
func swapRace(t *testing.T, s, other storage.Store) {
	const writers, each = 4, 8
	var group sync.WaitGroup
	for w := range writers {
		store := s
		if w%2 == 1 {
			store = other
		}
		group.Go(func() {
			for n := 0; n < each; {
				switch err := countUp(t.Context(), store); {
				case err == nil:
					n++
				case !errors.Is(err, storage.ErrConflict):
					t.Errorf("count up: %v", err)
					return
				}
			}
		})
	}
	group.Wait()
	if got := get(t, s, "counter"); got != strconv.Itoa(writers*each) {
		t.Errorf("counter is %s after %d successful swaps: updates were lost", got, writers*each)
	}
}

func countUp(ctx context.Context, s storage.Store) error {
	body, version, err := s.Read(ctx, "counter")
	if errors.Is(err, storage.ErrNotFound) {
		body, err = []byte("0"), nil
	}
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(string(body))
	if err != nil {
		return err
	}
	_, err = s.Swap(ctx, "counter", version, []byte(strconv.Itoa(n+1)))
	return err
}

func records(t *testing.T, s, _ storage.Store) {
	big := make([]byte, storage.MaxRecord+1)
	_, err := s.Swap(t.Context(), "a", storage.Absent, big)
	wantErr(t, "Swap of too large a record", err, storage.ErrTooLarge)
	put(t, s, "a", string(big))
	_, _, err = s.Read(t.Context(), "a")
	wantErr(t, "Read of too large a record", err, storage.ErrTooLarge)
	_, err = s.Swap(t.Context(), "a", storage.Absent, []byte("x"))
	wantErr(t, "Swap of Absent onto a large object", err, storage.ErrConflict)
	_, err = s.Swap(t.Context(), "b", storage.Absent, big[:storage.MaxRecord])
	wantErr(t, "Swap of the largest record", err, nil)
	if b, _, err := s.Read(t.Context(), "b"); err != nil || len(b) != storage.MaxRecord {
		t.Errorf("Read of the largest record = %d bytes, %v", len(b), err)
	}
}

func badKeys(t *testing.T, s, _ storage.Store) {
	ctx := t.Context()
	for _, key := range []string{
		"", "/", "/etc/passwd", "../a", "a/../b", "a/..", "..", ".", ".lock", "a/.hidden", "a//b", "a/",
		"A", "a b", "a\x00b", "a\\b", "ä", "a/b/c/d/e", string(bytes.Repeat([]byte("a"), 600)),
	} {
		wantErr(t, fmt.Sprintf("Put(%q)", key), s.Put(ctx, key, storage.Body([]byte("x"))), storage.ErrBadKey)
		_, err := s.Get(ctx, key)
		wantErr(t, fmt.Sprintf("Get(%q)", key), err, storage.ErrBadKey)
		_, err = s.Stat(ctx, key)
		wantErr(t, fmt.Sprintf("Stat(%q)", key), err, storage.ErrBadKey)
		_, _, err = s.Read(ctx, key)
		wantErr(t, fmt.Sprintf("Read(%q)", key), err, storage.ErrBadKey)
		_, err = s.Swap(ctx, key, storage.Absent, nil)
		wantErr(t, fmt.Sprintf("Swap(%q)", key), err, storage.ErrBadKey)
		wantErr(t, fmt.Sprintf("Delete(%q)", key), s.Delete(ctx, key), storage.ErrBadKey)
		wantErr(t, fmt.Sprintf("Move(%q, a)", key), s.Move(ctx, key, "a"), storage.ErrBadKey)
		wantErr(t, fmt.Sprintf("Move(a, %q)", key), s.Move(ctx, "a", key), storage.ErrBadKey)
	}
	for _, prefix := range []string{"/", "../", "a/../", ".t", "A"} {
		_, err := s.List(ctx, prefix)
		wantErr(t, fmt.Sprintf("List(%q)", prefix), err, storage.ErrBadKey)
	}
	if got := keys(t, s, ""); len(got) != 0 {
		t.Errorf("bad keys left %q", got)
	}
}

func canceled(t *testing.T, s, _ storage.Store) {
	put(t, s, "a", "x")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantErr(t, "Put", s.Put(ctx, "a", storage.Body([]byte("y"))), context.Canceled)
	_, err := s.Get(ctx, "a")
	wantErr(t, "Get", err, context.Canceled)
	_, _, err = s.Read(ctx, "a")
	wantErr(t, "Read", err, context.Canceled)
	_, err = s.Swap(ctx, "b", storage.Absent, []byte("y"))
	wantErr(t, "Swap", err, context.Canceled)
	_, err = s.List(ctx, "")
	wantErr(t, "List", err, context.Canceled)
	wantErr(t, "Delete", s.Delete(ctx, "a"), context.Canceled)
	wantErr(t, "Move", s.Move(ctx, "a", "b"), context.Canceled)
	if got := get(t, s, "a"); got != "x" {
		t.Errorf("after canceled operations the object is %q", got)
	}
}

// MemoryDir is t.TempDir in memory where the machine has a place for it. Tests
// that write thousands of files use it: what they look at does not depend on
// the disk, and fsync would be all they wait for.
func MemoryDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "nexus-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	return dir
}
