package gather_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nexus-continuum/nexus/telemetry/heartbeat/gather"
)

// Who shows what was counted misses nothing, and the order stays.
func TestAllIsCountedOnceAndInOrder(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 63, 64, 65, 1000} {
		var got, want []int
		b := gather.New(func(events []int) { got = append(got, events...) })
		for i := range n {
			b.Add(i)
			want = append(want, i)
		}
		b.Count()
		b.Count()
		if !slices.Equal(got, want) {
			t.Errorf("of %d events %d were counted: %v", n, len(got), got)
		}
	}
}

func TestManyAddWhileOthersRead(t *testing.T) {
	t.Parallel()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "things_total", Help: "Things."})
	b := gather.New(func(events []int) {
		for _, e := range events {
			counter.Add(float64(e))
		}
	})
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(b.Collector(counter))
	shown := func() float64 {
		families, err := registry.Gather()
		if err != nil {
			t.Error(err)
			return -1
		}
		return families[0].GetMetric()[0].GetCounter().GetValue()
	}
	const adders, each = 8, 1003
	var wg sync.WaitGroup
	for range adders {
		wg.Go(func() {
			last := 0.0
			for i := range each {
				b.Add(1)
				if i%100 == 0 {
					now := shown()
					if now < max(last, float64(i)) {
						t.Errorf("%v shown after %v and %d of one's own", now, last, i)
					}
					last = now
				}
			}
		})
	}
	wg.Wait()
	if got := shown(); got != adders*each {
		t.Errorf("%v counted, want %d", got, adders*each)
	}
}
