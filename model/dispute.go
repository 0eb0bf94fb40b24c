package model

import (
	"maps"
	"slices"

	"github.com/nexus-continuum/nexus/model/memory"
	"github.com/nexus-continuum/nexus/model/text"
	"github.com/nexus-continuum/nexus/model/wire"
)

// disputes are the answers that people called wrong, by response. A prompt that
// repeats one of theirs, or nearly does, is not answered with that response again
// until somebody teaches it. They are immutable.
type disputes map[string][]string // prompts in canonical form, the oldest first

// maxDisputes bounds the prompts that are kept for one response, and responses.
const maxDisputes = 256

// with is d with one more.
func (d disputes) with(prompt, response string) disputes {
	form := text.Normalise(prompt)
	out := d.without(map[string]bool{form: true}, response)
	if len(out) >= maxDisputes && out[response] == nil {
		return out
	}
	if out = maps.Clone(out); out == nil {
		out = disputes{}
	}
	kept := slices.Clone(out[response])
	out[response] = append(kept[max(0, len(kept)-maxDisputes+1):], form)
	return out
}

// without is d less what was said of those forms: of one response, or of all where
// it is empty.
func (d disputes) without(forms map[string]bool, response string) disputes {
	out := d
	for r, prompts := range d {
		if response != "" && r != response || !slices.ContainsFunc(prompts, func(p string) bool { return forms[p] }) {
			continue
		}
		if kept := slices.DeleteFunc(slices.Clone(prompts), func(p string) bool { return forms[p] }); len(kept) > 0 {
			out = maps.Clone(out)
			out[r] = kept
		} else {
			out = maps.Clone(out)
			delete(out, r)
		}
	}
	return out
}

// nearRepeat is the share of words in common from which on a prompt asks what a
// disputed one did.
const nearRepeat = 0.85

// disputed reports whether people called this response to such a prompt wrong.
func (d disputes) disputed(f *text.Form, response string, s *scratch) bool {
	for _, p := range d[response] {
		s.disputed.Read(p)
		if s.disputed.SameWords(f) {
			return true
		}
		if k := s.aligner.Align(f, &s.disputed); k.Same >= nearRepeat && k.Opposite+k.Other+k.Negated+k.Swapped == 0 {
			return true
		}
	}
	return false
}

// withoutRetaught is d without what lessons say anew.
func (d disputes) withoutRetaught(lessons []memory.Lesson) disputes {
	if len(d) == 0 {
		return d
	}
	forms := make(map[string]bool, len(lessons))
	for i := range lessons {
		forms[text.Normalise(lessons[i].Prompt)] = true
	}
	return d.without(forms, "")
}

// kept is d less the responses that memory does not give any more.
func (d disputes) kept(s *memory.Store) disputes {
	out := d
	for r := range d {
		if !s.Says(r) {
			out = maps.Clone(out)
			delete(out, r)
		}
	}
	return out
}

// Bytes writes d.
func (d disputes) Bytes() []byte {
	var w wire.Writer
	w.Uint(uint64(len(d)))
	for _, r := range slices.Sorted(maps.Keys(d)) {
		w.String(r)
		w.Uint(uint64(len(d[r])))
		for _, p := range d[r] {
			w.String(p)
		}
	}
	return w.Bytes
}

func openDisputes(parts []Part) (disputes, error) {
	for _, p := range parts {
		if p.Name != partDisputes {
			continue
		}
		r := wire.NewReader(p.Data)
		var d disputes
		for range r.Uint(maxDisputes) {
			response := r.String()
			for range r.Uint(maxDisputes) {
				prompt := r.String()
				if r.Err() != nil {
					break
				}
				if d == nil {
					d = disputes{}
				}
				d[response] = append(d[response], prompt)
			}
		}
		return d, r.Close()
	}
	return nil, nil
}
