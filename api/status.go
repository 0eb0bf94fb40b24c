package api

import (
	"maps"
	"math"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/telemetry/heartbeat"
)

// status is the body of GET /api/status: the totals of the cluster.
type status struct {
	Health      health                       `json:"health"`
	Daemon      daemon                       `json:"daemon"`
	Control     controlState                 `json:"control"`
	Metrics     metricsPart                  `json:"metrics"`
	Memory      memoryPart                   `json:"memory"`
	Resources   resources                    `json:"resources"`
	Breakers    map[string]heartbeat.Breaker `json:"circuit_breakers"`
	Model       modelPart                    `json:"model"`
	Checkpoints []checkpoint                 `json:"checkpoints"`
	Workers     []worker                     `json:"workers"`
	Processes   []process                    `json:"processes"`
	Queues      map[string]lane              `json:"queues"`
	Repairs     map[string]int64             `json:"repairs"`
	Retention   retention                    `json:"retention"`
	Hardware    []hostHardware               `json:"hardware"`
	Redis       redisPart                    `json:"redis"`
	Storage     storagePart                  `json:"storage"`
}

type daemon struct {
	Running       bool      `json:"running"`
	Paused        bool      `json:"paused"`
	UptimeSeconds float64   `json:"uptime_seconds"`
	Version       string    `json:"version"`
	Time          *job.Time `json:"time"`
}

type controlState struct {
	Version     int64     `json:"version"`
	Paused      bool      `json:"paused"`
	Training    bool      `json:"training"`
	Topic       *string   `json:"topic"`
	TargetError *float64  `json:"target_error"`
	UpdatedAt   *job.Time `json:"updated_at"`
}

type metricsPart struct {
	WindowMS   int64       `json:"window_ms"`
	Requests   requests    `json:"requests"`
	Latency    latency     `json:"latency"`
	Flow       flow        `json:"flow"`
	Confidence percentiles `json:"confidence"`
}

type requests struct {
	Total         int64            `json:"total"`
	SuccessRate   float64          `json:"success_rate"`
	RefusalRate   float64          `json:"refusal_rate"`
	RatePerSecond float64          `json:"rate_per_second"`
	Accepted      int64            `json:"accepted"`
	Failed        int64            `json:"failed"`
	Answered      int64            `json:"answered"`
	Refused       int64            `json:"refused"`
	Refusals      map[string]int64 `json:"refusals"`
}

type latency struct {
	Request milliseconds `json:"request"`
	Queue   milliseconds `json:"queue"`
	Compute milliseconds `json:"compute"`
}

type milliseconds struct {
	Count     int64   `json:"count"`
	AverageMS float64 `json:"average_ms"`
	P50MS     float64 `json:"p50_ms"`
	P95MS     float64 `json:"p95_ms"`
	P99MS     float64 `json:"p99_ms"`
	MaxMS     float64 `json:"max_ms"`
}

type percentiles struct {
	Count   int64   `json:"count"`
	Average float64 `json:"average"`
	P50     float64 `json:"p50"`
	P95     float64 `json:"p95"`
}

type flow struct {
	AverageDepth    float64 `json:"average_depth"`
	P95Depth        float64 `json:"p95_depth"`
	ConvergenceRate float64 `json:"convergence_rate"`
}

type memoryPart struct {
	Process heartbeat.Memory `json:"process"`
}

type resources struct {
	CPUPercent        float64 `json:"cpu_percent"`
	ProcessCPUPercent float64 `json:"process_cpu_percent"`
	Mode              string  `json:"mode"`
	Reason            *string `json:"reason"`
}

type modelPart struct {
	Architecture        *string        `json:"architecture"`
	Size                *string        `json:"size"`
	Parameters          int            `json:"parameters"`
	Checkpoint          *string        `json:"checkpoint"`
	ConfidenceThreshold float64        `json:"confidence_threshold"`
	TargetError         float64        `json:"target_error"`
	Lessons             int            `json:"lessons"`
	Answers             int            `json:"answers"`
	Topics              map[string]int `json:"topics"`
	// Successor is the model that is trained to replace it; null if there is none.
	Successor *replacement `json:"successor"`
}

type replacement struct {
	Architecture string  `json:"architecture"`
	Size         string  `json:"size"`
	State        string  `json:"state"`
	Done         int     `json:"done"`
	Total        int     `json:"total"`
	Why          *string `json:"why"`
}

