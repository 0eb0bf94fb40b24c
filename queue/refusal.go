package queue

import (
	"context"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"unicode"

	"github.com/nexus-continuum/nexus/job"
)

// Refusal is a group of refused prompts that are nearly the same.
type Refusal struct {
	Prompt       string    `json:"prompt"` // the most recent one
	Topic        string    `json:"topic,omitempty"`
	Reason       string    `json:"reason"`
	Count        int       `json:"count"`
	LastAt       *job.Time `json:"last_at"`
	Interactions []string  `json:"interactions"` // the most recent, up to ten
	Variants     []string  `json:"variants"`     // other wordings, up to ten
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
// duplicates together; owner, if not nil, is whose prompts. next continues the list and is empty at its end.
func (q *Queue) Refusals(ctx context.Context, owner *string, cursor string) (page []Refusal, next string, err error) {
	from := 0
	if cursor != "" {
		if from, err = strconv.Atoi(cursor); err != nil || from < 0 {
			return nil, "", job.Errorf(job.CodeInvalid, "the cursor is not one that a list returned").On("cursor")
		}
	}
	var all []job.Interaction
	// In pages, newest first, so that no single exchange outlasts its patience.
	for top := "+"; ; {
		rctx, cancel := q.patience(ctx)
		entries, err := q.redis.XRevRangeN(rctx, q.refusalKey(), top, "-", 2000).Result()
		cancel()
		if err != nil {
			return nil, "", unavailable("read refusals", err)
		}
		for _, e := range entries {
			id, _ := e.Values["id"].(string)
			s, _ := e.Values["v"].(string)
			it, err := decodeLine(id, s)
			if err != nil {
				return nil, "", fmt.Errorf("read refusals: entry %s: %w", e.ID, err)
			}
			if owner == nil || it.Owner == *owner {
				all = append(all, it)
			}
		}
		if len(entries) < 2000 {
			break
		}
		top = "(" + entries[len(entries)-1].ID
	}
	groups := groupRefusals(all)
	if from >= len(groups) {
		return []Refusal{}, "", nil
	}
	to := min(from+refusalPage, len(groups))
	if to < len(groups) {
		next = strconv.Itoa(to)
	}
	return groups[from:to], next, nil
}

// groupRefusals takes refusals newest first and returns groups by falling
// count. Same words in the same order are one group; then smaller groups join
// a larger one that they share enough trigrams with.
func groupRefusals(all []job.Interaction) []Refusal {
	exact := map[string]*Refusal{}
	var order []*Refusal
	keys := map[*Refusal]string{}
	for _, it := range all {
		key := it.Topic + "\x00" + plainWords(it.Prompt)
		g := exact[key]
		if g == nil {
			g = &Refusal{Prompt: it.Prompt, Topic: it.Topic, Reason: it.Reason, LastAt: it.At, Variants: []string{}}
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
	sort.SliceStable(out, func(i, j int) bool { return out[i].Count > out[j].Count })
	flat := make([]Refusal, len(out))
	for i, g := range out {
		flat[i] = *g
	}
	return flat
}

func (r *Refusal) join(o *Refusal) {
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
