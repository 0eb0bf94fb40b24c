package storage_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/storage"
)

// lesson with an empty response is a taught refusal.
func lesson(prompt, response string) storage.Lesson {
	l := storage.Lesson{Prompt: prompt, Topic: "support"}
	if response != "" {
		l.Response = &response
	}
	return l
}

func teach(t testing.TB, b *bundle, lessons ...storage.Lesson) storage.Dataset {
	t.Helper()
	w := create(t, b, storage.DatasetMeta{Op: storage.OpTeach})
	for _, l := range lessons {
		if err := w.Add(l); err != nil {
			t.Fatal(err)
		}
	}
	ds, err := w.Commit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

func create(t testing.TB, b *bundle, meta storage.DatasetMeta) *storage.DatasetWriter {
	t.Helper()
	w, err := b.datasets.Create(t.Context(), meta)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestDatasetRoundTrip(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 3, 5000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			var want []storage.Lesson
			for i := range n {
				want = append(want, lesson(fmt.Sprintf("prompt %d <&> \u2028 \"x\"", i), strings.Repeat("answer ", i%5)))
			}
			w := create(t, b, storage.DatasetMeta{Op: storage.OpTeach, Topic: "support", Pack: "general_knowledge"})
			for _, l := range want {
				if err := w.Add(l); err != nil {
					t.Fatal(err)
				}
			}
			w.Meta().Faults = []job.Fault{{Line: 3, Code: job.CodeBadJSON, Detail: "no object"}}
			w.Meta().Lines = n + 1
			ds, err := w.Commit(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			header, got, err := b.again(t).datasets.Lessons(t.Context(), ds.ID)
			if err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(header) != fmt.Sprint(ds) || header.Lessons != n || header.Lines != n+1 || len(header.Faults) != 1 || header.Pack != "general_knowledge" {
				t.Errorf("header %+v, committed %+v", header, ds)
			}
			if len(got) != n {
				t.Fatalf("%d lessons, want %d", len(got), n)
			}
			for i, l := range got {
				if l.Prompt != want[i].Prompt || l.Topic != want[i].Topic || (l.Response == nil) != (want[i].Response == nil) ||
					l.Response != nil && *l.Response != *want[i].Response {
					t.Fatalf("lesson %d is %+v, want %+v", i, l, want[i])
				}
			}
			if wantZstd := n > 1000; wantZstd != (ds.Encoding == "zstd") || wantZstd && ds.Size > ds.Raw/4 {
				t.Errorf("%d lessons in %d bytes are stored as %s in %d", n, ds.Raw, ds.Encoding, ds.Size)
			}
		})
	}
}

func TestDatasetsAreOrdered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var want []string
	// A restart between, and in the end a newcomer whose clock would be behind.
	for i, c := range []*bundle{b, b, b.again(t), b} {
		want = append(want, teach(t, c, lesson("a", fmt.Sprint("x", i))).ID)
	}
	w := create(t, b, storage.DatasetMeta{Op: storage.OpForget, Topic: "support"})
	forget, err := w.Commit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, forget.ID)
	list, err := b.again(t).datasets.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, ds := range list {
		got = append(got, ds.ID)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("datasets are listed as\n%q, were made as\n%q", got, want)
	}
	if last := list[len(list)-1]; last.Op != storage.OpForget || last.Topic != "support" {
		t.Errorf("the last dataset is %+v, want the forget operation", last)
	}
	if err := b.datasets.Delete(t.Context(), want[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := b.datasets.Stat(t.Context(), want[0]); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("Stat of a deleted dataset = %v", err)
	}
}

// TestDatasetOfTheFuture: an id made by a host whose clock is ahead does not
// stand after what is taught later.
func TestDatasetOfTheFuture(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := teach(t, b, lesson("a", "x"))
	raw, err := os.ReadFile(b.path("datasets/" + first.ID))
	if err != nil {
		t.Fatal(err)
	}
	future := "f" + first.ID[1:]
	write(t, b.path("datasets/"+future), raw)
	if next := teach(t, b.again(t), lesson("a", "y")); next.ID <= future {
		t.Errorf("dataset %s sorts before %s, which was there first", next.ID, future)
	}
}

func TestAbortLeavesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := create(t, b, storage.DatasetMeta{Op: storage.OpTeach})
	for i := range 100_000 {
		if err := w.Add(lesson(fmt.Sprint("prompt ", i*7919), fmt.Sprint("answer ", i*104_729))); err != nil {
			t.Fatal(err)
		}
	}
	w.Abort()
	w.Abort()
	if files := b.files(t, ""); len(files) > 0 {
		t.Errorf("an aborted dataset left %q", files)
	}
	if err := w.Add(lesson("a", "b")); err == nil {
		t.Error("Add after Abort is taken")
	}
	if _, err := w.Commit(t.Context()); err == nil {
		t.Error("Commit after Abort is taken")
	}
}

func TestAddRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := create(t, b, storage.DatasetMeta{Op: storage.OpTeach})
	defer w.Abort()
	if err := w.Add(lesson("not \xff UTF-8", "x")); err == nil {
		t.Error("a prompt that is not UTF-8 is taken")
	}
	if err := w.Add(lesson("long", strings.Repeat("x", 2<<20))); !errors.Is(err, storage.ErrTooLarge) {
		t.Errorf("a response of 2 MiB = %v, want ErrTooLarge", err)
	}
	if w.Lessons() != 0 {
		t.Errorf("%d refused lessons were counted", w.Lessons())
	}
	if _, err := b.datasets.Create(t.Context(), storage.DatasetMeta{Op: "sing"}); err == nil {
		t.Error("an unknown operation is taken")
	}
}

// TestLargeDatasetNeedsLittleMemory writes and reads 96 MiB of lessons.
func TestLargeDatasetNeedsLittleMemory(t *testing.T) {
	b := setup(t)
	base := heap()
	peak := uint64(0)
	w := create(t, b, storage.DatasetMeta{Op: storage.OpTeach})
	answer := strings.Repeat("words of an answer that is rather long, ", 100)
	n := 0
	for raw := 0; raw < 96<<20; n++ {
		l := lesson(fmt.Sprint("prompt number ", n), answer)
		if err := w.Add(l); err != nil {
			t.Fatal(err)
		}
		raw += len(l.Prompt) + len(answer)
		if n%4000 == 0 {
			peak = max(peak, heap())
		}
	}
	ds, err := w.Commit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r, err := b.datasets.Open(t.Context(), ds.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	for read := 0; ; read++ {
		_, err := r.Next()
		if errors.Is(err, io.EOF) {
			if read != n {
				t.Errorf("%d lessons were read, %d written", read, n)
			}
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if read%4000 == 0 {
			peak = max(peak, heap())
		}
	}
	if grown := int64(peak) - int64(base); grown > 40<<20 {
		t.Errorf("96 MiB of lessons needed %d MiB of memory, want at most 40", grown>>20)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestManyWritersAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() { teach(t, b, lesson(fmt.Sprint(i), "x"), lesson("other", "y")) })
	}
	group.Wait()
	list, err := b.datasets.List(t.Context())
	if err != nil || len(list) != 8 {
		t.Fatalf("%d datasets, %v; want 8", len(list), err)
	}
}
