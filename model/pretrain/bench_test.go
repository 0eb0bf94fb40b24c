package pretrain

import (
	"compress/gzip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/model/kernel"
)

// BenchmarkStep takes one gradient step of 1024 pairs at each size, on the folder
// base/ of NEXUS_BENCH_DATA. What a base is worth is measured in package base.
func BenchmarkStep(b *testing.B) {
	dir := os.Getenv("NEXUS_BENCH_DATA")
	if dir == "" {
		b.Skip("set NEXUS_BENCH_DATA to the folder that holds base/")
	}
	for _, size := range []struct {
		name         string
		dim, buckets int
	}{{"small", 128, 1 << 15}, {"base", 256, 1 << 16}} {
		b.Run(size.name, func(b *testing.B) {
			const batch = 1024
			tr, err := New(readFolder(b, filepath.Join(dir, "base"), size.buckets), Options{
				Dim: size.dim, Buckets: size.buckets, Steps: b.N, Batch: batch, Rate: 8e-3, Seed: 1, Gemm: kernel.NewBLAS(),
			})
			if err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			began := time.Now()
			if err := tr.Run(b.Context(), nil); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N*batch)/time.Since(began).Seconds(), "pairs/s")
		})
	}
}

func readFolder(b *testing.B, dir string, buckets int) *Corpus {
	b.Helper()
	c := NewCorpus(buckets)
	files, err := filepath.Glob(filepath.Join(dir, "*.gz"))
	if err != nil || len(files) == 0 {
		b.Fatalf("no sources in %s: %v", dir, err)
	}
	for _, name := range files {
		form, _ := FormOf(filepath.Base(name))
		file, err := os.Open(name)
		if err != nil {
			b.Fatal(err)
		}
		z, err := gzip.NewReader(file)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.Add(filepath.Base(name), form, z); err != nil {
			b.Fatal(err)
		}
		file.Close()
	}
	return c
}
