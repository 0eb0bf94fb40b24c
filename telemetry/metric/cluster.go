package metric

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/nexus-continuum/nexus/internal/redishealth"
	"github.com/nexus-continuum/nexus/queue"
	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/telemetry/heartbeat"
)

// Queue is what the cluster's metrics need of the transport; *queue.Queue is one.
type Queue interface {
	Ping(ctx context.Context) error
	Check(ctx context.Context) error
	RedisState(ctx context.Context) (redishealth.RedisState, error)
	Lanes(ctx context.Context) ([]queue.LaneState, error)
	Repairs(ctx context.Context) (map[string]int64, error)
	Dropped(ctx context.Context) (map[string]int64, error)
}

// Interactions is the log of what was asked and answered; *interaction.Log is one.
type Interactions interface {
	Dropped(ctx context.Context) (int64, error)
}

// Presence is what the processes of the cluster tell of themselves; *presence.Presence is
// one.
type Presence interface {
	Beats(ctx context.Context) (map[string][]byte, error)
}

// Checkpoints is what was learned; *storage.Checkpoints is one.
type Checkpoints interface {
	Head(ctx context.Context) (storage.Head, error)
	List(ctx context.Context) ([]storage.Manifest, error)
}

// Control is the record of what operators told the cluster;
// *storage.ControlRecord is one.
type Control interface {
	Read(ctx context.Context) (storage.Control, error)
}

// ClusterOptions name what the cluster's metrics are read from.
type ClusterOptions struct {
	Queue        Queue
	Presence     Presence
	Interactions Interactions
	Checkpoints  Checkpoints
	Control      Control
	// Inspector, if not nil, adds asynq's own metrics.
	Inspector *asynq.Inspector
	Now       func() time.Time
	Log       *slog.Logger
}

const (
	// collectWithin bounds the reading of the cluster, so that a scrape is
	// answered within Prometheus's own limit of 10 s also while Redis or the
	// storage hang.
	collectWithin = 3 * time.Second
	// storeEvery is how old what is shown of the storage may be: it may be far
	// away, and many scrapers may ask.
	storeEvery = 10 * time.Second
)

// Cluster shows the facts that are the same whichever process tells them:
// queues, processes, checkpoints, what operators set. Take the maximum over the
// processes that tell them, not the sum.
type Cluster struct {
	opt       ClusterOptions
	desc      clusterDescs
	transport *transport

	mu    sync.Mutex
	store stored
}

// stored is what was last read of the storage.
type stored struct {
	at        time.Time
	err       error
	head      storage.Head
	manifests []storage.Manifest
	control   storage.Control
}

type clusterDescs struct {
	redisUp, redisPing, storageUp                                       *prometheus.Desc
	redisWritable, redisUsed, redisLimit                                *prometheus.Desc
	depth, limit, age, paused, processed, failed                        *prometheus.Desc
	repairs, dropped                                                    *prometheus.Desc
	processes, behind                                                   *prometheus.Desc
	checkpoints, bytes, headAt, headLessons, headDatasets, headHasMoved *prometheus.Desc
	learningPaused, learningStopped                                     *prometheus.Desc
}

