package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/nexus-continuum/nexus/api"
	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/storage"
)

// knower has the model whose lessons are listed; *worker.Worker is one.
type knower interface {
	Served() (m *model.Model, checkpoint string)
}

// lessonBook lists what a model knows, for the API.
type lessonBook struct{ known knower }

func (b *lessonBook) model(ctx context.Context) (*model.Model, error) {
	if f, ok := b.known.(*follower); ok {
		return f.refresh(ctx)
	}
	m, _ := b.known.Served()
	if m == nil {
		return nil, job.Errorf(job.CodeUnavailable, "no model is loaded yet; try again shortly").After(1e9)
	}
	return m, nil
}

// Lessons implements api.Lessons.
func (b *lessonBook) Lessons(ctx context.Context, topic, cursor string, limit int) ([]api.Lesson, string, error) {
	m, err := b.model(ctx)
	if err != nil {
		return nil, "", err
	}
	found, next := m.Lessons(topic, cursor, limit)
	out := make([]api.Lesson, len(found))
	for i, l := range found {
		out[i] = shown(l)
	}
	return out, next, nil
}

// Lesson implements api.Lessons.
func (b *lessonBook) Lesson(ctx context.Context, id string) (api.Lesson, error) {
	m, err := b.model(ctx)
	if err != nil {
		return api.Lesson{}, err
	}
	l, ok := m.Lesson(id)
	if !ok {
		return api.Lesson{}, job.Errorf(job.CodeNotFound, "no lesson has the id %q; GET /api/lessons lists them", id)
	}
	return shown(l), nil
}

func shown(l model.Lesson) api.Lesson {
	out := api.Lesson{ID: l.ID, Topic: l.Topic, Prompt: l.Prompt}
	if !l.Refusal {
		out.Response = &l.Response
	}
	return out
}

// follower opens the newest checkpoint where no worker is in the process. It
// loads only when lessons are asked for and the head has moved.
type follower struct {
	checkpoints *storage.Checkpoints
	config      model.Config

	mu         sync.Mutex
	model      *model.Model
	checkpoint string
}

// Served implements knower.
func (f *follower) Served() (*model.Model, string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.model, f.checkpoint
}

// relieve lets the model go; it is loaded again when lessons are asked for.
func (f *follower) relieve(bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.model, f.checkpoint = nil, ""
}

func (f *follower) refresh(ctx context.Context) (*model.Model, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	head, err := f.checkpoints.Head(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the head: %w", err)
	}
	if f.model != nil && head.Checkpoint == f.checkpoint {
		return f.model, nil
	}
	if head.Checkpoint == "" {
		f.model, err = model.New(f.config)
		return f.model, err
	}
	_, parts, err := f.checkpoints.Load(ctx, head.Checkpoint)
	if err != nil {
		return nil, fmt.Errorf("load checkpoint %s: %w", head.Checkpoint, err)
	}
	own := make([]model.Part, len(parts))
	for i, p := range parts {
		own[i] = model.Part{Name: p.Name, Data: p.Data}
	}
	m, err := model.Open(f.config, own)
	if err != nil {
		return nil, fmt.Errorf("open checkpoint %s: %w", head.Checkpoint, err)
	}
	f.model, f.checkpoint = m, head.Checkpoint
	return m, nil
}
