package s3_test

import (
	"fmt"
	"testing"

	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/storage/dir"
	"github.com/nexus-continuum/nexus/storage/storetest"
)

// BenchmarkUpload copies a whole checkpoint from a folder to an S3 server on
// this machine, which writes it to disk and checks its digests. ratio is against
// cp and sha256sum of the same bytes.
func BenchmarkUpload(b *testing.B) {
	g := startGateway(b)
	for _, lessons := range []int{15_000, 100_000} {
		b.Run(fmt.Sprint(lessons), func(b *testing.B) {
			parts := storetest.Learned(lessons)
			plain := storetest.CopyAndHash(b, parts)
			folder, err := dir.Open(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			from := storage.NewCheckpoints(folder, storage.Options{})
			m, err := from.Save(b.Context(), "", parts, storage.Meta{})
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(storetest.Size(parts))
			n := 0
			for b.Loop() {
				n++
				to := storage.NewCheckpoints(g.open(b, "uploads", fmt.Sprintf("%d-%d-%d", lessons, b.N, n)), storage.Options{})
				if err := from.CopyTo(b.Context(), to, m.ID); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/plain.Seconds(), "ratio")
		})
	}
}
