package main

import (
	"context"
	"sync"
)

// background is what goes on between the start and the stop of a part.
type background struct {
	mu     sync.Mutex
	cancel context.CancelFunc
	loops  sync.WaitGroup
}

// start calls begin, the first time only, with a context that ends with Stop and
// the group for its loops.
func (b *background) start(ctx context.Context, begin func(life context.Context, loops *sync.WaitGroup)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cancel != nil {
		return
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	b.cancel = cancel
	begin(life, &b.loops)
}

// Stop ends the loops and waits for them.
func (b *background) Stop(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cancel != nil {
		b.cancel()
		b.loops.Wait()
	}
	return nil
}
