package storage_test

import (
	"flag"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/storage/storetest"
)

// lessonCounts are the sizes at which checkpoints are measured.
var lessonCounts = []int{15_000, 100_000}

// learned are the parts at the size of the other benchmarks.
func learned() []storage.Part { return storetest.Learned(15_000) }

// BenchmarkSave saves everything anew. ratio is against cp and sha256sum of the
// same bytes, made durable as a save is (sync).
func BenchmarkSave(b *testing.B) {
	for _, lessons := range lessonCounts {
		b.Run(fmt.Sprint(lessons), func(b *testing.B) {
			parts := storetest.Learned(lessons)
			plain := storetest.CopyAndHash(b, parts)
			b.SetBytes(storetest.Size(parts))
			for b.Loop() {
				b.StopTimer()
				s := setupAt(b, filepath.Join(b.TempDir(), "nexus_checkpoints"))
				b.StartTimer()
				s.save(b, "", storage.Meta{}, parts...)
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/plain.Seconds(), "ratio")
		})
	}
}

// BenchmarkSaveChange saves after 100 new lessons: one segment of texts and one
// of vectors are new.
func BenchmarkSaveChange(b *testing.B) {
	parts := learned()
	s := setupAt(b, filepath.Join(b.TempDir(), "nexus_checkpoints"))
	m := s.save(b, "", storage.Meta{}, parts...)
	var wrote int64
	n := 0
	for b.Loop() {
		n++
		parts[2] = storage.Part{Name: parts[2].Name, Data: append(parts[2].Data[:100_000:100_000], fmt.Sprint("more ", n)...)}
		parts[3] = storage.Part{Name: parts[3].Name, Data: append(parts[3].Data[:51_200:51_200], fmt.Sprint("more ", n)...)}
		next := s.save(b, m.ID, storage.Meta{}, parts...)
		known := map[string]bool{}
		for _, p := range m.Parts {
			known[p.Stored.SHA256] = true
		}
		for _, p := range next.Parts {
			if !known[p.Stored.SHA256] {
				wrote += p.Stored.Size
			}
		}
		m = next
	}
	b.ReportMetric(100*float64(wrote)/float64(b.N)/float64(m.StoredBytes()), "%written")
}

// BenchmarkLoad reads and verifies everything.
func BenchmarkLoad(b *testing.B) {
	for _, lessons := range lessonCounts {
		b.Run(fmt.Sprint(lessons), func(b *testing.B) {
			parts := storetest.Learned(lessons)
			plain := storetest.CopyAndHash(b, parts)
			s := setupAt(b, filepath.Join(b.TempDir(), "nexus_checkpoints"))
			s.save(b, "", storage.Meta{}, parts...)
			b.SetBytes(storetest.Size(parts))
			for b.Loop() {
				s.again(b).latest(b)
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/plain.Seconds(), "ratio")
		})
	}
}

// BenchmarkHead is what each process does every two seconds.
func BenchmarkHead(b *testing.B) {
	s := setupAt(b, filepath.Join(b.TempDir(), "nexus_checkpoints"))
	s.chain(b, 1)
	for b.Loop() {
		if _, err := s.checkpoints.Head(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTeachOne is the storage's share of teaching one lesson.
func BenchmarkTeachOne(b *testing.B) {
	s := setupAt(b, filepath.Join(b.TempDir(), "nexus_checkpoints"))
	for b.Loop() {
		teach(b, s, lesson("how do i reset my password", "Open Settings, then Security."))
	}
}

var listed = flag.Int("list.datasets", 5_000, "how many datasets the long log of BenchmarkListDatasets has")

// BenchmarkListDatasets lists the ids of many lessons that were taught one by one,
// single and put together.
func BenchmarkListDatasets(b *testing.B) {
	for _, n := range []int{1_000, *listed} {
		s := setup(b)
		learned := make(storage.Lineage, n)
		for i := range learned {
			learned[i] = teach(b, s, lesson("prompt", "response")).ID
		}
		s.clock.pass(2 * time.Hour)
		list := func(b *testing.B) {
			for b.Loop() {
				if ids, err := s.datasets.IDs(b.Context()); err != nil || len(ids) != n {
					b.Fatalf("%d datasets, %v", len(ids), err)
				}
				if _, err := s.datasets.SingleIDs(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.Run(fmt.Sprint(n, "/single"), list)
		s.compact(b, learned, 0)
		b.Run(fmt.Sprint(n, "/compacted"), list)
	}
}
