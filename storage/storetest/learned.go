package storetest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/storage"
)

// Learned gives parts as that many lessons make them: weights that do not
// compress, vectors and texts in segments of 1000.
func Learned(lessons int) []storage.Part {
	r := rand.New(rand.NewPCG(1, 2))
	noise := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	parts := []storage.Part{{Name: "weights", Data: noise(16 << 20)}, {Name: "calibration", Data: noise(20_000)}}
	for s := range lessons / 1000 {
		var text []byte
		for i := range 1000 {
			text = fmt.Appendf(text, `{"prompt":"how can lesson %d be asked for in other words %d","response":"Answer %d: open the settings, choose the page %d and follow what it says."}`+"\n", s*1000+i, r.Uint32(), r.Uint32(), r.Uint32()%1000)
		}
		parts = append(parts,
			storage.Part{Name: fmt.Sprintf("lessons/%04d", s), Data: text},
			storage.Part{Name: fmt.Sprintf("vectors/%04d", s), Data: noise(1000 * 128 * 4)})
	}
	return parts
}

// Size is the bytes of all parts.
func Size(parts []storage.Part) int64 {
	var n int64
	for _, p := range parts {
		n += int64(len(p.Data))
	}
	return n
}

// CopyAndHash is the median time of cp and sha256sum over the same bytes in as
// many files, made durable as a save is.
func CopyAndHash(b *testing.B, parts []storage.Part) time.Duration {
	b.Helper()
	from, to := b.TempDir(), b.TempDir()
	for i, p := range parts {
		if err := os.WriteFile(filepath.Join(from, fmt.Sprint(i)), p.Data, 0o600); err != nil {
			b.Fatal(err)
		}
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
	slices.Sort(took)
	return took[len(took)/2]
}