type worker struct {
	ID         string  `json:"id"`
	Host       string  `json:"host"`
	Device     string  `json:"device"`
	Mode       string  `json:"mode"`
	ModeReason *string `json:"mode_reason"`
	Busy       int     `json:"busy"`
	Slots      int     `json:"slots"`
	Trainer    bool    `json:"trainer"`
	Training   *string `json:"training"`
	Checkpoint *string `json:"checkpoint"`
	// Unloaded is the head if this worker cannot serve it.
	Unloaded *heartbeat.Unloaded `json:"unloaded"`
	// Embeddings is the state of its embedding server; nil if there is none.
	Embeddings *heartbeat.Embeddings `json:"embeddings"`
	// GPUs are the GPUs that this worker computes on.
	GPUs   []heartbeat.Card `json:"gpus"`
	SeenAt *job.Time        `json:"seen_at"`
}

type process struct {
	ID            string           `json:"id"`
	Roles         []string         `json:"roles"`
	Host          string           `json:"host"`
	PID           int              `json:"pid"`
	Version       string           `json:"version"`
	UptimeSeconds float64          `json:"uptime_seconds"`
	CPUPercent    float64          `json:"cpu_percent"`
	Memory        heartbeat.Memory `json:"memory"`
}

type lane struct {
	Pending   int64   `json:"pending"`
	Active    int64   `json:"active"`
	Delayed   int64   `json:"delayed"`
	Max       int     `json:"max"`
	Paused    bool    `json:"paused"`
	Reason    *string `json:"reason"`
	OldestMS  float64 `json:"oldest_ms"`
	Processed int64   `json:"processed"`
	Failed    int64   `json:"failed"`
}

// retention shows every limit on what is kept, and what the limits dropped.
type retention struct {
	ResultMS        int64            `json:"result_ms"`
	FailedMS        int64            `json:"failed_ms"`
	MaxResultBytes  int64            `json:"max_result_bytes"`
	ResultBytes     int64            `json:"result_bytes"`
	IdempotencyMS   int64            `json:"idempotency_ms"`
	InteractionsMS  int64            `json:"interactions_ms"`
	MaxInteractions int64            `json:"max_interactions"`
	MaxEvents       int              `json:"max_events_per_job"`
	MaxWebhook      int              `json:"max_webhook_events_per_job"`
	MaxWebhookJobs  int              `json:"max_webhook_jobs_per_queue"`
	Dropped         map[string]int64 `json:"dropped"`
}

type hostHardware struct {
	Host string `json:"host"`
	heartbeat.Hardware
}

type redisPart struct {
	Rung      string  `json:"rung"`
	Describe  string  `json:"describe"`
	Connected bool    `json:"connected"`
	PingMS    float64 `json:"ping_ms"`
	// Fault is why it takes no jobs although it responds; null if it takes jobs.
	Fault      *string `json:"fault"`
	UsedBytes  int64   `json:"used_bytes"`
	MaxBytes   int64   `json:"max_bytes"`
	Policy     *string `json:"policy"`
	AppendOnly *bool   `json:"append_only"`
}

type storagePart struct {
	Kind    string `json:"kind"`
	Where   string `json:"where"`
	Healthy bool   `json:"healthy"`
	// Fault is why a folder cannot be written; null if all can.
	Fault *string `json:"fault"`
	// Uploads is null if there is no bucket.
	Uploads *uploads `json:"uploads"`
}

type uploads struct {
	Bucket  string  `json:"bucket"`
	Pending int     `json:"pending"`
	LagMS   float64 `json:"lag_ms"`
	Fault   *string `json:"fault"`
}

func folderFault(k heartbeat.Cluster) string {
	for i := range k.Beats {
		if f := k.Beats[i].Folder; f != nil && f.Fault != "" {
			return f.Fault
		}
	}
	return ""
}

func uploadsOf(k heartbeat.Cluster) *uploads {
	u := heartbeat.SumUploads(k.Beats)
	if u == nil {
		return nil
	}
	return &uploads{Bucket: u.Bucket, Pending: u.Pending, LagMS: round(1000 * u.LagSeconds), Fault: optional(u.Fault)}
}

// showStatus is GET /api/status. It also answers while Redis or the storage is
// unavailable, and reports that.
func (s *Server) showStatus(c echo.Context) (status, error) {
	ctx := c.Request().Context()
	v := s.upToDate(ctx, s.status.view(ctx))
	return s.statusOf(v), nil
}

