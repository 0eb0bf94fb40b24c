package interaction

import (
	"math"
	"slices"
	"strings"
	"unicode"
)

const (
	// nearDuplicate is the share of common character trigrams (Jaccard) from which two
	// prompts count as duplicates.
	nearDuplicate = 0.6
	// With up to fewGroups groups, a wording is compared with all groups that may be
	// near. With more, it is compared with maxCompared of the groups that share its
	// rarest trigrams, so that no prompt can make a page slow.
	fewGroups   = 2000
	maxCompared = 40
	// maxGroups limits the number of groups that new wordings are compared with. Beyond
	// it, each new wording gets a group of its own.
	maxGroups = 20_000
)

// group is a set of nearly equal wordings.
type group struct {
	grams    []uint64 // of the wording that founded it
	class    string   // what was answered; groups of different answers stay apart
	wordings []*wording
	slot     int // in near.groups; -1: not compared with

	all *position            // where it stands in everybody's list; nil: to be counted anew
	in  map[string]*position // and in that of an owner

	changedAt int // the number of its last change
}

// near finds the group that is most similar to a wording.
type near struct {
	groups   []*group // nil where one has gone
	gone     int
	postings map[uint64][]int32 // trigram → slots of the groups that have it
	seen     []uint32           // by slot: the search that looked at it last
	search   uint32
}

func newNear() *near { return &near{postings: map[uint64][]int32{}} }

// find returns the group that shares the most trigrams, if they are enough; otherwise
// nil.
func (n *near) find(grams []uint64, class string) *group {
	if len(grams) == 0 {
		return nil
	}
	// A group that shares enough trigrams has at least one of these probes. The rarest
	// trigrams lead to the fewest other groups (prefix filter).
	probes := len(grams) - int(math.Ceil(nearDuplicate*float64(len(grams)))) + 1
	rare := slices.Clone(grams)
	slices.SortFunc(rare, func(a, b uint64) int { return len(n.postings[a]) - len(n.postings[b]) })
	n.search++
	var best *group
	most := 0.0
	compared := 0
	for _, t := range rare[:probes] {
		for _, slot := range n.postings[t] {
			g := n.groups[slot]
			if g == nil || n.seen[slot] == n.search {
				continue
			}
			if compared++; compared > maxCompared && len(n.groups) > fewGroups {
				return best
			}
			n.seen[slot] = n.search
			small, large := min(len(g.grams), len(grams)), max(len(g.grams), len(grams))
			if g.class != class || float64(small) < nearDuplicate*float64(large) {
				continue
			}
			both := common(grams, g.grams)
			share := float64(both) / float64(len(grams)+len(g.grams)-both)
			if share >= nearDuplicate && (share > most || share == most && g.slot < best.slot) {
				best, most = g, share
			}
		}
	}
	return best
}

// common counts the elements that two sorted lists share.
func common(a, b []uint64) int {
	n := 0
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i] == b[j]:
			n, i, j = n+1, i+1, j+1
		case a[i] < b[j]:
			i++
		default:
			j++
		}
	}
	return n
}

func (n *near) add(g *group) {
	g.slot = -1
	if len(n.groups)-n.gone >= maxGroups {
		return
	}
	g.slot = len(n.groups)
	n.groups, n.seen = append(n.groups, g), append(n.seen, 0)
	for _, t := range g.grams {
		n.postings[t] = append(n.postings[t], int32(g.slot)) //nolint:gosec // as many groups as there are lines in the log, 10^8 at the most
	}
}

func (n *near) remove(g *group) {
	if g.slot < 0 {
		return
	}
	n.groups[g.slot] = nil
	if n.gone++; n.gone <= len(n.groups)/2 || n.gone < 100 {
		return
	}
	left := n.groups
	*n = *newNear()
	for _, g := range left {
		if g != nil {
			n.add(g)
		}
	}
}

// plainWords removes case and punctuation.
func plainWords(s string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(s), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}), " ")
}

// trigrams returns the distinct sequences of three characters, each as one number,
// sorted.
func trigrams(s string) []uint64 {
	r := []rune(" " + s + " ")
	out := make([]uint64, 0, len(r))
	for i := 0; i+3 <= len(r); i++ {
		// A character has 21 bits.
		out = append(out, uint64(r[i])<<42|uint64(r[i+1])<<21|uint64(r[i+2]))
	}
	slices.Sort(out)
	return slices.Compact(out)
}
