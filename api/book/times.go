package book

import (
	"context"
	"errors"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/storage"
)

// Datasets are the log of what was taught; *storage.Datasets is one.
type Datasets interface {
	IDs(ctx context.Context) ([]string, error)
	Open(ctx context.Context, id string) (*storage.DatasetReader, error)
}

// times knows which datasets touched each lesson. It reads the datasets once,
// the newest first, and from then on only new ones.
type times struct {
	datasets Datasets

	mu   sync.Mutex
	read map[string]bool
	log  []string // ids of the datasets that touch lessons, as they were read
	// newest is the place in log of the newest dataset that touched a lesson. Most
	// lessons are touched once; the others have their places in more.
	newest map[uint64]uint32
	more   map[uint64][]uint32
	// topics are the datasets that unlearned a whole topic.
	topics map[string][]uint32
}

// timesTimeout bounds what one call reads; the next one goes on from there.
const timesTimeout = 3 * time.Second

func newTimes(datasets Datasets) *times {
	return &times{datasets: datasets, read: map[string]bool{}, newest: map[uint64]uint32{}, more: map[uint64][]uint32{}, topics: map[string][]uint32{}}
}

func lessonKey(id string) uint64 {
	k, _ := strconv.ParseUint(id[:min(16, len(id))], 16, 64)
	return k
}

// stamp says of each answer when it was last changed, as far as that is known.
func (t *times) stamp(ctx context.Context, answers []Answer) {
	if t.datasets == nil || len(answers) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.catchUp(ctx)
	for i := range answers {
		newest := ""
		for _, l := range answers[i].Lessons {
			if n, ok := t.newest[lessonKey(l.ID)]; ok {
				newest = max(newest, t.log[n])
			}
		}
		if made, err := job.IDTime(newest); err == nil {
			answers[i].UpdatedAt = at(made)
		}
	}
}

// touching lists the datasets that touched a lesson of these ids or unlearned the
// topic, and reports whether every dataset was looked at.
func (t *times) touching(ctx context.Context, topic string, ids ...string) (datasets []string, all bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	all = t.catchUp(ctx)
	for _, n := range t.topics[topic] {
		datasets = append(datasets, t.log[n])
	}
	for _, id := range ids {
		key := lessonKey(id)
		if n, ok := t.newest[key]; ok {
			datasets = append(datasets, t.log[n])
		}
		for _, n := range t.more[key] {
			datasets = append(datasets, t.log[n])
		}
	}
	return datasets, all
}

// catchUp reads datasets that are new and reports whether it came to the end.
func (t *times) catchUp(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, timesTimeout)
	defer cancel()
	ids, err := t.datasets.IDs(ctx)
	if err != nil {
		return false // the times are an extra; the next call tries again
	}
	all := true
	for i := len(ids) - 1; i >= 0; i-- {
		if t.read[ids[i]] {
			continue
		}
		if ctx.Err() == nil && t.take(ctx, ids[i]) {
			t.read[ids[i]] = true
			continue
		}
		all = false
	}
	return all
}

// take reads one dataset and reports whether that need not be tried again.
func (t *times) take(ctx context.Context, id string) bool {
	if _, err := job.IDTime(id); err != nil {
		return true
	}
	r, err := t.datasets.Open(ctx, id)
	if err != nil {
		return errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrCorrupt)
	}
	defer r.Close()
	if r.Op == storage.OpJudge {
		return true
	}
	n := uint32(len(t.log)) //nolint:gosec // far fewer datasets fit into any storage
	t.log = append(t.log, id)
	for _, lesson := range r.LessonIDs {
		t.touch(lesson, n)
	}
	if r.Op == storage.OpForget && r.Lessons == 0 && len(r.LessonIDs) == 0 {
		t.topics[r.Topic] = append(t.topics[r.Topic], n)
	}
	for {
		l, err := r.Next()
		if errors.Is(err, io.EOF) {
			return true
		}
		if err != nil {
			return false // what was noted of it is noted again, which does no harm
		}
		topic := topicOf(r.DatasetMeta, l)
		t.touch(model.LessonID(topic, l.Prompt), n)
		if r.From != nil && *r.From != topic {
			t.touch(model.LessonID(*r.From, l.Prompt), n)
		}
	}
}

// topicOf is the topic that a lesson of a dataset belongs to.
func topicOf(meta storage.DatasetMeta, l storage.Lesson) string {
	if l.Topic != "" {
		return l.Topic
	}
	return meta.Topic
}

func (t *times) touch(lesson string, n uint32) {
	key := lessonKey(lesson)
	before, ok := t.newest[key]
	switch {
	case !ok:
		t.newest[key] = n
	case t.log[n] > t.log[before]:
		t.newest[key], t.more[key] = n, append(t.more[key], before)
	default:
		t.more[key] = append(t.more[key], n)
	}
}
