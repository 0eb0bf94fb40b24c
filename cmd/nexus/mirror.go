package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nexus-continuum/nexus/internal/lifecycle"
	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/storage/dir"
	"github.com/nexus-continuum/nexus/storage/mirror"
	"github.com/nexus-continuum/nexus/telemetry/heartbeat"
	"github.com/nexus-continuum/nexus/worker"
)

// openMirror puts the bucket of the settings behind the folder.
func (s *shared) openMirror(ctx context.Context, h *app, folder *dir.Store, roles roleSet) error {
	b, err := bucketOf(s.settings, true)
	if err != nil {
		return err
	}
	tell := &notifier{queue: s.queue}
	s.mirror = mirror.New(folder, b, mirror.Options{
		Prepare: b.Prepare, Strict: s.settings.S3Strict, CacheBytes: int64(s.settings.CacheMB) << 20,
		// A scheduler never loads a model.
		Whole: roles.api || roles.worker, Pushed: tell.others, Pulled: tell.own, Log: s.log,
	})
	s.notifier = tell
	h.add("storage", s.mirror)
	h.started++
	if err := s.mirror.Start(ctx); err != nil {
		return fmt.Errorf("follow the bucket of NEXUS_S3_ENDPOINT: %w", err)
	}
	h.add("messages of other hosts", &subscriber{queue: s.queue, received: s.mirror.Kick})
	return nil
}

// notifier passes on that a record has moved.
type notifier struct {
	queue  publisher
	worker atomic.Pointer[worker.Worker]
}

type publisher interface {
	Publish(ctx context.Context, channel, msg string) error
	Subscribe(ctx context.Context, channel string) <-chan string
}

// others tells the other hosts that the bucket has news. A message that is lost
// costs them a second.
func (m *notifier) others(key string) {
	channel := job.ChannelCheckpoint
	if key == storage.ControlKey {
		channel = job.ChannelControl
	}
	_ = m.queue.Publish(context.Background(), channel, job.MessageChanged)
}

// own has the worker of this process look at what came.
func (m *notifier) own(string) {
	if w := m.worker.Load(); w != nil {
		w.Look()
	}
}

// subscriber receives the messages of other processes and does the same thing each time.
type subscriber struct {
	queue    publisher
	received func()
	life     lifecycle.Life
}

// Start begins to listen.
func (s *subscriber) Start(ctx context.Context) error {
	return s.life.Start(ctx, func(life context.Context) error {
		for _, channel := range []string{job.ChannelCheckpoint, job.ChannelControl} {
			messages := s.queue.Subscribe(life, channel)
			s.life.Go(func(context.Context) {
				for range messages {
					s.received()
				}
			})
		}
		return nil
	})
}

// Stop ends the listening.
func (s *subscriber) Stop(ctx context.Context) error { return s.life.Stop(ctx) }

// uploads is what a beat says of the mirror.
func (s *shared) uploads(b *heartbeat.Beat) {
	state := s.mirror.State()
	b.Uploads = &heartbeat.Uploads{Bucket: state.Bucket, Pending: state.Pending, Fault: state.Fault}
	if state.Folder != "" && b.Folder != nil && b.Folder.Fault == "" {
		b.Folder.Fault = state.Folder
	}
	if !state.Since.IsZero() {
		b.Uploads.LagSeconds = max(0, time.Since(state.Since).Seconds())
	}
}
