package queue

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"
	"unicode"

	"github.com/nexus-continuum/nexus/job"
)

// Refusal is a group of refused prompts that are nearly the same.
type Refusal struct {
	ID           string    `json:"id"`
	Prompt       string    `json:"prompt"` // the most recent one
	Topic        string    `json:"topic,omitempty"`
	Reason       string    `json:"reason"`
	Count        int       `json:"count"`
	LastAt       *job.Time `json:"last_at"`
	Interactions []string  `json:"interactions"` // the most recent, up to ten
	Variants     []string  `json:"variants"`     // other wordings, up to ten

	// Last is the most recent interaction of the group.
	Last job.Interaction `json:"-"`

	joined []string // ids of the wordings that were joined to it
}

const (
	refusalPage     = 50
	refusalVariants = 10
	// nearDuplicate is the share of common character trigrams (Jaccard) from
	// which two prompts count as one.
	nearDuplicate = 0.6
	// maxGroups bounds the work of comparing; rarer wordings stay by themselves.
	maxGroups = 5000
)

// Refusals lists the refused prompts of the log, most frequent first, near
// duplicates together; owner, if not nil, is whose prompts. Groups that keep does
// not want are left out; nil wants all. next continues the list and is empty at
// its end.
func (q *Queue) Refusals(ctx context.Context, owner *string, cursor string, keep func(*Refusal) bool) (page []Refusal, next string, err error) {
	return q.Grouped(ctx, ListRefused, owner, cursor, keep)
}

// Grouped is Refusals for any list of the log.
func (q *Queue) Grouped(ctx context.Context, list List, owner *string, cursor string, keep func(*Refusal) bool) (page []Refusal, next string, err error) {
	after, err := parseRefusalPlace(cursor)
	if err != nil {
		return nil, "", err
	}
	all, err := q.unsettled(ctx, list, owner)
	if err != nil {
		return nil, "", err
	}
	page = []Refusal{}
	for _, g := range groupList(all) {
		if cursor != "" && g.place().compare(after) <= 0 || ctx.Err() != nil {
			continue
		}
		if keep != nil && !keep(&g) {
			continue
		}
		if len(page) == refusalPage {
			return page, page[refusalPage-1].place().String(), ctx.Err()
		}
		page = append(page, g)
	}
	return page, "", ctx.Err()
}

// unsettled reads a list of the log, newest first, less what is settled.
func (q *Queue) unsettled(ctx context.Context, list List, owner *string) ([]job.Interaction, error) {
	rctx, cancel := q.patience(ctx)
	done, err := q.redis.ZRange(rctx, q.settledKey(), 0, -1).Result()
	cancel()
	if err != nil {
		return nil, unavailable("read settled refusals", err)
	}
	settled := make(map[string]bool, len(done))
	for _, key := range done {
		settled[key] = true
	}
	var all []job.Interaction
	err = q.each(ctx, list, func(_ string, it job.Interaction) {
		if (owner == nil || it.Owner == *owner) && it.Reason != job.ReasonTaughtRefusal && !settled[refusalID(it)] {
			all = append(all, it)
		}
	})
	return all, err
}

// each goes over a list of the log, newest first.
func (q *Queue) each(ctx context.Context, list List, yield func(entry string, it job.Interaction)) error {
	// In pages, so that no single exchange outlasts its patience.
	for top := "+"; ; {
		rctx, cancel := q.patience(ctx)
		entries, err := q.redis.XRevRangeN(rctx, q.listKey(list), top, "-", 2000).Result()
		cancel()
		if err != nil {
			return unavailable("read refusals", err)
		}
		for _, e := range entries {
			id, _ := e.Values["id"].(string)
			s, _ := e.Values["v"].(string)
			it, err := decodeLine(id, s)
			if err != nil {
				return fmt.Errorf("read refusals: entry %s: %w", e.ID, err)
			}
			yield(e.ID, it)
		}
		if len(entries) < 2000 {
			return nil
		}
		top = "(" + entries[len(entries)-1].ID
	}
}

