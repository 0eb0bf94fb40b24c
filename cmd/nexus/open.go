package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"gopkg.in/natefinch/lumberjack.v2"

	"github.com/nexus-continuum/nexus/api"
	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/model/base"
	"github.com/nexus-continuum/nexus/queue"
	"github.com/nexus-continuum/nexus/queue/outbox"
	"github.com/nexus-continuum/nexus/queue/provider"
	"github.com/nexus-continuum/nexus/queue/webhook"
	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/storage/dir"
	"github.com/nexus-continuum/nexus/storage/mirror"
	"github.com/nexus-continuum/nexus/telemetry/footprint"
	"github.com/nexus-continuum/nexus/telemetry/heartbeat"
	"github.com/nexus-continuum/nexus/telemetry/interaction"
	"github.com/nexus-continuum/nexus/telemetry/presence"
	"github.com/nexus-continuum/nexus/telemetry/tracing"
	"github.com/nexus-continuum/nexus/topic"
	"github.com/nexus-continuum/nexus/topic/teacher"
	"github.com/nexus-continuum/nexus/worker"
	"github.com/nexus-continuum/nexus/worker/governor"
)

// shared is what the roles of one process have in common.
type shared struct {
	settings     *Settings
	values       []value // of the settings, with their sources
	hide         *redaction
	redis        *provider.Provider
	queue        *queue.Queue
	interactions *interaction.Log
	presence     *presence.Presence
	store        storage.Store
	mirror       *mirror.Store // the store, where a bucket is behind the folder; else nil
	notifier     *notifier     // of the mirror
	where        string        // the store in words
	datasets     *storage.Datasets
	checkpoints  *storage.Checkpoints
	control      *storage.ControlRecord
	base         *base.File
	unobserved   bool
	machine      machine
	recorder     *heartbeat.Recorder
	tracing      *tracing.Tracing // nil unless asked for
	memory       *footprint.Manager
	log          *slog.Logger
}

// open makes the parts of a process. What it returns must be stopped, also
// beside an error.
func open(ctx context.Context, rt *runtime, name string, roles roleSet, log *slog.Logger) (*app, error) {
	h := &app{failed: make(chan error, 1), log: log}
	s := &shared{settings: rt.settings, values: rt.values, hide: rt.hide, log: log, unobserved: rt.main.unobserved, machine: rt.main.machine}
	s.recorder = heartbeat.New(heartbeat.Options{Roles: roles.names(), Version: versionText(), Now: clock()})
	var err error
	if err := s.openTracing(ctx, rt, h); err != nil {
		return h, err
	}
	if s.base, err = openBase(rt.settings); err != nil {
		return h, err
	}
	if err := s.openQueue(ctx, h); err != nil {
		return h, err
	}
	if err := s.openStore(ctx, h, roles); err != nil {
		return h, err
	}
	h.add("log of interactions", s.interactions)
	h.add("queue", s.queue)
	h.add("presence", s.presence)
	if err := s.safeMode(ctx, name); err != nil {
		return h, err
	}
	if s.memory, err = footprint.New(footprint.Options{
		WarningMB: float64(rt.settings.MemoryWarningMB), CriticalMB: float64(rt.settings.MemoryCriticalMB), Now: time.Now, Log: log,
	}); err != nil {
		return h, err
	}
	s.recorder.Fill(s.memory.Fill)
	if !s.unobserved {
		h.add("memory", s.memory)
	}
	if s.mirror != nil {
		s.recorder.Fill(s.uploads)
	}
	var w *worker.Worker
	if roles.worker {
		if w, err = s.openWorker(ctx, h); err != nil {
			return h, err
		}
	}
	if !s.unobserved {
		h.add("heartbeat", heartbeat.NewPulse(s.recorder, heartbeat.NewResources(time.Now), s.presence.Beat, s.presence.Remove, log).OnCalls(s.presence.OnRollCall))
	}
	if roles.scheduler {
		sched, err := s.openScheduler()
		if err != nil {
			return h, err
		}
		h.add("scheduler", sched)
	}
	registry, err := s.openMetrics(h, roles, w)
	if err != nil {
		return h, err
	}
	if roles.api {
		if err := s.openAPI(ctx, h, w, registry); err != nil {
			return h, err
		}
	}
	addPprof(h, s.settings, rt.hide, log)
	h.addLine("role", name)
	h.addLine("redis", s.redis.Name+": "+s.redis.Describe())
	h.addLine("storage", s.where)
	return h, nil
}

