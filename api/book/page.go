package book

import (
	"cmp"
	"container/heap"
	"encoding/base64"
	"slices"
	"strings"

	"github.com/nexus-continuum/nexus/job"
)

// headBytes is how much of a text orders a list; ids break ties.
const headBytes = 64

// place is where an item stands in a list.
type place struct{ topic, head, id string }

func (p place) compare(q place) int {
	return cmp.Or(strings.Compare(p.topic, q.topic), strings.Compare(p.head, q.head), strings.Compare(p.id, q.id))
}

func (p place) cursor() string {
	return base64.RawURLEncoding.EncodeToString([]byte(p.topic + "\x00" + p.head + "\x00" + p.id))
}

func parseCursor(s string) (place, error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	parts := strings.Split(string(b), "\x00")
	if err != nil || len(parts) != 3 {
		return place{}, job.Errorf(job.CodeInvalid, "the cursor is not one that a list returned").On("cursor")
	}
	return place{parts[0], parts[1], parts[2]}, nil
}

// page keeps the first items behind a cursor of those that are offered, in a
// heap with the last of them on top. So a page costs one pass and no sorting of
// everything.
type page[T any] struct {
	after *place
	limit int
	items placedHeap[T]
	head  []byte
}

type placed[T any] struct {
	place
	item T
}

type placedHeap[T any] []placed[T]

func (h placedHeap[T]) Len() int           { return len(h) }
func (h placedHeap[T]) Less(i, j int) bool { return h[i].compare(h[j].place) > 0 }
func (h placedHeap[T]) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *placedHeap[T]) Push(x any)        { *h = append(*h, x.(placed[T])) } //nolint:forcetypeassert // only offer pushes
func (h *placedHeap[T]) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}

func newPage[T any](q Query) (*page[T], error) {
	p := &page[T]{limit: max(q.Limit, 1)}
	if q.Cursor != "" {
		after, err := parseCursor(q.Cursor)
		if err != nil {
			return nil, err
		}
		p.after = &after
	}
	return p, nil
}

// offer considers an item. The id is asked for only where it decides.
func (p *page[T]) offer(topic, text string, id func() string, item T) {
	p.head = fold(p.head[:0], text[:min(len(text), headBytes)])
	at := place{topic: topic}
	versus := func(q place) int {
		if c := strings.Compare(topic, q.topic); c != 0 {
			return c
		}
		if c := strings.Compare(string(p.head), q.head); c != 0 {
			return c
		}
		if at.id == "" {
			at.id = id()
		}
		return strings.Compare(at.id, q.id)
	}
	if p.after != nil && versus(*p.after) <= 0 {
		return
	}
	// One more than the page holds tells that another page follows.
	if len(p.items) > p.limit && versus(p.items[0].place) >= 0 {
		return
	}
	if at.id == "" {
		at.id = id()
	}
	at.head = string(p.head)
	heap.Push(&p.items, placed[T]{at, item})
	if len(p.items) > p.limit+1 {
		heap.Pop(&p.items)
	}
}

// done returns the page in order, and the cursor of the next if there is one.
func (p *page[T]) done() (items []placed[T], next string) {
	items = p.items
	slices.SortFunc(items, func(a, b placed[T]) int { return a.compare(b.place) })
	if len(items) > p.limit {
		items = items[:p.limit]
		next = items[p.limit-1].cursor()
	}
	return items, next
}