// groupList groups a list of the log by falling count. Prompts that were answered
// differently by the most recent answers are never one group, however alike.
func groupList(all []job.Interaction) []Refusal {
	given := map[string]string{} // by wording: the most recent response
	var order []string
	by := map[string][]job.Interaction{}
	for _, it := range all { // newest first
		response, ok := given[refusalGroup(it)]
		if !ok {
			if it.Responded {
				response = "=" + it.Response
			}
			given[refusalGroup(it)] = response
		}
		if by[response] == nil {
			order = append(order, response)
		}
		by[response] = append(by[response], it)
	}
	var out []Refusal
	for _, response := range order {
		out = append(out, groupRefusals(by[response])...)
	}
	if len(order) > 1 {
		slices.SortFunc(out, func(a, b Refusal) int { return a.place().compare(b.place()) })
	}
	return out
}

// groupRefusals takes refusals newest first and returns groups by falling
// count. Same words in the same order are one group; then smaller groups join
// a larger one that they share enough trigrams with.
func groupRefusals(all []job.Interaction) []Refusal {
	exact := map[string]*Refusal{}
	var order []*Refusal
	keys := map[*Refusal]string{}
	for _, it := range all {
		key := refusalGroup(it)
		g := exact[key]
		if g == nil {
			g = &Refusal{ID: refusalID(it), Prompt: it.Prompt, Topic: it.Topic, Reason: it.Reason, LastAt: it.At, Variants: []string{}, Last: it}
			exact[key] = g
			keys[g] = key
			order = append(order, g)
		}
		g.Count++
		if len(g.Interactions) < refusalVariants {
			g.Interactions = append(g.Interactions, it.ID)
		}
	}
	sort.SliceStable(order, func(i, j int) bool { return order[i].Count > order[j].Count })
	var out []*Refusal
	index := map[string][]int{} // trigram → groups in out that have it
	sizes := []int{}
	for n, g := range order {
		if n >= maxGroups {
			out = append(out, g)
			continue
		}
		grams := trigrams(keys[g])
		if near := nearest(grams, index, sizes); near >= 0 {
			out[near].join(g)
			continue
		}
		for t := range grams {
			index[t] = append(index[t], len(out))
		}
		sizes = append(sizes, len(grams))
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, b *Refusal) int { return a.place().compare(b.place()) })
	flat := make([]Refusal, len(out))
	for i, g := range out {
		flat[i] = *g
	}
	return flat
}

func (r *Refusal) join(o *Refusal) {
	r.joined = append(r.joined, o.ID)
	r.Count += o.Count
	r.Interactions = append(r.Interactions, o.Interactions...)
	r.Interactions = r.Interactions[:min(len(r.Interactions), refusalVariants)]
	if len(r.Variants) < refusalVariants {
		r.Variants = append(r.Variants, o.Prompt)
	}
	if r.LastAt == nil || o.LastAt != nil && o.LastAt.After(r.LastAt.Time) {
		r.LastAt = o.LastAt
	}
}

// nearest returns the group that shares most trigrams, if enough; else -1.
func nearest(grams map[string]struct{}, index map[string][]int, sizes []int) int {
	common := map[int]int{}
	for t := range grams {
		for _, g := range index[t] {
			common[g]++
		}
	}
	best, at := 0.0, -1
	for g, n := range common {
		share := float64(n) / float64(len(grams)+sizes[g]-n)
		if share >= nearDuplicate && (share > best || share == best && g < at) {
			best, at = share, g
		}
	}
	return at
}

// plainWords drops case and punctuation.
func plainWords(s string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(s), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}), " ")
}

func trigrams(s string) map[string]struct{} {
	r := []rune(" " + s + " ")
	out := make(map[string]struct{}, len(r))
	for i := 0; i+3 <= len(r); i++ {
		out[string(r[i:i+3])] = struct{}{}
	}
	return out
}