func (r roleSet) names() []string {
	var out []string
	if r.api {
		out = append(out, heartbeat.RoleAPI)
	}
	if r.worker {
		out = append(out, heartbeat.RoleWorker)
	}
	if r.scheduler {
		out = append(out, heartbeat.RoleScheduler)
	}
	return out
}

// openStore opens the folder, and the bucket behind it if there is one.
func (s *shared) openStore(ctx context.Context, h *app, roles roleSet) error {
	d, err := dir.Open(s.settings.storageDir())
	if err != nil {
		return fmt.Errorf("open the storage in NEXUS_DATA_DIR: %w", err)
	}
	// A restore must not replace what we serve from.
	release, err := d.Hold()
	if err != nil {
		return fmt.Errorf("open the storage in NEXUS_DATA_DIR: %w", err)
	}
	h.add("storage folder", stopFunc(func(context.Context) error { release(); return nil }))
	h.started++
	if !s.unobserved {
		watch := &folderWatch{probe: d.Probe, log: s.log}
		s.recorder.Fill(watch.fill)
		h.add("look at the storage folder", watch)
		// It runs from here on: the parts after it may already run when they are added.
		h.started++
		if err := watch.Start(ctx); err != nil {
			return err
		}
	}
	s.store, s.where = d, s.settings.storageDir()
	if s.settings.S3Endpoint != "" {
		if err := s.openMirror(ctx, h, d, roles); err != nil {
			return err
		}
		s.store, s.where = s.mirror, s.mirror.String()
	}
	s.datasets = storage.NewDatasets(s.store, storage.DatasetOptions{Log: s.log, Now: clock()})
	s.checkpoints = storage.NewCheckpoints(s.store, storage.Options{Log: s.log, Now: clock()})
	s.control = storage.NewControl(s.store, storage.ControlOptions{Log: s.log, Now: clock()})
	return nil
}

// openQueue finds a Redis and stands the queue on it. Both run from here on,
// since the other parts need them to be made.
func (s *shared) openQueue(ctx context.Context, h *app) error {
	if s.settings.RedisURL != "" {
		if _, err := provider.Parse(s.settings.RedisURL); err != nil {
			return &settingError{"NEXUS_REDIS_URL", s.settings.RedisURL, err.Error()}
		}
	}
	found, err := provider.Start(ctx, provider.Options{URL: s.settings.RedisURL, Dir: s.settings.DataDir, Mode: s.settings.Redis, Log: s.log})
	if err != nil {
		return fmt.Errorf("find a Redis: %w", err)
	}
	s.redis = found
	h.add("redis", stopFunc(found.Stop))
	h.started++
	s.interactions = interaction.New(interaction.Options{
		Redis: found.Client(), Retention: s.settings.LogRetention.D(), Length: s.settings.LogLength, Now: clock(), Log: s.log,
	})
	s.queue = queue.Open(queue.Options{
		Redis: found.Client(), Asynq: found.Asynq(), Shards: s.settings.QueueShards, MaxQueue: s.settings.MaxQueue,
		ResultRetention: s.settings.ResultRetention.D(), FailedRetention: s.settings.FailedRetention.D(),
		ResultBytes:   int64(s.settings.ResultMaxMB) << 20,
		MaxQueueDelay: s.settings.MaxQueueDelay.D(), Delivered: s.interactions.Job,
		Now: clock(), Tracer: s.tracer("queue"), Log: s.log,
	})
	s.presence = presence.New(presence.Options{Redis: found.Client(), Listener: s.queue})
	if lacks := s.queue.Lacks(ctx); lacks != "" {
		return &settingError{"NEXUS_REDIS_URL", s.settings.RedisURL, lacks}
	}
	return nil
}