// NewCluster returns a collector of the cluster.
func NewCluster(opt ClusterOptions) *Cluster {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	c := &Cluster{opt: opt, desc: clusterDescs{
		redisUp:       desc("nexus_redis_up", "Whether Redis answers this process."),
		redisPing:     desc("nexus_redis_ping_seconds", "Time that Redis took to answer a ping."),
		redisWritable: desc("nexus_redis_writable", "Whether Redis takes jobs: a read-only replica and a full server answer and take none."),
		redisUsed:     desc("nexus_redis_memory_used_bytes", "Memory that Redis uses."),
		redisLimit:    desc("nexus_redis_memory_limit_bytes", "Memory that Redis may use (maxmemory); 0 is no limit."),

		storageUp: desc("nexus_storage_up", "Whether the storage of checkpoints can be read."),

		depth:     desc("nexus_queue_depth", "Jobs in a queue by state: pending, active, delayed.", "queue", "state"),
		limit:     desc("nexus_queue_limit", "Pending jobs at which a queue is full.", "queue"),
		age:       desc("nexus_queue_oldest_age_seconds", "How long the first job in line has waited.", "queue"),
		paused:    desc("nexus_queue_paused", "Whether a queue is paused.", "queue"),
		processed: desc("nexus_queue_processed_total", "Jobs taken from a queue and run.", "queue"),
		failed:    desc("nexus_queue_failed_total", "Runs of jobs that failed, those to be tried again included.", "queue"),

		repairs: desc("nexus_repairs_total", "What fell between processes and was put right, by kind.", "what"),
		dropped: desc("nexus_retention_dropped_total", "What the bounds of retention dropped.", "what"),

		processes: desc("nexus_processes", "Processes that beat, by role.", "role"),
		behind:    desc("nexus_workers_behind", "Workers that serve a checkpoint older than the head, or none."),

		checkpoints:  desc("nexus_checkpoints", "Checkpoints kept."),
		bytes:        desc("nexus_checkpoint_stored_bytes", "Size of all checkpoints in the storage; parts shared between them count once."),
		headAt:       desc("nexus_checkpoint_created_timestamp_seconds", "When the checkpoint that is the head was made."),
		headHasMoved: desc("nexus_checkpoint_head_timestamp_seconds", "When the head was last moved."),
		headLessons:  desc("nexus_checkpoint_lessons", "Lessons in the checkpoint that is the head."),
		headDatasets: desc("nexus_checkpoint_datasets", "Datasets that the head has learned from."),

		learningPaused:  desc("nexus_learning_paused", "Whether an operator paused learning."),
		learningStopped: desc("nexus_learning_stopped", "Whether an operator stopped gradient steps."),
	}}
	if opt.Inspector != nil {
		c.transport = newTransport(opt.Inspector)
	}
	return c
}

// Describe implements prometheus.Collector. It names nothing in advance, since
// asynq's own collector would ask Redis for its names.
func (*Cluster) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector. What cannot be read is left out.
func (c *Cluster) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), collectWithin)
	defer cancel()
	s := c.readStore(ctx)
	c.collectStore(out, s)
	if c.collectRedis(ctx, out) {
		c.collectLanes(ctx, out)
		c.collectCounts(ctx, out)
		c.collectBeats(ctx, out, s)
		if c.transport != nil {
			c.transport.collect(out)
		}
	}
}

func (c *Cluster) collectRedis(ctx context.Context, out chan<- prometheus.Metric) bool {
	began := time.Now()
	err := c.opt.Queue.Ping(ctx)
	gauge(out, c.desc.redisUp, truth(err == nil))
	if err == nil {
		gauge(out, c.desc.redisPing, time.Since(began).Seconds())
		gauge(out, c.desc.redisWritable, truth(c.opt.Queue.Check(ctx) == nil))
		if s, err := c.opt.Queue.RedisState(ctx); err == nil && s.UsedBytes > 0 {
			gauge(out, c.desc.redisUsed, float64(s.UsedBytes))
			gauge(out, c.desc.redisLimit, float64(s.MaxBytes))
		}
	}
	return err == nil
}

func (c *Cluster) collectLanes(ctx context.Context, out chan<- prometheus.Metric) {
	lanes, err := c.opt.Queue.Lanes(ctx)
	if err != nil {
		c.opt.Log.Debug("the queues cannot be measured", "error", err)
		return
	}
	for _, l := range lanes {
		name := string(l.Name)
		gauge(out, c.desc.depth, float64(l.Pending), name, "pending")
		gauge(out, c.desc.depth, float64(l.Active), name, "active")
		gauge(out, c.desc.depth, float64(l.Delayed), name, "delayed")
		gauge(out, c.desc.limit, float64(l.Max), name)
		gauge(out, c.desc.age, l.OldestMS/1000, name)
		gauge(out, c.desc.paused, truth(l.Paused), name)
		counter(out, c.desc.processed, float64(l.Processed), name)
		counter(out, c.desc.failed, float64(l.Failed), name)
	}
}

