package s3_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/storage/storetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	g := startGateway(t)
	for _, prefix := range []string{"", "team/nexus"} {
		t.Run("prefix "+prefix, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			buckets := make(map[string]string)
			storetest.Run(t, func(t *testing.T, root string) storage.Store {
				mu.Lock()
				defer mu.Unlock()
				if buckets[root] == "" {
					buckets[root] = fmt.Sprintf("bucket-%d-%d", len(prefix), len(buckets))
				}
				return g.open(t, buckets[root], prefix)
			})
		})
	}
}