func (s *Server) statusOf(v view) status {
	k := v.cluster
	return status{
		Health:      judge(v),
		Daemon:      daemon{Running: true, Paused: v.control.Paused, UptimeSeconds: since(k.StartedAt, v.at), Version: s.opt.Version, Time: job.At(v.at)},
		Control:     controlOf(v),
		Metrics:     metricsOf(k),
		Memory:      memoryPart{Process: roundMemory(k.Memory)},
		Resources:   resources{CPUPercent: round(k.CPUPercent), ProcessCPUPercent: round(k.ProcessCPUPercent), Mode: mode(v), Reason: optional(k.ModeReason)},
		Breakers:    k.Breakers,
		Model:       modelOf(k),
		Checkpoints: some(v.checkpoints),
		Workers:     workersOf(k),
		Processes:   processesOf(k, v.at),
		Queues:      queuesOf(v),
		Repairs:     counts(v.repairs),
		Retention:   s.retention(v),
		Hardware:    hardwareOf(k),
		Redis:       s.redisOf(v),
		Storage:     storagePart{Kind: s.opt.StorageKind, Where: s.opt.StorageWhere, Healthy: v.store == nil, Fault: optional(folderFault(k)), Uploads: uploadsOf(k)},
	}
}

func (s *Server) redisOf(v view) redisPart {
	r := redisPart{
		Rung: s.opt.RedisMode, Describe: s.opt.RedisDescribe, Connected: v.redis == nil, PingMS: v.pingMS,
		UsedBytes: v.server.UsedBytes, MaxBytes: v.server.MaxBytes, Policy: optional(v.server.Policy), AppendOnly: v.server.AppendOnly,
	}
	if v.refuses != nil {
		r.Fault = &job.AsError(v.refuses).Detail
	}
	return r
}

// mode returns the governor's mode. If there is none, a pause is shown.
func mode(v view) string {
	if v.control.Paused && (v.cluster.Mode == heartbeat.ModeIdle || v.cluster.Mode == heartbeat.ModeActive) {
		return heartbeat.ModePaused
	}
	return v.cluster.Mode
}

func controlOf(v view) controlState {
	c := controlState{Version: v.control.Version, Paused: v.control.Paused, Training: v.control.Training, Topic: optional(v.control.Topic)}
	if v.control.TargetError > 0 {
		c.TargetError = &v.control.TargetError
	}
	if !v.control.UpdatedAt.IsZero() {
		c.UpdatedAt = job.At(v.control.UpdatedAt)
	}
	return c
}

func metricsOf(k heartbeat.Cluster) metricsPart {
	refusals := map[string]int64{}
	maps.Copy(refusals, k.Total.Refusals)
	return metricsPart{
		WindowMS: heartbeat.Window.Milliseconds(),
		Requests: requests{
			Total: k.Total.Requests, SuccessRate: round(k.SuccessRate), RefusalRate: round(k.RefusalRate),
			RatePerSecond: round(k.RatePerSecond), Accepted: k.Total.Accepted, Failed: k.Total.Failed,
			Answered: k.Total.Answered, Refused: k.Total.Refused, Refusals: refusals,
		},
		Latency:    latency{Request: millisecondsOf(k.Latency), Queue: millisecondsOf(k.Queue), Compute: millisecondsOf(k.Compute)},
		Flow:       flow{AverageDepth: round(k.Depth.Average), P95Depth: round(k.Depth.P95), ConvergenceRate: round(k.ConvergenceRate)},
		Confidence: percentiles{Count: k.Confidence.Count, Average: round(k.Confidence.Average), P50: round(k.Confidence.P50), P95: round(k.Confidence.P95)},
	}
}

func millisecondsOf(s heartbeat.Summary) milliseconds {
	return milliseconds{
		Count: s.Count, AverageMS: round(s.Average), P50MS: round(s.P50), P95MS: round(s.P95), P99MS: round(s.P99), MaxMS: round(s.Max),
	}
}

func modelOf(k heartbeat.Cluster) modelPart {
	m := modelPart{Topics: map[string]int{}}
	if s := k.Successor; s != nil {
		m.Successor = &replacement{s.Architecture, s.Size, s.State, s.Done, s.Total, optional(s.Why)}
	}
	if k.Model == nil {
		return m
	}
	maps.Copy(m.Topics, k.Model.Topics)
	m.Architecture, m.Size, m.Checkpoint = optional(k.Model.Architecture), optional(k.Model.Size), optional(k.Model.Checkpoint)
	m.Parameters, m.Lessons, m.Answers = k.Model.Parameters, k.Model.Lessons, k.Model.Answers
	m.ConfidenceThreshold, m.TargetError = finite(k.Model.ConfidenceThreshold), finite(k.Model.TargetError)
	return m
}