// modelSeed makes two deployments that were taught the same learn the same.
const modelSeed = 1

// modelConfig is what to build when nothing was learned yet.
func (s *shared) modelConfig() model.Config {
	return model.Config{
		Architecture: s.settings.Architecture, Size: s.settings.ModelSize, Seed: modelSeed, Base: s.base,
		MaxFlowSteps: s.settings.MaxFlowSteps, ConvergenceThreshold: s.settings.ConvergenceThreshold,
		TargetError: s.settings.TargetError, ReplayBuffer: max(s.settings.ReplayBufferSize, 1),
	}
}

func (s *shared) openWorker(ctx context.Context, h *app) (*worker.Worker, error) {
	system, err := s.machine.system()
	if err != nil {
		return nil, fmt.Errorf("look at this machine: %w", err)
	}
	h.add("sampler", stopFunc(func(context.Context) error { system.Close(); return nil }))
	gov, err := governor.New(governor.Options{Sampler: system, Log: s.log, Relieve: s.memory.Relieve, Every: s.readEvery(), Limits: governor.Limits{
		GPUMemory: float64(s.settings.GPUMemoryLimit), GPUUtilization: float64(s.settings.GPUUtilization),
		GPUWarning: float64(s.settings.GPUThermalWarning), GPUCritical: float64(s.settings.GPUThermalCrit),
		ActiveCPU: s.settings.ActiveCPULimit, IdleCPU: s.settings.IdleCPULimit, MemoryMB: float64(s.settings.MemoryLimitMB),
	}})
	if err != nil {
		return nil, err
	}
	h.add("governor", gov)
	hardware, device, err := s.openDevice(ctx, system, gov)
	if err != nil {
		return nil, err
	}
	if device != nil {
		h.add("GPUs", device)
	}
	writes, err := s.openTeacher()
	if err != nil {
		return nil, err
	}
	sees, err := s.openEmbeddings(ctx)
	if err != nil {
		return nil, err
	}
	opt := worker.Options{
		Queue: worker.On(s.queue), Interactions: s.interactions, Checkpoints: s.checkpoints, Datasets: s.datasets, Control: s.control, Validity: s.validity(), Governor: gov, Embeddings: sees,
		Late: s.mirror != nil, Model: s.modelConfig(), Slots: s.settings.Concurrency, ServeOnly: s.settings.ServeOnly, Recorder: s.recorder, Hardware: hardware,
		Shadow: s.settings.Shadow, Challengers: s.checkpoints, LogPrompts: s.settings.LogPrompts, Unobserved: s.unobserved, Now: clock(), Log: s.log,
	}
	if device != nil {
		opt.Device = device
	}
	if writes != nil {
		opt.Teacher = writes
	}
	w, err := worker.New(opt) //nolint:contextcheck // what it makes lives longer than the start
	if err != nil {
		return nil, err
	}
	if s.notifier != nil {
		s.notifier.worker.Store(w)
	}
	h.add("worker", w)
	s.memory.OnPressure(w.Relieve)
	h.addLine("device", hardware.Device+": "+hardware.Why)
	return w, nil
}

// openTeacher is the teacher that writes lessons; nil if there is none.
func (s *shared) openTeacher() (*teacher.Teacher, error) {
	if s.settings.TeacherURL == "" {
		return nil, nil //nolint:nilnil // none is no error
	}
	return teacher.New(teacher.Options{
		URL: s.settings.TeacherURL, Model: s.settings.TeacherModel, APIKey: s.settings.TeacherAPIKey,
		Answers: s.settings.TeacherAnswers, Timeout: s.settings.TeacherTimeout.D(),
	})
}

