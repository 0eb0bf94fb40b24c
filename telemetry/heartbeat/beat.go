// Package heartbeat holds what each process says of itself (counters, latency
// sketches, resources, the model it serves) and how those sayings add up to
// one picture of the cluster. It knows nothing of Redis or HTTP: a Recorder
// collects, a Pulse hands its snapshots to whatever carries them, and Sum adds
// up what came in.
package heartbeat

import (
	"strings"
	"time"

	"github.com/nexus-continuum/nexus/job"
)

// Roles that a process may play.
const (
	RoleAPI       = "api"
	RoleWorker    = "worker"
	RoleScheduler = "scheduler"
)

// Modes of a worker's resources, mildest first.
const (
	ModeIdle      = "idle"      // nobody asks; training may use its full share
	ModeActive    = "active"    // callers are served; training yields
	ModeThrottled = "throttled" // a limit is near; training slows down
	ModePaused    = "paused"    // background learning is paused
	ModeCooling   = "cooling"   // over a critical temperature; nothing heavy runs
)

// Beat is what one process says of itself at one moment.
type Beat struct {
	ID        string    `json:"id"`
	Roles     []string  `json:"roles"`
	Host      string    `json:"host"`
	PID       int       `json:"pid"`
	Version   string    `json:"version,omitempty"`
	StartedAt *job.Time `json:"started_at"`
	At        *job.Time `json:"at"`

	// Of a worker.
	Device     string             `json:"device,omitempty"`
	Mode       string             `json:"mode,omitempty"`
	ModeReason string             `json:"mode_reason,omitempty"`
	Slots      int                `json:"slots,omitempty"`
	Busy       int                `json:"busy,omitempty"`
	Trainer    bool               `json:"trainer,omitempty"`
	Training   string             `json:"training,omitempty"` // id of the train job being run
	Model      *Model             `json:"model,omitempty"`
	Unloaded   *Unloaded          `json:"unloaded,omitempty"`
	Shadow     *Shadow            `json:"shadow,omitempty"`
	Embeddings *Embeddings        `json:"embeddings,omitempty"`
	Successor  *Replacement       `json:"successor,omitempty"`
	SetAside   []SetAside         `json:"set_aside,omitempty"`
	Absent     []Absent           `json:"absent,omitempty"`
	Breakers   map[string]Breaker `json:"breakers,omitempty"`
	Hardware   *Hardware          `json:"hardware,omitempty"`
	Cards      []Card             `json:"cards,omitempty"`

	// Folder is the state of the process's storage folder; nil if it does not look.
	Folder *Folder `json:"folder,omitempty"`
	// Uploads is how far the bucket is behind the process's folder; nil without one.
	Uploads *Uploads `json:"uploads,omitempty"`

	Memory Memory `json:"memory"`
	// CPUPercent is how busy the machine is, 0 to 100; ProcessCPUPercent is this
	// process's own use, where 100 is one core.
	CPUPercent        float64 `json:"cpu_percent"`
	ProcessCPUPercent float64 `json:"process_cpu_percent"`

	// Total counts since the process started, Recent in the last Window.
	Total  Counts `json:"total"`
	Recent Counts `json:"recent"`
	// RatePerSecond is requests (of an API process) or interacts (of a worker)
	// per second over the last ten whole seconds.
	RatePerSecond         float64 `json:"rate_per_second"`
	InteractRatePerSecond float64 `json:"interact_rate_per_second"`

	// The sketches hold the last Window or, if nothing happened in it, the whole
	// life of the process.
	Latency    Sketch `json:"latency,omitempty"`    // ms, as an API process's callers saw it
	Queue      Sketch `json:"queue,omitempty"`      // ms between submission and pickup
	Compute    Sketch `json:"compute,omitempty"`    // ms of computing an answer
	Depth      Sketch `json:"depth,omitempty"`      // flow steps
	Confidence Sketch `json:"confidence,omitempty"` // 0 to 1
}

// Has reports whether the process plays role.
func (b *Beat) Has(role string) bool {
	for _, r := range b.Roles {
		if r == role {
			return true
		}
	}
	return false
}

// Counts are events of one process.
type Counts struct {
	// Of an API process: interacts asked for, those put off with 202, and those
	// that ended with a 5xx.
	Requests int64 `json:"requests"`
	Accepted int64 `json:"accepted"`
	Failed   int64 `json:"failed"`

	// Of a worker: interacts computed. JobsFailed counts only those whose caller
	// did not wait; for a waited-for one the API process counts the failure.
	Answered   int64            `json:"answered"`
	Refused    int64            `json:"refused"`
	JobsFailed int64            `json:"jobs_failed"`
	Converged  int64            `json:"converged"`
	Flowed     int64            `json:"flowed"` // interacts that ran the flow at all
	Refusals   map[string]int64 `json:"refusals,omitempty"`
}

// CountsOf makes counts of sums by name, as they are in JSON; refusals by reason are
// named "refusals:<reason>".
func CountsOf(sums map[string]int64) Counts {
	c := Counts{
		Requests: sums["requests"], Accepted: sums["accepted"], Failed: sums["failed"],
		Answered: sums["answered"], Refused: sums["refused"], JobsFailed: sums["jobs_failed"],
		Converged: sums["converged"], Flowed: sums["flowed"],
	}
	for name, n := range sums {
		if reason, ok := strings.CutPrefix(name, "refusals:"); ok && n != 0 {
			if c.Refusals == nil {
				c.Refusals = map[string]int64{}
			}
			c.Refusals[reason] = n
		}
	}
	return c
}