func (c *Cluster) collectCounts(ctx context.Context, out chan<- prometheus.Metric) {
	for _, of := range []struct {
		read func(context.Context) (map[string]int64, error)
		desc *prometheus.Desc
	}{{c.opt.Queue.Repairs, c.desc.repairs}, {c.opt.Queue.Dropped, c.desc.dropped}, {c.droppedInteractions, c.desc.dropped}} {
		sums, err := of.read(ctx)
		if err != nil {
			c.opt.Log.Debug("repairs cannot be counted", "error", err)
			continue
		}
		for what, n := range sums {
			counter(out, of.desc, float64(n), what)
		}
	}
}

func (c *Cluster) droppedInteractions(ctx context.Context) (map[string]int64, error) {
	n, err := c.opt.Interactions.Dropped(ctx)
	return map[string]int64{"interactions": n}, err
}

func (c *Cluster) collectBeats(ctx context.Context, out chan<- prometheus.Metric, s stored) {
	payloads, err := c.opt.Presence.Beats(ctx)
	if err != nil {
		c.opt.Log.Debug("the processes cannot be counted", "error", err)
		return
	}
	// Beats that cannot be read are of another version; the others count.
	beats, err := heartbeat.Decode(payloads)
	if err != nil {
		c.opt.Log.Debug("some beats cannot be read", "error", err)
	}
	roles := map[string]int{heartbeat.RoleAPI: 0, heartbeat.RoleWorker: 0, heartbeat.RoleScheduler: 0}
	behind := 0
	for _, b := range beats {
		for role := range roles {
			if b.Has(role) {
				roles[role]++
			}
		}
		if b.Has(heartbeat.RoleWorker) && isBehind(b.Model, s.head) {
			behind++
		}
	}
	for role, n := range roles {
		gauge(out, c.desc.processes, float64(n), role)
	}
	if s.err == nil {
		gauge(out, c.desc.behind, float64(behind))
	}
}

// isBehind tells whether a model is older than the head. What was loaded after
// the head moved is not: the head shown here may be some seconds old.
func isBehind(m *heartbeat.Model, head storage.Head) bool {
	switch {
	case head.Checkpoint == "":
		return false
	case m == nil || m.LoadedAt == nil:
		return true
	}
	return m.Checkpoint != head.Checkpoint && m.LoadedAt.Before(head.MovedAt)
}

// readStore reads the storage at most every storeEvery.
func (c *Cluster) readStore(ctx context.Context) stored {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.opt.Now()
	if !c.store.at.IsZero() && now.Sub(c.store.at) < storeEvery {
		return c.store
	}
	s := stored{at: now}
	if s.control, s.err = c.opt.Control.Read(ctx); s.err == nil {
		if s.head, s.err = c.opt.Checkpoints.Head(ctx); s.err == nil {
			s.manifests, s.err = c.opt.Checkpoints.List(ctx)
		}
	}
	if s.err != nil {
		c.opt.Log.Debug("the storage cannot be measured", "error", s.err)
	}
	c.store = s
	return s
}

func (c *Cluster) collectStore(out chan<- prometheus.Metric, s stored) {
	gauge(out, c.desc.storageUp, truth(s.err == nil))
	if s.err != nil {
		return
	}
	gauge(out, c.desc.learningPaused, truth(s.control.Paused))
	gauge(out, c.desc.learningStopped, truth(!s.control.Training))
	gauge(out, c.desc.checkpoints, float64(len(s.manifests)))
	gauge(out, c.desc.bytes, float64(storedBytes(s.manifests)))
	for _, m := range s.manifests {
		if m.ID == s.head.Checkpoint {
			gauge(out, c.desc.headAt, seconds(m.CreatedAt))
			gauge(out, c.desc.headHasMoved, seconds(s.head.MovedAt))
			gauge(out, c.desc.headLessons, float64(m.Meta.Lessons))
			gauge(out, c.desc.headDatasets, float64(m.Datasets))
		}
	}
}

// storedBytes counts each part once, however many checkpoints share it.
func storedBytes(manifests []storage.Manifest) int64 {
	var n int64
	seen := map[string]bool{}
	for _, m := range manifests {
		for _, p := range m.Parts {
			if !seen[p.Stored.SHA256] {
				seen[p.Stored.SHA256] = true
				n += p.Stored.Size
			}
		}
	}
	return n
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