func workersOf(k heartbeat.Cluster) []worker {
	out := []worker{}
	for i := range k.Beats {
		b := &k.Beats[i]
		if !b.Has(heartbeat.RoleWorker) {
			continue
		}
		w := worker{
			ID: b.ID, Host: b.Host, Device: b.Device, Mode: b.Mode, ModeReason: optional(b.ModeReason), Busy: b.Busy, Slots: b.Slots,
			Trainer: b.Trainer, Training: optional(b.Training), Unloaded: b.Unloaded, Embeddings: b.Embeddings, GPUs: append([]heartbeat.Card{}, b.Cards...), SeenAt: b.At,
		}
		if b.Model != nil {
			w.Checkpoint = optional(b.Model.Checkpoint)
		}
		if w.Mode == "" {
			w.Mode = heartbeat.ModeIdle
		}
		out = append(out, w)
	}
	return out
}

func processesOf(k heartbeat.Cluster, now time.Time) []process {
	out := []process{}
	for _, b := range k.Beats {
		p := process{
			ID: b.ID, Roles: some(b.Roles), Host: b.Host, PID: b.PID, Version: b.Version,
			CPUPercent: round(b.ProcessCPUPercent), Memory: roundMemory(b.Memory),
		}
		if b.StartedAt != nil {
			p.UptimeSeconds = since(b.StartedAt.Time, now)
		}
		out = append(out, p)
	}
	return out
}

func queuesOf(v view) map[string]lane {
	out := map[string]lane{}
	for _, l := range v.lanes {
		out[string(l.Name)] = lane{
			Pending: l.Pending, Active: l.Active, Delayed: l.Delayed, Max: l.Max, Paused: l.Paused, Reason: optional(l.PausedWhy),
			OldestMS: round(l.OldestMS), Processed: l.Processed, Failed: l.Failed,
		}
	}
	return out
}

func (s *Server) retention(v view) retention {
	b, log := s.queue.Bounds(), s.interactions.Bounds()
	return retention{
		ResultMS: b.Results.Milliseconds(), FailedMS: b.Failed.Milliseconds(), MaxResultBytes: b.ResultBytes, ResultBytes: v.endedBytes, IdempotencyMS: idempotencyTTL.Milliseconds(),
		InteractionsMS: log.Retention.Milliseconds(), MaxInteractions: log.Length, MaxEvents: b.EventHistory,
		MaxWebhook: b.WebhookBox, MaxWebhookJobs: b.WebhookBoxes, Dropped: counts(v.dropped),
	}
}

// counts returns m, never null in JSON.
func counts(m map[string]int64) map[string]int64 {
	if m == nil {
		return map[string]int64{}
	}
	return m
}

// hardwareOf lists each host once.
func hardwareOf(k heartbeat.Cluster) []hostHardware {
	out := []hostHardware{}
	seen := map[string]bool{}
	for _, b := range k.Beats {
		if b.Hardware == nil || seen[b.Host] {
			continue
		}
		seen[b.Host] = true
		out = append(out, hostHardware{Host: b.Host, Hardware: *b.Hardware})
	}
	return out
}

type hardwareList struct {
	Hosts []hostHardware `json:"hosts"`
}

// showHardware is GET /api/hardware.
func (s *Server) showHardware(c echo.Context) (hardwareList, error) {
	return hardwareList{Hosts: hardwareOf(s.status.view(c.Request().Context()).cluster)}, nil
}

func since(start, now time.Time) float64 {
	if start.IsZero() {
		return 0
	}
	return round(max(0, now.Sub(start).Seconds()))
}

func roundMemory(m heartbeat.Memory) heartbeat.Memory {
	for _, v := range []*float64{
		&m.CurrentMB, &m.PeakMB, &m.WarningMB, &m.CriticalMB,
		&m.GrowthRateMBPerHour, &m.GrowthConfidence, &m.GrowthLowMBPerHour, &m.GrowthHighMBPerHour,
	} {
		*v = round(*v)
	}
	if m.GrowthConfidence < heartbeat.SureGrowth {
		m.GrowthRateMBPerHour = 0 // the interval shows what may be
	}
	if m.Level == "" {
		m.Level = heartbeat.MemoryOK
	}
	return m
}

// round keeps four decimals and turns values that JSON cannot express into zero.
func round(v float64) float64 { return math.Round(finite(v)*1e4) / 1e4 }

func finite(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return v
}
