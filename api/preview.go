package api

import (
	"context"
	"errors"
	"hash/maphash"
	"slices"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/topic/lessonfile"
)

// preview is what an import would do.
type preview struct {
	Format    string              `json:"format"`
	Encoding  *string             `json:"encoding"`
	Delimiter *string             `json:"delimiter"`
	Columns   *lessonfile.Columns `json:"columns"`
	// Lessons is how many can be accepted: the sum of New, Known and Duplicates.
	// Duplicates repeat another lesson of the file.
	Lessons    int `json:"lessons"`
	New        int `json:"new"`
	Known      int `json:"known"`
	Duplicates int `json:"duplicates"`
	// Contradictions are the first prompts with more than one response, in the file or
	// compared with known lessons. Contradicting is their number.
	Contradictions      []disputed      `json:"contradictions"`
	ContradictionsTotal int             `json:"contradictions_total"`
	Faults              []job.Fault     `json:"faults"`
	FaultsTotal         int             `json:"faults_total"`
	Sample              []sampledLesson `json:"sample"`
}

type disputed struct {
	Prompt    string    `json:"prompt"`
	Responses []*string `json:"responses"`
}

type sampledLesson struct {
	Prompt   string  `json:"prompt"`
	Response *string `json:"response"`
	Topic    string  `json:"topic"`
}

const (
	sampled      = 10
	maxDisputed  = 100
	keptResponse = 64 << 20 // bytes of responses kept to be shown in contradictions
)

// comparison finds what a file repeats or contradicts.
type comparison struct {
	seed    maphash.Seed
	seen    map[string]uint64  // lesson id → hash of the response in the file
	texts   map[uint64]*string // by hash, as far as they are kept
	kept    int
	listed  map[string]int // lesson id → its place among the contradictions
	counted map[string]bool
}

func (s *Server) preview(ctx context.Context, f *lessonfile.File, source lessonSource) (preview, error) {
	p := preview{Format: f.Format, Contradictions: []disputed{}, Faults: []job.Fault{}, Sample: []sampledLesson{}}
	c := comparison{
		seed: maphash.MakeSeed(), seen: map[string]uint64{}, texts: map[uint64]*string{}, listed: map[string]int{}, counted: map[string]bool{},
	}
	known, err := s.opt.Known(ctx)
	if err != nil {
		return p, err
	}
	for n := 0; ; n++ {
		if n%1000 == 0 && ctx.Err() != nil {
			return p, ctx.Err()
		}
		l, fault, err := source.next()
		if errors.Is(err, errEnd) {
			break
		}
		if err != nil {
			return p, brokenOff(err)
		}
		if fault != nil {
			if p.FaultsTotal++; len(p.Faults) < maxFaults {
				p.Faults = append(p.Faults, *fault)
			}
			continue
		}
		p.Lessons++
		if len(p.Sample) < sampled {
			p.Sample = append(p.Sample, sampledLesson{l.Prompt, l.Response, l.Topic})
		}
		c.look(&p, l.Lesson, known)
	}
	p.Columns = f.Columns
	if f.Encoding != "" {
		p.Encoding = &f.Encoding
	}
	if f.Delimiter != "" {
		p.Delimiter = &f.Delimiter
	}
	return p, nil
}

func (c *comparison) hash(response *string) uint64 {
	if response == nil {
		return 0
	}
	return maphash.String(c.seed, *response) | 1
}

// look counts one lesson.
func (c *comparison) look(p *preview, l storage.Lesson, known interface {
	Lesson(id string) (model.Lesson, bool)
},
) {
	id, hash := model.LessonID(l.Topic, l.Prompt), c.hash(l.Response)
	if before, twice := c.seen[id]; twice {
		if before == hash {
			p.Duplicates++
			return
		}
		c.dispute(p, id, l.Prompt, c.texts[before], l.Response)
		c.keep(hash, l.Response)
		c.seen[id] = hash
		return
	}
	c.seen[id] = hash
	c.keep(hash, l.Response)
	k, ok := known.Lesson(id)
	if !ok {
		p.New++
		return
	}
	var older *string
	if !k.Refusal {
		older = &k.Response
	}
	if c.hash(older) == hash {
		p.Known++
		return
	}
	p.New++
	c.dispute(p, id, l.Prompt, older, l.Response)
}

func (c *comparison) keep(hash uint64, response *string) {
	if _, there := c.texts[hash]; there || response == nil || c.kept+len(*response) > keptResponse {
		return
	}
	c.kept += len(*response)
	c.texts[hash] = response
}

func (c *comparison) dispute(p *preview, id, prompt string, older, newer *string) {
	if !c.counted[id] {
		c.counted[id] = true
		p.ContradictionsTotal++
	}
	if i, there := c.listed[id]; there {
		// Each is listed once. The last counts.
		d := &p.Contradictions[i]
		d.Responses = slices.DeleteFunc(d.Responses, func(r *string) bool { return c.hash(r) == c.hash(newer) })
		if len(d.Responses) < 10 {
			d.Responses = append(d.Responses, newer)
		}
		return
	}
	if len(p.Contradictions) < maxDisputed {
		c.listed[id] = len(p.Contradictions)
		p.Contradictions = append(p.Contradictions, disputed{Prompt: prompt, Responses: []*string{older, newer}})
	}
}
