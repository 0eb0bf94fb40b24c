package storage_test

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/storage"
)

// learned gives parts as 15 000 lessons make them, about 30 MB: weights and
// their optimiser that do not compress, vectors and texts in segments of 1000.
func learned() []storage.Part {
	r := rand.New(rand.NewPCG(1, 2))
	floats := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	parts := []storage.Part{{Name: "weights", Data: floats(16 << 20)}, {Name: "calibration", Data: floats(20_000)}}
	for s := range 15 {
		var text []byte
		for i := range 1000 {
			text = fmt.Appendf(text, `{"prompt":"how can lesson %d be asked for in other words %d","response":"Answer %d: open the settings, choose the page %d and follow what it says."}`+"\n", s*1000+i, r.Uint32(), r.Uint32(), r.Uint32()%1000)
		}
		parts = append(parts,
			storage.Part{Name: fmt.Sprintf("lessons/%04d", s), Data: text},
			storage.Part{Name: fmt.Sprintf("vectors/%04d", s), Data: floats(1000 * 128 * 4)})
	}
	return parts
}

func size(parts []storage.Part) int64 {
	var n int64
	for _, p := range parts {
		n += int64(len(p.Data))
	}
	return n
}

// BenchmarkSave saves everything anew. ratio is against cp and sha256sum of the
// same bytes, made durable as a save is (sync).
func BenchmarkSave(b *testing.B) {
	parts := learned()
	plain := reference(b, parts)
	b.SetBytes(size(parts))
	for b.Loop() {
		b.StopTimer()
		s := setupAt(b, filepath.Join(b.TempDir(), "nexus_checkpoints"))
		b.StartTimer()
		s.save(b, "", storage.Meta{}, parts...)
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/plain.Seconds(), "ratio")
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
	parts := learned()
	plain := reference(b, parts)
	s := setupAt(b, filepath.Join(b.TempDir(), "nexus_checkpoints"))
	s.save(b, "", storage.Meta{}, parts...)
	b.SetBytes(size(parts))
	for b.Loop() {
		s.again(b).latest(b)
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/plain.Seconds(), "ratio")
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

// reference is the median time of cp and sha256sum over the same bytes in as
// many files, with a sync of the folder.
func reference(b *testing.B, parts []storage.Part) time.Duration {
	b.Helper()
	from, to := b.TempDir(), b.TempDir()
	for i, p := range parts {
		write(b, filepath.Join(from, fmt.Sprint(i)), p.Data)
	}
	var took []time.Duration
	for i := range 5 {
		began := time.Now()
		script := fmt.Sprintf("cp -r %s %s/%d && cd %s/%d && sync * && sha256sum * >sums && sync sums .", from, to, i, to, i)
		if out, err := exec.CommandContext(b.Context(), "sh", "-c", script).CombinedOutput(); err != nil {
			b.Fatalf("%s: %v\n%s", script, err, out)
		}
		took = append(took, time.Since(began))
	}
	return median(took)
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
