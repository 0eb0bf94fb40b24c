package book

import (
	"context"
	"slices"
	"strings"

	"github.com/nexus-continuum/nexus/job"
)

// Topic tells how well a topic is covered.
type Topic struct {
	Topic   string `json:"topic"`
	Answers int    `json:"answers"`
	Lessons int    `json:"lessons"`
	// SinglePhrasing is how many answers have one phrasing only.
	SinglePhrasing int `json:"single_phrasing"`
	// NeverHit is how many answers were never given.
	NeverHit int `json:"never_hit"`
	// Expected is what to expect of prompts that were not taught word for word.
	Expected *Expected `json:"expected"`
	// Collisions are pairs of answers whose phrasings are alike.
	Collisions []Collision `json:"collisions"`
}

// Expected are shares of prompts.
type Expected struct {
	Answered float64 `json:"answered"`
	Wrong    float64 `json:"wrong"`
}

// Collision is a pair of answers that are easily taken for each other.
type Collision struct {
	Answers    [2]string `json:"answers"`
	Similarity float64   `json:"similarity"`
}

// collidingMost is how many lessons are compared topic by topic in a list. Of
// more, the list names those that collide anywhere.
const collidingMost = 2000

// Topics lists all topics by name; hits tells how often a lesson answered.
func (b *Book) Topics(ctx context.Context, hits func(lesson string) int64) ([]Topic, error) {
	out, err := b.topics(ctx, "", hits)
	if err != nil {
		return nil, err
	}
	lessons := 0
	for _, t := range out {
		lessons += t.Lessons
	}
	all, err := b.groups(ctx, "")
	if err != nil {
		return nil, err
	}
	s, err := b.source(ctx)
	if err != nil {
		return nil, err
	}
	for i := range out {
		of := out[i].Topic
		if lessons > collidingMost {
			of = ""
		}
		if of != "" || i == 0 {
			out[i].Collisions = collisions(s, all, of)
		}
	}
	return out, ctx.Err()
}

func (b *Book) topics(ctx context.Context, only string, hits func(lesson string) int64) ([]Topic, error) {
	all, err := b.groups(ctx, only)
	if err != nil {
		return nil, err
	}
	s, err := b.source(ctx)
	if err != nil {
		return nil, err
	}
	byName := map[string]*Topic{}
	for key, g := range all {
		t := byName[key.topic]
		if t == nil {
			t = &Topic{Topic: key.topic, Collisions: []Collision{}}
			byName[key.topic] = t
		}
		t.Answers++
		t.Lessons += len(g.prompts)
		if len(g.prompts) == 1 {
			t.SinglePhrasing++
		}
		if !g.refusal && !g.hit(hits) {
			t.NeverHit++
		}
	}
	out := make([]Topic, 0, len(byName))
	for _, t := range byName {
		o := s.Outlook(t.Topic)
		t.Expected = &Expected{Answered: o.Answered, Wrong: o.Wrong}
		out = append(out, *t)
	}
	slices.SortFunc(out, func(a, b Topic) int { return strings.Compare(a.Topic, b.Topic) })
	return out, nil
}

// Topic tells of one topic; job.CodeNotFound.
func (b *Book) Topic(ctx context.Context, name string, hits func(lesson string) int64) (Topic, error) {
	found, err := b.topics(ctx, name, hits)
	if err != nil {
		return Topic{}, err
	}
	for _, t := range found {
		if t.Topic == name {
			t.Collisions, err = b.collisions(ctx, name)
			return t, err
		}
	}
	return Topic{}, job.Errorf(job.CodeNotFound, "no lesson of the topic %q is known; GET /api/topics lists the topics", job.Clip(name, 80))
}

func (b *Book) collisions(ctx context.Context, topic string) ([]Collision, error) {
	s, err := b.source(ctx)
	if err != nil {
		return nil, err
	}
	all, err := b.groups(ctx, "")
	if err != nil {
		return nil, err
	}
	return collisions(s, all, topic), nil
}

// collisions are the pairs of answers of a topic that are easily taken for each
// other.
func collisions(s Source, all map[groupKey]*group, topic string) []Collision {
	ids := map[uint32]string{}
	for key, g := range all {
		if _, known := ids[key.answer]; !known || key.topic == topic {
			ids[key.answer] = g.id()
		}
	}
	out := []Collision{}
	for _, c := range s.Collisions(topic) {
		if a, b := ids[c.Answers[0]], ids[c.Answers[1]]; a != "" && b != "" {
			out = append(out, Collision{Answers: [2]string{a, b}, Similarity: c.Similarity})
		}
	}
	return out
}