// Add adds o to c.
func (c *Counts) Add(o Counts) {
	c.Requests += o.Requests
	c.Accepted += o.Accepted
	c.Failed += o.Failed
	c.Answered += o.Answered
	c.Refused += o.Refused
	c.JobsFailed += o.JobsFailed
	c.Converged += o.Converged
	c.Flowed += o.Flowed
	for reason, n := range o.Refusals {
		if c.Refusals == nil {
			c.Refusals = make(map[string]int64)
		}
		c.Refusals[reason] += n
	}
}

// Model describes the model that a worker serves.
type Model struct {
	Architecture        string         `json:"architecture"`
	Size                string         `json:"size"`
	Parameters          int            `json:"parameters"`
	Checkpoint          string         `json:"checkpoint"`
	ConfidenceThreshold float64        `json:"confidence_threshold"`
	TargetError         float64        `json:"target_error"`
	Lessons             int            `json:"lessons"`
	Answers             int            `json:"answers"`
	Topics              map[string]int `json:"topics"`
	LoadedAt            *job.Time      `json:"loaded_at,omitempty"`
}

// Unloaded is a checkpoint that a worker should serve and cannot.
type Unloaded struct {
	Checkpoint string `json:"checkpoint"`
	Why        string `json:"why"`
}

// Folder is the state of a storage folder.
type Folder struct {
	// Fault is why it takes no writes; empty if it does.
	Fault string `json:"fault,omitempty"`
}

// Uploads is what waits in a folder for the bucket that it is mirrored in.
type Uploads struct {
	Bucket string `json:"bucket"`
	// Pending counts datasets, checkpoints and records, LagSeconds is how long
	// the first of them has waited, Fault why the last try failed.
	Pending    int     `json:"pending"`
	LagSeconds float64 `json:"lag_seconds"`
	Fault      string  `json:"fault,omitempty"`
}

// Replacement is the model of another architecture or size that a trainer makes
// to take the place of the one that serves.
type Replacement struct {
	Architecture string `json:"architecture"`
	Size         string `json:"size"`
	State        string `json:"state"` // waiting, training, judging, kept_out
	Done         int    `json:"done"`  // gradient steps
	Total        int    `json:"total"`
	Why          string `json:"why,omitempty"` // it was kept out
}

// Absent is a dataset that a job waits for: the host that received its lessons
// has not uploaded them.
type Absent struct {
	Dataset string    `json:"dataset"`
	Since   time.Time `json:"since"`
}

// Embeddings is how a worker stands with its embedding server.
type Embeddings struct {
	Model string `json:"model"` // that new vectors come from
	// Serving says that prompts are sent there; Dimensions and Lessons are those of the
	// vectors that serve, Weight how much they count beside the own ones, 0 to 1, and
	// Outdated says that they are of another model than Model.
	Serving    bool    `json:"serving"`
	Dimensions int     `json:"dimensions"`
	Lessons    int     `json:"lessons"`
	Weight     float64 `json:"weight"`
	Outdated   bool    `json:"outdated"`
	// Prompts since the start: sent there, left out since their callers give up too
	// soon, and those for which no vector came in time.
	Sent   int64 `json:"sent"`
	Late   int64 `json:"late"`
	Failed int64 `json:"failed"`
	// Issue is why the server refuses, if it does.
	Issue string `json:"issue"`
}

// SetAside is a dataset that a trainer gave up after it had caused too many
// panics.
type SetAside struct {
	Dataset string `json:"dataset"`
	// Answers says that its lessons answer from memory; only gradient steps over
	// them are left out.
	Answers bool      `json:"answers"`
	Why     string    `json:"why"`
	At      *job.Time `json:"at"`
}

// Breaker is the state of a circuit breaker.
type Breaker struct {
	State    string    `json:"state"` // closed, half-open, open
	Failures int       `json:"failures"`
	OpenedAt *job.Time `json:"opened_at,omitempty"`
}

// Levels of a process's memory.
const (
	MemoryOK       = "ok"
	MemoryWarning  = "warning"
	MemoryCritical = "critical"
)

// Memory is a process's resident memory in MB (2^20 bytes).
type Memory struct {
	CurrentMB float64 `json:"current_mb"`
	PeakMB    float64 `json:"peak_mb"`
	// GrowthRateMBPerHour lies between Low and High with a confidence of 95 %.
	// GrowthConfidence, 0 to 1, is how sure it is that there is any.
	GrowthRateMBPerHour float64 `json:"growth_rate_mb_per_hour"`
	GrowthConfidence    float64 `json:"growth_confidence"`
	GrowthLowMBPerHour  float64 `json:"growth_low_mb_per_hour"`
	GrowthHighMBPerHour float64 `json:"growth_high_mb_per_hour"`
	// Level is where CurrentMB lies between the bounds.
	Level      string  `json:"level"`
	WarningMB  float64 `json:"warning_mb"`
	CriticalMB float64 `json:"critical_mb"`
	// Cleanups counts how often memory was given back under pressure.
	Cleanups int64 `json:"cleanups"`
}

// Window is how far back recent figures reach.
const Window = windowSlices * sliceLength

const (
	windowSlices = 10
	sliceLength  = 30 * time.Second
)
