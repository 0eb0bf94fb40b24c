package scheduler

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/telemetry/interaction"
)

// TestCountsOutliveRedis: how often lessons answered and the runs of the checks come
// back after Redis lost all of its data, with what was counted since.
func TestCountsOutliveRedis(t *testing.T) {
	eachMode(t, func(b *bundle) {
		kept := storage.NewUsage(b.store, nil)
		s := b.scheduler(func(o *Options) { o.Usage = kept })
		look := func() {
			b.Helper()
			if err := s.usage(b.ctx); err != nil {
				b.Fatal(err)
			}
		}
		count := func(n int64) {
			b.Helper()
			err := b.interactions.RestoreUsage(b.ctx, interaction.Usage{
				Lessons: map[string][2]int64{"a": {n, 1000 + n}, "b": {1, 0}}, Runs: []json.RawMessage{json.RawMessage(`{"id":"run"}`)},
			})
			if err != nil {
				b.Fatal(err)
			}
		}
		look() // a Redis that is new
		count(3)
		look()
		if err := b.provided.Client().FlushAll(b.ctx).Err(); err != nil {
			b.Fatal(err)
		}
		// Another leads: what this one copied last is not known to it.
		s = b.scheduler(func(o *Options) { o.Usage = kept })
		look()
		count(2)
		hits, err := b.interactions.HitsOf(b.ctx, []string{"a"}, []string{"b"})
		if err != nil || hits[0] != (interaction.Hits{Count: 5, LastAt: 1003}) || hits[1].Count != 2 {
			b.Errorf("after the loss %+v are counted, %v", hits, err)
		}
		if n, err := b.provided.Client().LLen(b.ctx, b.interactions.RunsKey()).Result(); err != nil || n != 2 {
			b.Errorf("%d runs of the checks, %v; want the one of before and the one since", n, err)
		}
		look()
		if raw, err := kept.Read(b.ctx); err != nil || !json.Valid(raw) {
			b.Errorf("the copy is %q, %v", raw, err)
		}
	})
}

// TestADamagedCopyOfTheCountsIsReplaced: it is said, and counting goes on.
func TestADamagedCopyOfTheCountsIsReplaced(t *testing.T) {
	eachMode(t, func(b *bundle) {
		if _, err := b.store.Swap(b.ctx, storage.UsageKey, storage.Absent, []byte("{}")); err != nil {
			b.Fatal(err)
		}
		kept := storage.NewUsage(b.store, nil)
		if _, err := kept.Read(b.ctx); !errors.Is(err, storage.ErrCorrupt) {
			b.Fatalf("reading a damaged copy: %v", err)
		}
		s := b.scheduler(func(o *Options) { o.Usage = kept })
		for range 2 {
			if err := s.usage(b.ctx); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := kept.Read(b.ctx); err != nil {
			b.Errorf("the copy after it: %v", err)
		}
	})
}
