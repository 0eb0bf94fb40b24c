package interaction

import (
	"slices"
	"sort"
)

const (
	// maxChanges bounds how many changes a view may miss before it is sorted anew,
	// and maxViews how many owners have one.
	maxChanges = 50_000
	maxViews   = 16
)

// position is the place of a group in a list, and the part of it that is shown.
type position struct {
	refusalPlace
	there bool
	shown *Refusal
}

// view holds the groups in the order in which an owner sees them. Reading it again
// costs the changes since then and one pass over the rest.
type view struct {
	at     int // how many changes it has seen
	sorted []*group
}

// changed records that the place of a group may have changed.
func (l *ledger) changed(g *group) {
	g.all = nil
	clear(g.in)
	l.changes++
	g.changedAt = l.changes
	if l.recent = append(l.recent, g); len(l.recent) > maxChanges {
		l.recent = slices.Clone(l.recent[maxChanges/2:])
	}
}

// position returns the place of a group in the list of an owner.
func (l *ledger) position(g *group, owner *string) *position {
	s := g.all
	if owner != nil {
		s = g.in[*owner]
	}
	if s != nil {
		return s
	}
	p, there := count(g, owner)
	s = &position{refusalPlace: p, there: there}
	switch {
	case owner == nil:
		g.all = s
	case g.in == nil:
		g.in = map[string]*position{*owner: s}
	default:
		g.in[*owner] = s
	}
	return s
}

// view brings the order of an owner up to date.
func (l *ledger) view(owner *string) *view {
	who := ""
	if owner != nil {
		who = "=" + *owner
	}
	v := l.views[who]
	known := v != nil && v.at >= l.changes-len(l.recent)
	if !known {
		if len(l.views) >= maxViews {
			clear(l.views)
		}
		v = &view{}
		l.views[who] = v
	}
	var fresh []*group
	add := func(g *group) {
		if l.position(g, owner).there {
			fresh = append(fresh, g)
		}
	}
	if known {
		news := l.recent[len(l.recent)-(l.changes-v.at):]
		for i, g := range news {
			if g.changedAt == l.changes-len(news)+i+1 { // its last change
				add(g)
			}
		}
	} else {
		for g := range l.groups {
			add(g)
		}
	}
	by := func(a, b *group) int { return l.position(a, owner).compare(l.position(b, owner).refusalPlace) }
	slices.SortFunc(fresh, by)
	if len(fresh) > 0 || v.at < l.changes {
		kept := make([]*group, 0, len(v.sorted)+len(fresh))
		for _, g := range v.sorted {
			if g.changedAt > v.at {
				continue
			}
			for len(fresh) > 0 && by(fresh[0], g) < 0 {
				kept, fresh = append(kept, fresh[0]), fresh[1:]
			}
			kept = append(kept, g)
		}
		kept = append(kept, fresh...)
		v.sorted = kept
	}
	v.at = l.changes
	return v
}

// after returns the groups that follow a place: a page plus one.
func (l *ledger) after(place refusalPlace, first bool, owner *string) []Refusal {
	sorted := l.view(owner).sorted
	if !first {
		sorted = sorted[sort.Search(len(sorted), func(i int) bool { return l.position(sorted[i], owner).compare(place) > 0 }):]
	}
	sorted = sorted[:min(len(sorted), refusalPage+1)]
	out := make([]Refusal, len(sorted))
	for i, g := range sorted {
		out[i] = l.show(g, owner)
	}
	return out
}
