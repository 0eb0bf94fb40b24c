package interaction

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/nexus-continuum/nexus/job"
)

// Refusal is a group of nearly equal refused prompts.
type Refusal struct {
	ID           string    `json:"id"`
	Prompt       string    `json:"prompt"` // the most recent one
	Topic        string    `json:"topic,omitempty"`
	Reason       string    `json:"reason"`
	Count        int       `json:"count"`
	LastAt       *job.Time `json:"last_at"`
	Interactions []string  `json:"interactions"` // the most recent, up to ten
	Variants     []string  `json:"variants"`     // other wordings, up to ten

	// Last is the latest interaction of the leading wording.
	Last job.Interaction `json:"-"`
}

const (
	refusalPage     = 50
	refusalVariants = 10
)

// Keep reports for each group whether it belongs in the list.
type Keep func([]Refusal) []bool

// Refusals lists the refused prompts of the log in groups of near duplicates, most
// frequent first. owner, if not nil, selects one owner's prompts. keep filters the
// groups; nil keeps all. next is the cursor of the next page, empty at the end of the
// list. Errors: CodeInvalid (cursor), CodeUnavailable.
func (log *Log) Refusals(ctx context.Context, owner *string, cursor string, keep Keep) (page []Refusal, next string, err error) {
	return log.Grouped(ctx, ListRefused, owner, cursor, keep)
}

// Grouped is Refusals for any list of the log.
func (log *Log) Grouped(ctx context.Context, list List, owner *string, cursor string, keep Keep) (page []Refusal, next string, err error) {
	after, err := parseRefusalPlace(cursor)
	if err != nil {
		return nil, "", err
	}
	first := cursor == ""
	page = []Refusal{}
	for {
		some, err := log.groupsAfter(ctx, list, owner, after, first)
		if err != nil {
			return nil, "", err
		}
		if len(some) == 0 {
			return page, "", ctx.Err()
		}
		after, first = some[len(some)-1].place(), false
		wanted := make([]bool, len(some))
		if keep != nil {
			wanted = keep(some)
		}
		for i, g := range some {
			if keep != nil && !wanted[i] {
				continue
			}
			if len(page) == refusalPage {
				return page, page[refusalPage-1].place().String(), ctx.Err()
			}
			page = append(page, g)
		}
	}
}

// groupsAfter returns the groups that follow a place: a page plus one.
func (log *Log) groupsAfter(ctx context.Context, list List, owner *string, after refusalPlace, first bool) ([]Refusal, error) {
	book := log.book(list)
	book.mu.Lock()
	defer book.mu.Unlock()
	if err := log.follow(ctx, list, book); err != nil {
		return nil, err
	}
	return book.ledger.after(after, first, owner), nil
}

// best keeps the first elements of many, in order.
type best[T any] struct {
	most    int
	compare func(a, b T) int
	items   []T
}

// add reports whether v is among the first.
func (b *best[T]) add(v T) bool {
	if len(b.items) == b.most && b.compare(v, b.items[b.most-1]) >= 0 {
		return false
	}
	i, _ := slices.BinarySearchFunc(b.items, v, b.compare)
	b.items = slices.Insert(b.items, i, v)
	b.items = b.items[:min(len(b.items), b.most)]
	return true
}

// count returns how many entries of a wording belong to the owner, and the time of the
// last.
func (w *wording) count(owner *string) (n int, at int64) {
	if owner == nil {
		if n = len(w.entries); n > 0 {
			at = w.entries[n-1].at
		}
		return n, at
	}
	for i := range w.entries {
		if w.entries[i].owner == *owner {
			n, at = n+1, w.entries[i].at
		}
	}
	return n, at
}

// count computes the place of a group in the list of an owner; false if it has none.
func count(g *group, owner *string) (refusalPlace, bool) {
	var p refusalPlace
	most := 0
	for _, w := range g.wordings {
		if w.hidden {
			continue
		}
		n, at := w.count(owner)
		if n == 0 {
			continue
		}
		p.count += n
		p.at = max(p.at, at)
		if n > most || n == most && w.id < p.id {
			most, p.id = n, w.id
		}
	}
	return p, p.count > 0
}

// show describes a group for its owner.
func (l *ledger) show(g *group, owner *string) Refusal {
	s := l.position(g, owner)
	if s.shown != nil {
		return *s.shown
	}
	lead := l.byID[s.id]
	last := lead.newest(owner)
	out := Refusal{ID: s.id, Prompt: last.Prompt, Topic: last.Topic, Reason: last.Reason, Count: s.count, Variants: []string{}, Last: last}
	if s.at > 0 {
		out.LastAt = job.At(time.UnixMilli(s.at))
	}
	newest := best[*lineEntry]{most: refusalVariants, compare: func(a, b *lineEntry) int { return b.compare(a.ms, a.seq) }}
	others := best[*wording]{most: refusalVariants, compare: func(a, b *wording) int {
		an, _ := a.count(owner)
		bn, _ := b.count(owner)
		return cmp.Or(cmp.Compare(bn, an), cmp.Compare(a.id, b.id))
	}}
	for _, w := range g.wordings {
		if n, _ := w.count(owner); n == 0 || w.hidden {
			continue
		}
		for i := len(w.entries) - 1; i >= 0; i-- {
			if e := &w.entries[i]; (owner == nil || e.owner == *owner) && !newest.add(e) {
				break
			}
		}
		if w != lead {
			others.add(w)
		}
	}
	for _, e := range newest.items {
		out.Interactions = append(out.Interactions, e.id)
	}
	for _, w := range others.items {
		out.Variants = append(out.Variants, w.newest(owner).Prompt)
	}
	s.shown = &out
	return out
}

// newest returns the latest interaction of a wording.
func (w *wording) newest(owner *string) job.Interaction {
	for i := len(w.entries) - 1; i >= 0; i-- {
		if e := &w.entries[i]; owner == nil || e.owner == *owner {
			if it := w.last(e.owner); it != nil {
				return *it
			}
		}
	}
	return job.Interaction{}
}
