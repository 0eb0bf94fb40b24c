package model

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/nexus-continuum/nexus/model/gate"
	"github.com/nexus-continuum/nexus/model/memory"
)

// maxHeard bounds the judgements that a view keeps; older ones give way.
const maxHeard = 512

// withJudgements is v with what people judged. It counts in the calibration of both encoders as
// soon as the prompts are embedded.
func (v *view) withJudgements(judgements []Judgement) *view {
	if v == nil {
		return nil
	}
	out := *v
	out.judgements = slices.DeleteFunc(slices.Clone(v.judgements), func(old Judgement) bool {
		return slices.ContainsFunc(judgements, func(j Judgement) bool { return j.Interaction == old.Interaction })
	})
	out.judgements = append(out.judgements, judgements...)
	out.judgements = out.judgements[max(0, len(out.judgements)-maxHeard):]
	if v.fit != nil {
		fit := *v.fit
		fit.unheard = true
		out.fit = &fit
	}
	return &out
}

// kept is v without judgements of responses that nobody teaches any more.
func (v *view) kept(s *memory.Store) *view {
	if v == nil {
		return nil
	}
	gone := func(response *string) bool { return response != nil && !s.Says(*response) }
	out := *v
	out.judgements = slices.DeleteFunc(slices.Clone(v.judgements), func(j Judgement) bool { return gone(j.Response) || gone(j.Right) })
	return &out
}

// judged are the records of what was heard, as m sees it. What see does not know is
// left out.
func (m *Model) judged(heard []Judgement) (out []gate.Record) {
	s := m.get()
	defer m.put(s)
	for i := range heard {
		if m.blend.see(heard[i].Prompt) == nil {
			continue
		}
		if r, ok := m.judgement(&heard[i], s); ok {
			out = append(out, r)
		}
	}
	return out
}

func (v *view) readJudgements(data []byte) error {
	if err := json.Unmarshal(data, &v.judgements); err != nil {
		return fmt.Errorf("read judgements: %w", err)
	}
	v.judgements = v.judgements[max(0, len(v.judgements)-maxHeard):]
	return nil
}
