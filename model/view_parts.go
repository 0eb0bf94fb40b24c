package model

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/nexus-continuum/nexus/model/gate"
	"github.com/nexus-continuum/nexus/model/memory"
	"github.com/nexus-continuum/nexus/model/wire"
)

// Names of the parts of a view. The vectors of lessons are parted as the own ones
// are, so that few bytes change with a few lessons.
const (
	partView          = "view"
	partViewCommon    = "view-common"
	partViewGate      = "view-gate"
	partViewHeard     = "view-heard"
	prefixViewLessons = "view-lessons-"
)

// viewVersion is that of the layout below.
const viewVersion = 1

// maxViewDim bounds the vectors that are read.
const maxViewDim = 1 << 14

// parts writes v beside the store that it sees.
func (v *view) parts(s *memory.Store) (parts []Part) {
	if v == nil {
		return nil
	}
	var head, common wire.Writer
	head.Uint(viewVersion)
	head.String(v.space.Name)
	head.Uint(uint64(v.space.Dim))
	head.Uint(bit(v.fit != nil))
	if v.fit != nil {
		head.Double(v.fit.share)
		head.Uint(uint64(v.fit.lessons))
		head.Uint(bit(v.fit.unheard))
	}
	common.Uint(uint64(len(v.common)))
	for _, u := range v.common {
		common.Shorts(u)
	}
	parts = append(parts, Part{Name: partView, Data: head.Bytes}, Part{Name: partViewCommon, Data: common.Bytes})
	if v.fit != nil {
		parts = append(parts, Part{Name: partViewGate, Data: v.fit.gate.Bytes()})
	}
	if len(v.judgements) > 0 {
		heard, err := json.Marshal(v.judgements)
		if err == nil { // a Judgement has nothing that JSON cannot say
			parts = append(parts, Part{Name: partViewHeard, Data: heard})
		}
	}
	var rows []unit // nil where there is none
	s.EachVector(func(prompt string) bool {
		rows = append(rows, v.lessons[prompt])
		return true
	})
	from := 0
	for _, to := range memory.Runs(len(rows)) {
		var w wire.Writer
		w.Uint(uint64(to - from))
		for _, u := range rows[from:to] {
			w.Uint(bit(u != nil))
			if u != nil {
				w.Shorts(u)
			}
		}
		parts = append(parts, Part{Name: fmt.Sprintf("%s%08d", prefixViewLessons, from), Data: w.Bytes})
		from = to
	}
	return parts
}

// openView reads what parts wrote; nil where there is nothing of the kind.
func openView(alpha float64, s *memory.Store, parts []Part) (*view, error) {
	at := func(name string) *Part {
		if i := slices.IndexFunc(parts, func(p Part) bool { return p.Name == name }); i >= 0 {
			return &parts[i]
		}
		return nil
	}
	head := at(partView)
	if head == nil {
		return nil, nil //nolint:nilnil // most checkpoints have none
	}
	v := &view{lessons: map[string]unit{}}
	if err := v.readHead(head.Data); err != nil {
		return nil, fmt.Errorf("read part %s: %w", partView, err)
	}
	if p := at(partViewCommon); p != nil {
		if err := v.readCommon(p.Data); err != nil {
			return nil, fmt.Errorf("read part %s: %w", p.Name, err)
		}
	}
	if p := at(partViewHeard); p != nil {
		if err := v.readJudgements(p.Data); err != nil {
			return nil, fmt.Errorf("read part %s: %w", p.Name, err)
		}
	}
	if len(v.common) != len(elsewhere()) {
		return nil, nil //nolint:nilnil // of a program with other prompts: what is seen is embedded anew
	}
	v.centre()
	if p := at(partViewGate); v.fit != nil && p != nil {
		g, err := gate.OpenBoth(alpha, p.Data)
		if err != nil {
			return nil, fmt.Errorf("read part %s: %w", p.Name, err)
		}
		v.fit.gate = g
	} else {
		v.fit = nil
	}
	return v, v.readLessons(s, parts)
}

func (v *view) readHead(data []byte) error {
	r := wire.NewReader(data)
	if n := r.Uint(1 << 32); r.Err() == nil && n != viewVersion {
		r.Fail("version %d, this program reads %d", n, viewVersion)
	}
	v.space = Space{Name: r.String(), Dim: int(r.Uint(maxViewDim))}
	if r.Uint(1) == 1 {
		v.fit = &fit{share: r.Double(), lessons: int(r.Uint(1 << 31)), unheard: r.Uint(1) == 1}
		if !(v.fit.share >= 0 && v.fit.share <= 1) {
			r.Fail("a share of %g", v.fit.share)
		}
	}
	if v.space.Dim < 1 {
		r.Fail("vectors of %d numbers", v.space.Dim)
	}
	return r.Close()
}

func (v *view) readCommon(data []byte) error {
	r := wire.NewReader(data)
	for range r.Count(2 * v.space.Dim) {
		v.common = append(v.common, r.Shorts(v.space.Dim))
	}
	return r.Close()
}

// readLessons gives the vectors to the prompts of s, row by row.
func (v *view) readLessons(s *memory.Store, parts []Part) error {
	var prompts []string
	s.EachVector(func(prompt string) bool {
		prompts = append(prompts, prompt)
		return true
	})
	row := 0
	for _, p := range parts {
		if !strings.HasPrefix(p.Name, prefixViewLessons) {
			continue
		}
		r := wire.NewReader(p.Data)
		for range r.Count(1) {
			if row >= len(prompts) {
				r.Fail("more than %d vectors", len(prompts))
			}
			if r.Uint(1) == 1 && r.Err() == nil {
				u := r.Shorts(v.space.Dim)
				if prompts[row] != "" {
					v.lessons[prompts[row]] = u
				}
			}
			row++
			if r.Err() != nil {
				break
			}
		}
		if err := r.Close(); err != nil {
			return fmt.Errorf("read part %s: %w", p.Name, err)
		}
	}
	return nil
}
