package book

import (
	"context"
	"slices"
	"time"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/topic"
)

// Answer is a response within a topic and its phrasings: the prompts that lead
// to it. All taught refusals of a topic are one answer.
type Answer struct {
	// ID is the id of its oldest phrasing. The id of any other one finds the
	// answer too, so an id that was once seen stays good while that phrasing does.
	ID       string  `json:"id"`
	Response *string `json:"response"`
	Topic    string  `json:"topic"`
	// Phrasings is how many there are; a list shows only the first of them.
	Phrasings int        `json:"phrasings"`
	Lessons   []Phrasing `json:"lessons"`
	UpdatedAt *job.Time  `json:"updated_at"`
	// Hits is how often it was given, LastHitAt when last.
	Hits      int64     `json:"hits"`
	LastHitAt *job.Time `json:"last_hit_at"`
	Validity

	all []string // ids of its phrasings
}

// Validity is when an answer may be given.
type Validity struct {
	// State is live, draft, scheduled or expired.
	State string    `json:"state"`
	Draft bool      `json:"draft"`
	From  *job.Time `json:"valid_from"`
	Until *job.Time `json:"valid_until"`
}

// Phrasing is a prompt of an answer.
type Phrasing struct {
	ID     string `json:"id"`
	Prompt string `json:"prompt"`
}

// ListedPhrasings bounds the phrasings that a list shows of each answer.
const ListedPhrasings = 100

// group gathers an answer while the lessons go by.
type group struct {
	topic, response string
	refusal         bool
	prompts         []string
}

func (g *group) id() string { return model.LessonID(g.topic, g.prompts[0]) }

// answer is the response; nil is a taught refusal.
func (g *group) answer() *string {
	if g.refusal {
		return nil
	}
	return &g.response
}

func (g *group) shown(most int) Answer {
	a := Answer{ID: g.id(), Topic: g.topic, Phrasings: len(g.prompts), Response: g.answer()}
	for _, p := range g.prompts {
		a.all = append(a.all, model.LessonID(g.topic, p))
	}
	for _, p := range g.prompts[:min(len(g.prompts), most)] {
		a.Lessons = append(a.Lessons, Phrasing{ID: model.LessonID(g.topic, p), Prompt: p})
	}
	return a
}

type groupKey struct {
	answer uint32
	topic  string
}

// groups gathers all answers of a topic, or of all.
func (b *Book) groups(ctx context.Context, topic string) (map[groupKey]*group, error) {
	all := map[groupKey]*group{}
	err := b.entries(ctx, func(e model.Entry) bool {
		if topic != "" && e.Topic != topic {
			return true
		}
		key := groupKey{e.Answer, e.Topic}
		g := all[key]
		if g == nil {
			g = &group{topic: e.Topic, response: e.Response, refusal: e.Refusal}
			all[key] = g
		}
		g.prompts = append(g.prompts, e.Prompt)
		return true
	})
	return all, err
}

// Answers lists answers by topic and response, with up to ListedPhrasings of
// each.
func (b *Book) Answers(ctx context.Context, q Query) (answers []Answer, next string, err error) {
	p, err := newPage[*group](q)
	if err != nil {
		return nil, "", err
	}
	all, err := b.groups(ctx, q.Topic)
	if err != nil {
		return nil, "", err
	}
	words := newWords(q.Q)
	for _, g := range all {
		if q.Only != nil && !q.Only(g.topic, g.answer()) {
			continue
		}
		if words.any() && !g.holds(words) || q.SinglePhrasing && len(g.prompts) != 1 || q.NeverHit != nil && (g.refusal || g.hit(q.NeverHit)) {
			continue
		}
		p.offer(g.topic, g.response, g.id, g)
	}
	items, next := p.done()
	answers = make([]Answer, len(items))
	for i, it := range items {
		answers[i] = it.item.shown(ListedPhrasings)
	}
	b.times.stamp(ctx, answers)
	return answers, next, nil
}

// hit reports whether any phrasing answered.
func (g *group) hit(hits func(lesson string) int64) bool {
	return hits != nil && slices.ContainsFunc(g.prompts, func(p string) bool { return hits(model.LessonID(g.topic, p)) > 0 })
}

// PhrasingIDs are the ids of all phrasings, also of those that a list leaves out.
func (a *Answer) PhrasingIDs() []string { return a.all }

func (g *group) holds(words *words) bool {
	words.reset()
	words.look(g.response)
	for _, p := range g.prompts {
		if words.all() {
			return true
		}
		words.look(p)
	}
	return words.all()
}

// Answer finds an answer, with all its phrasings, by the id of any of them;
// job.CodeNotFound.
func (b *Book) Answer(ctx context.Context, id string) (Answer, error) {
	s, err := b.source(ctx)
	if err != nil {
		return Answer{}, err
	}
	l, ok := s.Lesson(id)
	if !ok {
		return Answer{}, job.Errorf(job.CodeNotFound, "no answer has the id %q; GET /api/answers lists them", job.Clip(id, 80))
	}
	g := group{topic: l.Topic, response: l.Response, refusal: l.Refusal}
	s.Entries(func(e model.Entry) bool {
		if e.Topic == l.Topic && e.Refusal == l.Refusal && e.Response == l.Response {
			g.prompts = append(g.prompts, e.Prompt)
		}
		return true
	})
	a := g.shown(len(g.prompts))
	one := []Answer{a}
	b.times.stamp(ctx, one)
	return one[0], nil
}

// Has reports whether an answer is known in a topic; a nil response is a taught
// refusal.
func (b *Book) Has(ctx context.Context, topic string, response *string) (has bool, err error) {
	err = b.entries(ctx, func(e model.Entry) bool {
		has = e.Topic == topic && e.Refusal == (response == nil) && (response == nil || e.Response == *response)
		return !has
	})
	return has, err
}

// Asked reports for each prompt whether a lesson of any topic has it, apart from case and
// punctuation.
func (b *Book) Asked(ctx context.Context, prompts []string) ([]bool, error) {
	at := map[string][]int{}
	for i, p := range prompts {
		at[topic.Normalise(p)] = append(at[topic.Normalise(p)], i)
	}
	asked := make([]bool, len(prompts))
	err := b.entries(ctx, func(e model.Entry) bool {
		for _, i := range at[topic.Normalise(e.Prompt)] {
			asked[i] = true
		}
		return true
	})
	return asked, err
}

// at is a time of an answer; the zero time is not known.
func at(t time.Time) *job.Time {
	if t.IsZero() {
		return nil
	}
	return job.At(t)
}
