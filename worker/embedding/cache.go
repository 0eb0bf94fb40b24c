package embedding

import (
	"container/list"
	"sync"
)

// cacheBytes bounds the vectors that are kept.
const cacheBytes = 16 << 20

// key is a text in a space.
type key struct {
	space Space
	text  string
}

// cache keeps the vectors that were used last.
type cache struct {
	mu    sync.Mutex
	bytes int
	byKey map[key]*list.Element
	order *list.List // of *kept, the last used first
}

type kept struct {
	key    key
	vector []float32
}

func newCache() *cache { return &cache{byKey: map[key]*list.Element{}, order: list.New()} }

func (c *cache) get(k key) []float32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byKey[k]
	if e == nil {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(*kept).vector //nolint:forcetypeassert // the list holds nothing else
}

func (c *cache) put(k key, v []float32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byKey[k] != nil {
		return
	}
	c.byKey[k] = c.order.PushFront(&kept{k, v})
	c.bytes += size(k, v)
	for c.bytes > cacheBytes {
		last := c.order.Back()
		old := c.order.Remove(last).(*kept) //nolint:forcetypeassert // the list holds nothing else
		delete(c.byKey, old.key)
		c.bytes -= size(old.key, old.vector)
	}
}

func size(k key, v []float32) int { return len(k.text) + 4*len(v) }
