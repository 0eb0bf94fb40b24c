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
	after, err := parseRefusalPlace(cursor)
	if err != nil {
		return nil, "", err
	}
	all, err := q.refused(ctx, owner)
	if err != nil {
		return nil, "", err
	}
	page = []Refusal{}
	for _, g := range groupRefusals(all) {
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

// refused reads the refusals of the log, newest first, less those that are
// settled.
func (q *Queue) refused(ctx context.Context, owner *string) ([]job.Interaction, error) {
	rctx, cancel := q.patience(ctx)
	list, err := q.redis.ZRange(rctx, q.settledKey(), 0, -1).Result()
	cancel()
	if err != nil {
		return nil, unavailable("read settled refusals", err)
	}
	settled := make(map[string]bool, len(list))
	for _, key := range list {
		settled[key] = true
	}
	var all []job.Interaction
	err = q.eachRefusal(ctx, func(_ string, it job.Interaction) {
		if (owner == nil || it.Owner == *owner) && it.Reason != job.ReasonTaughtRefusal && !settled[refusalID(it)] {
			all = append(all, it)
		}
	})
	return all, err
}

// eachRefusal goes over the log of refusals, newest first.
func (q *Queue) eachRefusal(ctx context.Context, yield func(entry string, it job.Interaction)) error {
	// In pages, so that no single exchange outlasts its patience.
	for top := "+"; ; {
		rctx, cancel := q.patience(ctx)
		entries, err := q.redis.XRevRangeN(rctx, q.refusalKey(), top, "-", 2000).Result()
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
			g = &Refusal{ID: refusalID(it), Prompt: it.Prompt, Topic: it.Topic, Reason: it.Reason, LastAt: it.At, Variants: []string{}}
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