// validity is the record of when answers may be given.
func (s *shared) validity() *storage.ValidityRecord { return storage.NewValidity(s.store, clock()) }

// readEvery is how often the governor reads the machine; zero is its default.
func (s *shared) readEvery() time.Duration {
	if s.unobserved {
		return time.Hour
	}
	return 0
}

func (s *shared) guard() webhook.Guard {
	ports, _ := s.settings.webhookPorts() // they were checked at the start
	return webhook.Guard{AllowPrivate: s.settings.WebhookAllowPrivate, Ports: ports}
}

// openWebhooks makes the delivery of events: the processes that face the
// network share it.
func (s *shared) openWebhooks(ctx context.Context, h *app, registry *prometheus.Registry) error {
	secret := s.settings.WebhookSecret
	if secret == "" {
		var err error
		if secret, err = webhook.KeptSecret(ctx, s.store, rand.Reader); err != nil {
			return err
		}
	}
	events := outbox.New(outbox.Options{Redis: s.redis.Client(), Queue: s.queue, Log: s.log})
	d, err := webhook.New(webhook.Options{Outbox: events, Secret: secret, Guard: s.guard(), Log: s.log})
	if err != nil {
		return err
	}
	h.add("webhooks", d)
	return registry.Register(webhook.NewCounter(events))
}

func (s *shared) openAPI(ctx context.Context, h *app, w *worker.Worker, registry *prometheus.Registry) error {
	library, err := topic.Open(s.settings.TopicsDir)
	if err != nil {
		return &settingError{"NEXUS_TOPICS_DIR", s.settings.TopicsDir, err.Error()}
	}
	known := knownTo(w)
	if w == nil {
		f := &follower{checkpoints: s.checkpoints, datasets: s.datasets, validity: s.validity(), config: s.modelConfig()}
		s.memory.OnPressure(f.relieve)
		known = f.known
	}
	kind := "directory"
	if s.settings.S3Endpoint != "" {
		kind = "s3"
	}
	if err := s.openWebhooks(ctx, h, registry); err != nil {
		return err
	}
	var uploads api.Uploads
	if s.mirror != nil {
		uploads = s.mirror
	}
	opt := api.Options{
		Queue: s.queue, Interactions: s.interactions, Presence: s.presence, Redis: s.redis.Client(), Datasets: s.datasets, Checkpoints: s.checkpoints, Control: s.control, Known: known, Topics: library,
		Checks: storage.NewChecks(s.store, clock()), Validity: s.validity(),
		Backup: s.backUpNow,
		Tracer: s.tracer("api"), Recorder: s.recorder, Registry: registry, Version: versionText(), CheckWebhook: s.guard().Check,
		RedisMode: s.redis.Name, RedisDescribe: s.redis.Describe(), StorageKind: kind, StorageWhere: s.where, Uploads: uploads,
		DrainDelay: s.settings.drainDelay(os.Getenv), Unobserved: s.unobserved, Now: clock(), Log: s.log,
	}
	writes, err := s.openTeacher()
	if err != nil {
		return err
	}
	if writes != nil {
		opt.Teacher = writes
	}
	opt.Hide = s.hide.known
	opt.Audit = &lumberjack.Logger{
		// With the other log files, where there are any: a container keeps those.
		Filename: filepath.Join(cmp.Or(s.settings.LogDir, s.settings.DataDir), "audit.log"), MaxSize: logFileMB, MaxBackups: auditFiles,
	}
	if err := s.admit(ctx, &opt); err != nil {
		return err
	}
	var certs *certificates
	if opt.TLS, certs, err = s.settings.serverTLS(s.log, time.Now); err != nil {
		return err
	}
	server, err := api.New(opt) //nolint:contextcheck // what it makes lives longer than the start
	if err != nil {
		return err
	}
	h.add("api", server)
	if certs != nil {
		h.add("certificates", certs)
	}
	h.url = server.URL
	return nil
}
