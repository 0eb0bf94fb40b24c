package interaction

import (
	"cmp"
	"slices"

	"github.com/nexus-continuum/nexus/internal/streamid"
	"github.com/nexus-continuum/nexus/job"
)

// wording is a set of prompts with the same words in the same order.
type wording struct {
	key, id string
	grams   []uint64
	entries []lineEntry // the oldest first
	latest  []job.Interaction
	group   *group
	hidden  bool // settled
}

// lineEntry is an entry of a list in Redis.
type lineEntry struct {
	ms, seq   uint64 // its stream id
	id, owner string // of the interaction, and who asked
	at        int64  // Unix ms; 0: unknown
}

func (l *lineEntry) compare(ms, seq uint64) int {
	return cmp.Or(cmp.Compare(l.ms, ms), cmp.Compare(l.seq, seq))
}

func (w *wording) last(owner string) *job.Interaction {
	for i := range w.latest {
		if w.latest[i].Owner == owner {
			return &w.latest[i]
		}
	}
	return nil
}

// ledger is a list of the log, grouped. It follows the list entry by entry, so that a
// page costs as much as it shows, not as much as is stored.
type ledger struct {
	byKey   map[string]*wording
	byID    map[string]*wording
	groups  map[*group]struct{}
	near    *near
	settled map[string]bool // ids of wordings that are not shown
	views   map[string]*view
	recent  []*group // whose last change is among the latest
	changes int
	order   []place // of every entry, the oldest first
	live    int     // entries that are still in the list
	last    string  // stream id of the newest entry that was read
	event   string  // and of the newest event
}

// place is where an entry is in a list, and its wording; nil means not grouped.
type place struct {
	ms, seq uint64
	of      *wording
}

func newLedger() *ledger {
	return &ledger{
		byKey: map[string]*wording{}, byID: map[string]*wording{}, groups: map[*group]struct{}{}, near: newNear(), settled: map[string]bool{}, views: map[string]*view{},
		last: "0-0", event: "0-0",
	}
}

// add adds the next entry of the list.
func (l *ledger) add(stream string, it job.Interaction) {
	ms, seq := streamid.Split(stream)
	l.last = stream
	l.live++
	if it.Reason == job.ReasonTaughtRefusal {
		l.order = append(l.order, place{ms, seq, nil})
		return
	}
	key := refusalGroup(it)
	w := l.byKey[key]
	if w == nil {
		w = &wording{key: key, id: refusalID(it), grams: trigrams(key)}
		w.hidden = l.settled[w.id]
		l.byKey[key], l.byID[w.id] = w, w
	}
	l.order = append(l.order, place{ms, seq, w})
	e := lineEntry{ms: ms, seq: seq, id: it.ID, owner: it.Owner}
	if it.At != nil {
		e.at = it.At.UnixMilli()
	}
	w.entries = append(w.entries, e)
	if old := w.last(it.Owner); old != nil {
		*old = it
	} else {
		w.latest = append(w.latest, it)
	}
	class := ""
	if it.Responded {
		class = "=" + it.Response
	}
	if w.group != nil && w.group.class == class {
		l.changed(w.group)
		return
	}
	l.leave(w)
	l.join(w, class)
}

func (l *ledger) join(w *wording, class string) {
	g := l.near.find(w.grams, class)
	if g == nil {
		g = &group{grams: w.grams, class: class}
		l.near.add(g)
		l.groups[g] = struct{}{}
	}
	w.group = g
	g.wordings = append(g.wordings, w)
	l.changed(g)
}

func (l *ledger) leave(w *wording) {
	g := w.group
	if g == nil {
		return
	}
	w.group = nil
	l.changed(g)
	g.wordings = slices.DeleteFunc(g.wordings, func(o *wording) bool { return o == w })
	if len(g.wordings) == 0 {
		l.near.remove(g)
		delete(l.groups, g)
	}
}

// trim drops everything before an entry that is now the first.
func (l *ledger) trim(ms, seq uint64) {
	n := 0
	for ; n < len(l.order); n++ {
		p := l.order[n]
		if e := (lineEntry{ms: p.ms, seq: p.seq}); e.compare(ms, seq) >= 0 {
			break
		}
		if p.of == nil {
			l.live--
		} else if w := p.of; len(w.entries) > 0 && w.entries[0].compare(p.ms, p.seq) == 0 {
			l.live--
			w.entries = w.entries[1:]
			l.tidy(w)
		}
	}
	l.order = l.order[n:]
}

// drop removes the entries of a wording that existed when it was dropped. owner, if not
// nil, limits that to one owner's entries.
func (l *ledger) drop(id string, owner *string, ms, seq uint64) {
	w := l.byID[id]
	if w == nil {
		return
	}
	before := len(w.entries)
	w.entries = slices.DeleteFunc(w.entries, func(e lineEntry) bool {
		return (owner == nil || e.owner == *owner) && e.compare(ms, seq) <= 0
	})
	l.live -= before - len(w.entries)
	l.tidy(w)
}

// tidy drops a wording that has no entries any more.
func (l *ledger) tidy(w *wording) {
	if w.group != nil {
		l.changed(w.group)
	}
	w.latest = slices.DeleteFunc(w.latest, func(it job.Interaction) bool {
		return !slices.ContainsFunc(w.entries, func(e lineEntry) bool { return e.owner == it.Owner })
	})
	if len(w.entries) == 0 {
		l.leave(w)
		delete(l.byKey, w.key)
		delete(l.byID, w.id)
	}
}
