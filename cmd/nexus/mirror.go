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
func (s *shared) openMirror(ctx context.Context, h *house, folder *dir.Store, roles roleSet) error {
	b, err := bucketOf(s.settings, true)
	if err != nil {
		return err
	}
	tell := &messenger{queue: s.queue}
	s.mirror = mirror.New(folder, b, mirror.Options{
		Prepare: b.Prepare, Strict: s.settings.S3Strict, CacheBytes: int64(s.settings.CacheMB) << 20,
		// A scheduler never loads a model.
		Whole: roles.api || roles.worker, Pushed: tell.others, Pulled: tell.own, Log: s.log,
	})
	s.messenger = tell
	h.add("storage", s.mirror)
	h.started++
	if err := s.mirror.Start(ctx); err != nil {
		return fmt.Errorf("follow the bucket of NEXUS_S3_ENDPOINT: %w", err)
	}
	h.add("messages of other hosts", &ear{queue: s.queue, heard: s.mirror.Kick})
	return nil
}

// messenger passes on that a record has moved.
type messenger struct {
	queue  publisher
	worker atomic.Pointer[worker.Worker]
}

type publisher interface {
	Publish(ctx context.Context, channel, msg string) error
	Subscribe(ctx context.Context, channel string) <-chan string
}

// others tells the other hosts that the bucket has news. A message that is lost
// costs them a second.
func (m *messenger) others(key string) {
	channel := job.ChannelCheckpoint
	if key == storage.ControlKey {
		channel = job.ChannelControl
	}
	_ = m.queue.Publish(context.Background(), channel, job.MessageChanged)
}

// own has the worker of this process look at what came.
func (m *messenger) own(string) {
	if w := m.worker.Load(); w != nil {
		w.Look()
	}
}

// ear hears what other processes say and does the same thing each time.
type ear struct {
	queue publisher
	heard func()
	life  lifecycle.Life
}

// Start begins to listen.
func (e *ear) Start(ctx context.Context) error {
	return e.life.Start(ctx, func(life context.Context) error {
		for _, channel := range []string{job.ChannelCheckpoint, job.ChannelControl} {
			said := e.queue.Subscribe(life, channel)
			e.life.Go(func(context.Context) {
				for range said {
					e.heard()
				}
			})
		}
		return nil
	})
}

// Stop ends the listening.
func (e *ear) Stop(ctx context.Context) error { return e.life.Stop(ctx) }

// uploads is what a beat says of the mirror.
func (s *shared) uploads(b *heartbeat.Beat) {
	state := s.mirror.State()
	b.Uploads = &heartbeat.Uploads{Bucket: state.Bucket, Pending: state.Pending, Fault: state.Fault}
	if !state.Since.IsZero() {
		b.Uploads.LagSeconds = max(0, time.Since(state.Since).Seconds())
	}
}
