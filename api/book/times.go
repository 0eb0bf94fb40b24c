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

// times knows when each lesson was last taught. It reads the datasets once, the
// newest first, and from then on only new ones.
type times struct {
	datasets Datasets

	mu   sync.Mutex
	read map[string]bool
	last map[uint64]int64 // by lesson: Unix ms
}

// timesPatience bounds what one call reads; the next one goes on from there.
const timesPatience = 3 * time.Second

func newTimes(datasets Datasets) *times {
	return &times{datasets: datasets, read: map[string]bool{}, last: map[uint64]int64{}}
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
		newest := int64(0)
		for _, l := range answers[i].Lessons {
			newest = max(newest, t.last[lessonKey(l.ID)])
		}
		if newest > 0 {
			answers[i].UpdatedAt = at(time.UnixMilli(newest))
		}
	}
}

func (t *times) catchUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, timesPatience)
	defer cancel()
	ids, err := t.datasets.IDs(ctx)
	if err != nil {
		return // the times are an extra; the next call tries again
	}
	for i := len(ids) - 1; i >= 0 && ctx.Err() == nil; i-- {
		if !t.read[ids[i]] && t.take(ctx, ids[i]) {
			t.read[ids[i]] = true
		}
	}
}

// take reads one dataset and reports whether that need not be tried again.
func (t *times) take(ctx context.Context, id string) bool {
	made, err := job.IDTime(id)
	if err != nil {
		return true
	}
	r, err := t.datasets.Open(ctx, id)
	if err != nil {
		return errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrCorrupt)
	}
	defer r.Close()
	if r.Op == storage.OpForget || r.Op == storage.OpJudge {
		return true
	}
	ms := made.UnixMilli()
	for {
		l, err := r.Next()
		if errors.Is(err, io.EOF) {
			return true
		}
		if err != nil {
			return false
		}
		topic := l.Topic
		if topic == "" {
			topic = r.Topic
		}
		key := lessonKey(model.LessonID(topic, l.Prompt))
		t.last[key] = max(t.last[key], ms)
	}
}
