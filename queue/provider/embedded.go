package provider

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// forward is how often the embedded Redis lets time pass for its keys.
const forward = 100 * time.Millisecond

func startEmbedded(_ context.Context, opt Options) (*Provider, error) {
	m := miniredis.NewMiniRedis()
	// It listens on loopback, which every user of the machine can reach.
	secret := rand.Text()
	m.RequireAuth(secret)
	if err := m.Start(); err != nil {
		return nil, fmt.Errorf("start the embedded Redis: %w", err)
	}
	t := Target{opt: redis.UniversalOptions{Addrs: []string{m.Addr()}, Password: secret}}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		passTime(m, quit)
	}()
	return &Provider{
		describe: "embedded in this process; jobs do not outlive it",
		connect:  func() redis.UniversalClient { return t.connect(opt) },
		client:   t.connect(opt),
		stop: func(context.Context) error {
			close(quit)
			<-done
			m.Close()
			return nil
		},
	}, nil
}

// passTime lets keys expire, which miniredis does only on demand.
func passTime(m *miniredis.Miniredis, quit <-chan struct{}) {
	t := time.NewTicker(forward)
	defer t.Stop()
	last := time.Now()
	for {
		select {
		case now := <-t.C:
			m.FastForward(now.Sub(last))
			last = now
		case <-quit:
			return
		}
	}
}
