package api

import (
	"context"
	"time"

	"github.com/hibiken/asynq"

	"github.com/nexus-continuum/nexus/internal/redishealth"
	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue"
	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/telemetry/interaction"
	"github.com/nexus-continuum/nexus/topic"
)

// Queue is what the API needs from the transport of jobs; *queue.Queue implements it.
type Queue interface {
	Submit(ctx context.Context, spec job.Spec) (job.Job, error)
	Ask(ctx context.Context, spec job.Spec, wait time.Duration) (*job.Answer, *job.Job, error)
	// Overloaded returns why an Ask would be refused now, or nil. It does not contact
	// Redis.
	Overloaded() error
	Job(ctx context.Context, id string) (job.Job, error)
	Jobs(ctx context.Context, f queue.Filter) (jobs []job.Job, next string, err error)
	Cancel(ctx context.Context, id string) (job.Job, error)
	Follow(ctx context.Context, id, lastEventID string) (<-chan queue.Event, error)
	// Listen calls onMessage for each message on a channel of Redis until off is called.
	Listen(ctx context.Context, channel string, onMessage func(msg string, renewed bool)) (off func())
	Lanes(ctx context.Context) ([]queue.LaneState, error)
	PauseLane(ctx context.Context, lane job.Lane, paused bool, reason string) error
	Repairs(ctx context.Context) (map[string]int64, error)
	Dropped(ctx context.Context) (map[string]int64, error)
	EndedBytes(ctx context.Context) (int64, error)
	Bounds() queue.Bounds
	Publish(ctx context.Context, channel, msg string) error
	Ping(ctx context.Context) error
	// Check tries the Redis operations that jobs need. The error says what Redis
	// refuses.
	Check(ctx context.Context) error
	RedisState(ctx context.Context) (redishealth.RedisState, error)
	Asynq() asynq.RedisConnOpt
}

// Interactions is the log of what was asked and answered; *interaction.Log implements
// it.
type Interactions interface {
	Find(ctx context.Context, id string) (job.Interaction, error)
	Refusals(ctx context.Context, owner *string, cursor string, keep interaction.Keep) (page []interaction.Refusal, next string, err error)
	DropRefusals(ctx context.Context, owner *string, ids ...string) (groups int, err error)
	Grouped(ctx context.Context, list interaction.List, owner *string, cursor string, keep interaction.Keep) (page []interaction.Refusal, next string, err error)
	DropGroups(ctx context.Context, list interaction.List, owner *string, ids ...string) (groups int, err error)
	Settle(ctx context.Context, owner *string, it job.Interaction) error
	MarkWrong(ctx context.Context, it job.Interaction) error
	Hits(ctx context.Context) (map[string]interaction.Hits, error)
	HitsOf(ctx context.Context, lessons ...[]string) ([]interaction.Hits, error)
	RunsKey() string
	Dropped(ctx context.Context) (int64, error)
	Bounds() interaction.Bounds
}

// Presence is what the processes of the cluster tell of themselves; *presence.Presence
// implements it.
type Presence interface {
	RollCall(ctx context.Context, known int)
	BeatsAndPast(ctx context.Context) (beats map[string][]byte, past map[string]int64, err error)
}

// Datasets stores what is taught; *storage.Datasets implements it.
type Datasets interface {
	Create(ctx context.Context, meta storage.DatasetMeta) (*storage.DatasetWriter, error)
	Delete(ctx context.Context, id string) error
	IDs(ctx context.Context) ([]string, error)
	Open(ctx context.Context, id string) (*storage.DatasetReader, error)
}

// Checkpoints is what the API shows and moves; *storage.Checkpoints implements it.
type Checkpoints interface {
	Head(ctx context.Context) (storage.Head, error)
	List(ctx context.Context) ([]storage.Manifest, error)
	Promote(ctx context.Context, id string) (storage.Head, error)
	Registry(ctx context.Context) (storage.Registry, error)
	SetChallenger(ctx context.Context, id string) error
}

// Uploads reports what waits to be uploaded to the bucket behind the storage;
// *mirror.Store implements it.
type Uploads interface {
	Waiting(ctx context.Context) (checkpoints map[string]bool, err error)
}

// Control is the record that the whole cluster follows; *storage.ControlRecord
// implements it.
type Control interface {
	Read(ctx context.Context) (storage.Control, error)
	Update(ctx context.Context, change func(*storage.Control)) (storage.Control, error)
}

// Topics are the packs that train_start can teach; *topic.Library implements it.
type Topics interface {
	Names() []string
	Pack(name string) (topic.Pack, error)
}
