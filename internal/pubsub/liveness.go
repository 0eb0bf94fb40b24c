package pubsub

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// AskNodes is what AliveChannel returns on a Cluster, in place of a channel. A script
// cannot count listeners there: each node knows only its own. Unheard asks all nodes,
// between two scripts.
const AskNodes = "nodes"

// AliveChannel returns channel if its number of listeners (PUBSUB NUMSUB) now says
// whether the process that listens to it is alive, and AskNodes if only all nodes
// together know that number. It returns "" if the number says nothing: shortly after a
// Redis outage all processes reconnect.
func (b *Bus) AliveChannel(channel string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if channel == "" || !b.renewed.IsZero() && time.Since(b.renewed) < settleTime {
		return ""
	}
	if _, cluster := b.redis.(*redis.ClusterClient); cluster {
		return AskNodes
	}
	return channel
}

// Unheard returns those of channels that have no listener on any node of a Cluster. The
// process itself must listen to own. Unheard returns none if a node does not answer, if
// own has no listener either, or if Redis is no Cluster.
func (b *Bus) Unheard(ctx context.Context, own string, channels []string) []string {
	cluster, ok := b.redis.(*redis.ClusterClient)
	if !ok || len(channels) == 0 || b.AliveChannel(own) == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	var mu sync.Mutex
	listeners := map[string]int64{}
	err := cluster.ForEachShard(ctx, func(ctx context.Context, node *redis.Client) error {
		found, err := node.PubSubNumSub(ctx, append(slices.Clone(channels), own)...).Result()
		mu.Lock()
		defer mu.Unlock()
		for channel, n := range found {
			listeners[channel] += n
		}
		return err
	})
	if err != nil || listeners[own] == 0 {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(channels), func(c string) bool { return listeners[c] > 0 })
}
