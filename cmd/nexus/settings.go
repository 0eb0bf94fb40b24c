package main

import (
	"encoding"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nexus-continuum/nexus/api"
	"github.com/nexus-continuum/nexus/queue/webhook"
	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/topic/teacher"
	"github.com/nexus-continuum/nexus/worker/embedding"
)

// Settings is the one declaration of every setting: flag, variable, default and
// meaning. Names that the runbook gives are fixed. The group Advanced holds those
// that few deployments ever need; it is listed last.
type Settings struct {
	Listen     string `group:"Serving" var:"NEXUS_LISTEN" default:"127.0.0.1:8000" help:"Address of the HTTP server, host:port."`
	DrainDelay string `group:"Serving" var:"NEXUS_DRAIN_DELAY" default:"auto" help:"How long a stopping API still serves while /readyz reports that it stops, so that load balancers send no more requests. auto means 3s under Kubernetes and 0s elsewhere."`
	DataDir    string `group:"Serving" var:"NEXUS_DATA_DIR" default:"./nexus_data" help:"Folder for all data: nexus_checkpoints/, redis/ and logs."`

	APIKey           string   `group:"Security" name:"api-key" var:"NEXUS_API_KEY" secret:"" help:"Key that callers must send; it has every scope. At least 16 characters. Without any key everything is open."`
	APIKeyFile       string   `group:"Security" name:"api-key-file" var:"NEXUS_API_KEY_FILE" secretfile:"" help:"File that holds this key, in place of NEXUS_API_KEY."`
	APIKeys          []string `group:"Security" name:"api-keys" var:"NEXUS_API_KEYS" secret:"" help:"More keys with names, separated by commas. name=key has all scopes except control; name[ask+read]=key has the named ones of ask, teach, jobs, read and control."`
	APIKeyHeader     string   `group:"Security" name:"api-key-header" var:"NEXUS_API_KEY_HEADER" default:"X-API-Key" help:"Header that carries the key."`
	AllowPublic      bool     `group:"Security" var:"NEXUS_ALLOW_PUBLIC" default:"false" help:"Allow a start without an API key on an address that others can reach."`
	AllowedHosts     []string `group:"Security" var:"NEXUS_ALLOWED_HOSTS" help:"Host names that requests may use in addition to the loopback names, such as nexus.example.com,*.internal; * allows any name. Names are checked while no key is needed, or when this is set."`
	CORSOrigins      []string `group:"Security" name:"cors-origins" var:"NEXUS_CORS_ORIGINS" help:"Origins of other web pages that may call the API from a browser, such as https://www.example.com; needed for the chat widget."`
	TrustProxy       bool     `group:"Security" var:"NEXUS_TRUST_PROXY" default:"false" help:"Take the caller's address from X-Forwarded-For or Forwarded if a proxy on this machine or in a private network sends it."`
	TrustedProxies   []string `group:"Security" var:"NEXUS_TRUSTED_PROXIES" help:"Networks of proxies that are trusted in the same way, such as 10.0.0.0/8,2001:db8::/32."`
	MaxConnections   int      `group:"Advanced" var:"NEXUS_MAX_CONNECTIONS" default:"0" range:"0:1000000" help:"Maximum number of connections at the same time. 0 means half of the files that the process may open, but no more than 10000. Probes are answered even above it."`
	TLSCert          string   `group:"Security" name:"tls-cert" var:"NEXUS_TLS_CERT" help:"File with the certificate in PEM. With it the API uses TLS 1.2 or newer. Changed files are read again."`
	TLSKey           string   `group:"Security" name:"tls-key" var:"NEXUS_TLS_KEY" help:"File with the key of the certificate in PEM."`
	TLSACME          []string `group:"Security" name:"tls-acme" var:"NEXUS_TLS_ACME" help:"Names for which nexus gets certificates from an authority automatically (ACME), such as nexus.example.com. Setting it accepts the terms of the authority. The authority must reach this server at port 443."`
	TLSACMEDirectory string   `group:"Advanced" name:"tls-acme-directory" var:"NEXUS_TLS_ACME_DIRECTORY" default:"https://acme-v02.api.letsencrypt.org/directory" help:"Directory URL of the authority."`
	TLSACMEEmail     string   `group:"Advanced" name:"tls-acme-email" var:"NEXUS_TLS_ACME_EMAIL" help:"Email address to which the authority may write."`
	TLSACMERoots     string   `group:"Advanced" name:"tls-acme-roots" var:"NEXUS_TLS_ACME_ROOTS" help:"Root certificates in PEM for checking the authority's own server. If empty, those of the system are used."`
	TLSClientCA      string   `group:"Advanced" name:"tls-client-ca" var:"NEXUS_TLS_CLIENT_CA" help:"Authority in PEM that must have issued the certificate of each client. If empty, clients need no certificate."`
	RateLimitEnabled bool     `group:"Security" var:"NEXUS_RATE_LIMIT_ENABLED" default:"true" help:"Limit the rate of each caller."`
	RateLimitRPM     int      `group:"Security" name:"rate-limit-rpm" var:"NEXUS_RATE_LIMIT_RPM" default:"60" range:"1:1000000" help:"Prompts a minute for each caller; reading is allowed 50 times as much. A service without keys that only this machine can reach allows 100 times the default."`
	RateLimitBurst   int      `group:"Security" var:"NEXUS_RATE_LIMIT_BURST" default:"10" range:"1:1000000" help:"Number of prompts that may arrive at once."`

	WebhookSecret       string   `group:"Webhooks" var:"NEXUS_WEBHOOK_SECRET" secret:"" help:"Secret that signs webhooks: whsec_ and 24 to 64 bytes in base64. If empty, the secret kept in the storage is used."`
	WebhookAllowPrivate bool     `group:"Advanced" var:"NEXUS_WEBHOOK_ALLOW_PRIVATE" default:"false" help:"Allow webhooks to private addresses, over plain http and to any port."`
	WebhookPorts        []string `group:"Advanced" var:"NEXUS_WEBHOOK_PORTS" help:"Ports that webhooks may use in addition to 443 and 80, separated by commas."`

	Architecture         string  `group:"Model" var:"NEXUS_ARCHITECTURE" default:"flowing" choice:"flowing,layered" help:"Architecture: flowing, layered."`
	ModelSize            string  `group:"Model" var:"NEXUS_MODEL_SIZE" default:"small" choice:"small,base,large" help:"Size: small, base, large."`
	Base                 string  `group:"Advanced" var:"NEXUS_BASE" default:"auto" help:"Base that a new model starts from: auto (the built-in base), none, or the path of a file made by nexus pretrain."`
	MaxFlowSteps         int     `group:"Advanced" var:"NEXUS_MAX_FLOW_STEPS" default:"50" range:"1:1000" help:"Maximum number of steps to the equilibrium."`
	ConvergenceThreshold float64 `group:"Advanced" var:"NEXUS_CONVERGENCE_THRESHOLD" default:"0.0001" range:"0.0000001:0.1" help:"Relative residual below which the flow counts as converged."`
	TargetError          float64 `group:"Model" var:"NEXUS_TARGET_ERROR" default:"0.05" range:"0.001:0.5" help:"Upper bound on the share of prompts that are answered wrongly."`
	ReplayBufferSize     int     `group:"Advanced" var:"NEXUS_REPLAY_BUFFER_SIZE" default:"2048" range:"0:1000000" help:"Number of older lessons that training replays together with new ones."`
	TopicsDir            string  `group:"Model" var:"NEXUS_TOPICS_DIR" help:"Folder with additional topic packs."`
	Shadow               float64 `group:"Advanced" var:"NEXUS_SHADOW" default:"0" range:"0:1" help:"Share of prompts that the challenger checkpoint also answers, for comparison only. 0 turns it off."`
	TeacherURL           string  `group:"Model" name:"teacher-url" var:"NEXUS_TEACHER_URL" secret:"url" help:"Chat API (OpenAI-compatible) of a language model that writes lessons for topics without a pack, such as http://localhost:11434/v1. Empty means no teacher."`
	TeacherModel         string  `group:"Model" var:"NEXUS_TEACHER_MODEL" help:"Name of the teacher model."`
	TeacherAPIKey        string  `group:"Model" name:"teacher-api-key" var:"NEXUS_TEACHER_API_KEY" secret:"" help:"API key for the teacher."`
	TeacherAnswers       int     `group:"Advanced" var:"NEXUS_TEACHER_ANSWERS" default:"20" range:"1:500" help:"Number of answers that the teacher writes for a topic, each with five questions."`
	TeacherTimeout       Period  `group:"Advanced" var:"NEXUS_TEACHER_TIMEOUT" default:"2m" help:"Timeout of one request to the teacher."`
	EmbeddingsURL        string  `group:"Model" name:"embeddings-url" var:"NEXUS_EMBEDDINGS_URL" secret:"url" help:"Embeddings API (OpenAI-compatible) whose vectors are used in addition to the built-in encoder, such as http://localhost:11434/v1. Empty means none."`
	EmbeddingsModel      string  `group:"Model" var:"NEXUS_EMBEDDINGS_MODEL" help:"Name of the embedding model. After a change all lessons are embedded again in the background."`
	EmbeddingsAPIKey     string  `group:"Model" name:"embeddings-api-key" var:"NEXUS_EMBEDDINGS_API_KEY" secret:"" help:"API key for the embedding server."`
	EmbeddingsDimensions int     `group:"Advanced" var:"NEXUS_EMBEDDINGS_DIMENSIONS" default:"0" range:"0:8192" help:"Length of the vectors to request, for models that offer several. 0 means the length that the model gives."`
	EmbeddingsWhen       string  `group:"Model" var:"NEXUS_EMBEDDINGS_WHEN" default:"unsure" choice:"unsure,always" help:"Which prompts are sent to the embedding server: unsure (those that the built-in encoder would refuse for lack of confidence, or answer with little margin above the threshold) or always."`
	EmbeddingsTimeout    Period  `group:"Advanced" var:"NEXUS_EMBEDDINGS_TIMEOUT" default:"150ms" help:"Longest time that a prompt waits for the embedding server. After that the built-in encoder answers alone."`
	Paused               bool    `group:"Model" var:"NEXUS_PAUSED" default:"false" help:"Safe mode: pauses learning while this is set, until an operator resumes it. The health reports it. The next start without it resumes learning."`

	RedisURL        string `group:"Queue" name:"redis-url" var:"NEXUS_REDIS_URL" secret:"url" help:"URL of Redis: redis://, rediss:// (TLS), unix://, redis-sentinel:// or redis-cluster://. If empty, nexus starts redis-server from PATH, or else a Redis inside the process."`
	Redis           string `group:"Queue" var:"NEXUS_REDIS" default:"auto" choice:"auto,external,child,embedded" help:"Kind of Redis: auto, external (NEXUS_REDIS_URL), child (start redis-server) or embedded (inside the process)."`
	QueueShards     int    `group:"Advanced" var:"NEXUS_QUEUE_SHARDS" default:"1" range:"1:64" help:"Number of shards over which this process spreads the prompts that it enqueues. Each shard has its own slot of a Redis Cluster. Workers serve all shards that any process uses."`
	MaxQueue        int    `group:"Queue" var:"NEXUS_MAX_QUEUE" default:"10000" range:"1:10000000" help:"Maximum number of jobs waiting in one queue. Further jobs get 503."`
	ResultRetention Period `group:"Queue" var:"NEXUS_RESULT_RETENTION" default:"24h" help:"How long the result of a finished job is kept."`
	FailedRetention Period `group:"Advanced" var:"NEXUS_FAILED_RETENTION" default:"168h" help:"How long a failed job is kept."`
	ResultMaxMB     int    `group:"Advanced" name:"result-max-mb" var:"NEXUS_RESULT_MAX_MB" default:"256" range:"1:16777216" help:"Redis memory for the records of ended jobs (MB). A record with a short answer takes about 450 bytes. The oldest records are dropped first."`
	MaxQueueDelay   Period `group:"Advanced" var:"NEXUS_MAX_QUEUE_DELAY" default:"25ms" help:"Longest estimated wait of a prompt under sustained load. Further requests get 503."`
	LogRetention    Period `group:"Queue" var:"NEXUS_LOG_RETENTION" default:"168h" help:"How long entries of the interaction log are kept."`
	LogLength       int64  `group:"Advanced" var:"NEXUS_LOG_LENGTH" default:"10000" range:"1:100000000" help:"Maximum number of entries in the interaction log. Each takes about 370 bytes of Redis memory, more for long texts."`
	LogPrompts      bool   `group:"Queue" var:"NEXUS_LOG_PROMPTS" default:"true" help:"Keep the text of prompts in the interaction log."`

	Concurrency       int      `group:"Worker" var:"NEXUS_CONCURRENCY" default:"0" range:"0:1024" help:"Number of prompts computed at the same time; 0 means one per core."`
	ServeOnly         bool     `group:"Advanced" var:"NEXUS_SERVE_ONLY" default:"false" help:"Answer prompts but never train. At least one other worker must train."`
	Device            string   `group:"Worker" var:"NEXUS_DEVICE" default:"auto" choice:"auto,cpu,cuda" help:"What to compute on: auto (GPUs if a short measurement at the start finds them faster), cpu, or cuda (GPUs; nexus refuses to start without a usable one)."`
	GPUDevices        []string `group:"Worker" name:"gpu-devices" var:"NEXUS_GPU_DEVICES" help:"GPUs to compute on, by number or UUID, separated by commas. If empty, nexus uses all that the driver shows. CUDA_VISIBLE_DEVICES hides GPUs from the driver."`
	GPUMemoryLimit    int      `group:"Worker" name:"gpu-memory-limit" var:"NEXUS_GPU_MEMORY_LIMIT" default:"50" range:"1:100" help:"GPU memory in use, by all programs together, above which the worker allocates no more (%)."`
	GPUUtilization    int      `group:"Worker" name:"gpu-utilization-limit" var:"NEXUS_GPU_UTILIZATION_LIMIT" default:"80" range:"1:100" help:"GPU utilisation at which the worker starts to pause between batches (%)."`
	GPUThermalWarning int      `group:"Worker" name:"gpu-thermal-warning" var:"NEXUS_GPU_THERMAL_WARNING" default:"75" range:"20:120" help:"GPU temperature at which the worker halves its batches (°C)."`
	GPUThermalCrit    int      `group:"Worker" name:"gpu-thermal-critical" var:"NEXUS_GPU_THERMAL_CRITICAL" default:"85" range:"20:120" help:"GPU temperature at which the CPU takes over the work of the GPU, until the GPU is below the warning temperature (°C)."`
	ActiveCPULimit    float64  `group:"Advanced" name:"active-cpu-limit" var:"NEXUS_ACTIVE_CPU_LIMIT" default:"50" range:"1:100" help:"Share of the machine that training may use while prompts are answered (%)."`
	IdleCPULimit      float64  `group:"Advanced" name:"idle-cpu-limit" var:"NEXUS_IDLE_CPU_LIMIT" default:"100" range:"1:100" help:"Share of the machine that training may use while no prompts come in (%)."`
	MemoryLimitMB     int      `group:"Worker" name:"memory-limit-mb" var:"NEXUS_MEMORY_LIMIT_MB" default:"4096" range:"64:16777216" help:"Memory of a worker above which training waits (MB)."`
	MemoryWarningMB   int      `group:"Advanced" name:"memory-warning-mb" var:"NEXUS_MEMORY_WARNING_MB" default:"3072" range:"16:16777216" help:"Memory of a process at which it warns and frees what it can (MB)."`
	MemoryCriticalMB  int      `group:"Advanced" name:"memory-critical-mb" var:"NEXUS_MEMORY_CRITICAL_MB" default:"4096" range:"17:16777216" help:"Memory of a process that counts as critical (MB)."`

	CheckpointInterval Period `group:"Storage" var:"NEXUS_CHECKPOINT_INTERVAL" default:"300s" help:"How often a checkpoint is saved, if anything changed."`
	MaxCheckpoints     int    `group:"Storage" var:"NEXUS_MAX_CHECKPOINTS" default:"10" range:"2:100000" help:"Number of most recent checkpoints to keep."`
	KeepDaily          int    `group:"Advanced" var:"NEXUS_KEEP_DAILY" default:"7" range:"0:3650" help:"Number of days for each of which one more checkpoint is kept."`
	KeepWeekly         int    `group:"Advanced" var:"NEXUS_KEEP_WEEKLY" default:"4" range:"0:520" help:"Number of weeks for each of which one more checkpoint is kept."`
	SchedulePrune      string `group:"Advanced" var:"NEXUS_SCHEDULE_PRUNE" default:"@every 5m" help:"When old checkpoints and unused parts are deleted: @every 5m, five cron fields in UTC, or off."`
	ScheduleScrub      string `group:"Advanced" var:"NEXUS_SCHEDULE_SCRUB" default:"17 3 * * *" help:"When all stored data is read and its digests are verified: @every 24h, five cron fields in UTC, or off."`
	ScheduleRecalib    string `group:"Advanced" name:"schedule-recalibrate" var:"NEXUS_SCHEDULE_RECALIBRATE" default:"@every 1h" help:"When the refusal threshold is recalibrated from new lessons: @every 1h, five cron fields in UTC, or off."`
	ScheduleBackup     string `group:"Storage" var:"NEXUS_SCHEDULE_BACKUP" default:"off" help:"When a backup is written to NEXUS_BACKUP_DIR: five cron fields in UTC such as 40 2 * * *, @every 24h, or off."`
	BackupDir          string `group:"Storage" var:"NEXUS_BACKUP_DIR" help:"Folder for scheduled backups and for backups requested over HTTP. If empty, backups requested over HTTP go to backups in the data folder."`
	BackupKeep         int    `group:"Storage" var:"NEXUS_BACKUP_KEEP" default:"7" range:"1:10000" help:"Number of scheduled backups to keep."`
	S3Endpoint         string `group:"Storage" name:"s3-endpoint" var:"NEXUS_S3_ENDPOINT" help:"S3-compatible server, host:port. If empty, all data is kept in the data folder."`
	S3Bucket           string `group:"Storage" name:"s3-bucket" var:"NEXUS_S3_BUCKET" default:"nexus" help:"Name of the bucket."`
	S3Prefix           string `group:"Advanced" name:"s3-prefix" var:"NEXUS_S3_PREFIX" help:"Prefix of all keys in the bucket."`
	S3Region           string `group:"Advanced" name:"s3-region" var:"NEXUS_S3_REGION" default:"us-east-1" help:"Region of the bucket."`
	S3AccessKey        string `group:"Storage" name:"s3-access-key" var:"NEXUS_S3_ACCESS_KEY" help:"Access key. If empty, the standard chain is used: AWS_… variables, files, instance role."`
	S3SecretKey        string `group:"Storage" name:"s3-secret-key" var:"NEXUS_S3_SECRET_KEY" secret:"" help:"Secret key."`
	S3TLS              bool   `group:"Storage" name:"s3-tls" var:"NEXUS_S3_TLS" default:"true" help:"Use TLS to reach the S3 server."`
	S3Strict           bool   `group:"Storage" name:"s3-strict" var:"NEXUS_S3_STRICT" default:"false" help:"Acknowledge lessons only once they are in S3, and answer 503 while S3 cannot be reached. If false, lessons are acknowledged once they are on the local disk."`
	CacheMB            int    `group:"Advanced" name:"cache-mb" var:"NEXUS_CACHE_MB" default:"4096" range:"0:16777216" help:"Maximum size of the local copies of data in S3 (MB). 0 keeps everything."`

	LogLevel      string `group:"Logs" var:"LOG_LEVEL,NEXUS_LOG_LEVEL" default:"INFO" choice:"DEBUG,INFO,WARN,WARNING,ERROR,CRITICAL" help:"Log level: DEBUG, INFO, WARN (also WARNING) or ERROR (also CRITICAL)."`
	LogFormat     string `group:"Logs" var:"NEXUS_LOG_FORMAT" default:"text" choice:"text,json" help:"Log format: text or json."`
	LogDir        string `group:"Logs" var:"NEXUS_LOG_DIR" help:"Folder for rotated log files. If empty, logs go to standard error only."`
	MetricsListen string `group:"Logs" var:"NEXUS_METRICS_LISTEN" help:"Separate address for /metrics and /healthz, for processes without the API. Empty turns it off."`
	PprofListen   string `group:"Advanced" var:"NEXUS_PPROF_LISTEN" help:"Loopback address for pprof profiles. Empty turns it off."`
}

// drainDelay is how long a stopping API goes on serving.
func (s *Settings) drainDelay(env func(string) string) time.Duration {
	if s.DrainDelay == "auto" {
		if env("KUBERNETES_SERVICE_HOST") != "" {
			return 3 * time.Second
		}
		return 0
	}
	d, _ := time.ParseDuration(s.DrainDelay) // check has read it
	return d
}

// Period is a duration that may also be given as a plain number of seconds.
type Period time.Duration

var _ encoding.TextUnmarshaler = (*Period)(nil)

// UnmarshalText reads "300", "300s" or "5m".
func (p *Period) UnmarshalText(b []byte) error {
	s := string(b)
	if n, err := strconv.ParseFloat(s, 64); err == nil {
		s = strconv.FormatFloat(n, 'f', -1, 64) + "s"
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return errors.New("must be a positive duration such as 300s, 5m or 24h")
	}
	*p = Period(d)
	return nil
}

// D returns the duration.
func (p Period) D() time.Duration { return time.Duration(p) }

func (p Period) String() string { return time.Duration(p).String() }

// settingError is a setting with a wrong value.
type settingError struct {
	name  string // the variable and the flag
	value string
	want  string
}

func (e *settingError) Error() string {
	return fmt.Sprintf("%s=%q: %s", e.name, e.value, e.want)
}

// check finds settings whose form is wrong or that do not fit together.
func (s *Settings) check() error {
	for _, f := range []func() error{s.checkListen, s.checkLimits, s.checkPairs, s.checkSchedules, s.checkURLs, s.checkTLS, s.checkAccess} {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

func (s *Settings) checkListen() error {
	if _, port, err := net.SplitHostPort(s.Listen); err != nil {
		return &settingError{"NEXUS_LISTEN", s.Listen, "must be host:port, such as 127.0.0.1:8000 or :8000"}
	} else if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return &settingError{"NEXUS_LISTEN", s.Listen, "the port must be a number from 0 to 65535"}
	}
	if s.DrainDelay != "auto" {
		if d, err := time.ParseDuration(s.DrainDelay); err != nil || d < 0 || d > stopWithin/2 {
			return &settingError{"NEXUS_DRAIN_DELAY", s.DrainDelay, fmt.Sprintf("must be auto, or a duration from 0s to %s", stopWithin/2)}
		}
	}
	if s.MetricsListen != "" {
		if _, _, err := net.SplitHostPort(s.MetricsListen); err != nil {
			return &settingError{"NEXUS_METRICS_LISTEN", s.MetricsListen, "must be host:port, such as 127.0.0.1:9100 or :9100"}
		}
	}
	return nil
}

func (s *Settings) checkLimits() error {
	if s.GPUThermalWarning >= s.GPUThermalCrit {
		return &settingError{
			"NEXUS_GPU_THERMAL_WARNING", strconv.Itoa(s.GPUThermalWarning),
			fmt.Sprintf("must be below NEXUS_GPU_THERMAL_CRITICAL, which is %d", s.GPUThermalCrit),
		}
	}
	if s.MemoryWarningMB >= s.MemoryCriticalMB {
		return &settingError{
			"NEXUS_MEMORY_WARNING_MB", strconv.Itoa(s.MemoryWarningMB),
			fmt.Sprintf("must be below NEXUS_MEMORY_CRITICAL_MB, which is %d", s.MemoryCriticalMB),
		}
	}
	return nil
}

// checkPairs finds settings that need another one.
func (s *Settings) checkPairs() error {
	if s.Redis == "external" && s.RedisURL == "" {
		return &settingError{"NEXUS_REDIS", s.Redis, "needs NEXUS_REDIS_URL, such as redis://localhost:6379/0"}
	}
	if s.S3Endpoint != "" && s.S3Bucket == "" {
		return &settingError{"NEXUS_S3_BUCKET", s.S3Bucket, "must name a bucket when NEXUS_S3_ENDPOINT is set"}
	}
	if (s.S3AccessKey == "") != (s.S3SecretKey == "") {
		return &settingError{"NEXUS_S3_ACCESS_KEY", s.S3AccessKey, "must be set together with NEXUS_S3_SECRET_KEY, or neither"}
	}
	if (s.TeacherURL == "") != (s.TeacherModel == "") {
		return &settingError{"NEXUS_TEACHER_MODEL", s.TeacherModel, "must be set together with NEXUS_TEACHER_URL, or neither"}
	}
	if (s.EmbeddingsURL == "") != (s.EmbeddingsModel == "") {
		return &settingError{"NEXUS_EMBEDDINGS_MODEL", s.EmbeddingsModel, "must be set together with NEXUS_EMBEDDINGS_URL, or neither"}
	}
	return nil
}

func (s *Settings) checkURLs() error {
	if s.TeacherURL != "" {
		if _, err := teacher.CheckURL(s.TeacherURL); err != nil {
			return &settingError{"NEXUS_TEACHER_URL", s.TeacherURL, err.Error()}
		}
	}
	if s.EmbeddingsURL != "" {
		if _, err := embedding.CheckURL(s.EmbeddingsURL); err != nil {
			return &settingError{"NEXUS_EMBEDDINGS_URL", s.EmbeddingsURL, err.Error()}
		}
	}
	return nil
}

// checkAccess checks who may call the API, and whom webhooks may call.
func (s *Settings) checkAccess() error {
	if s.WebhookSecret != "" {
		if err := webhook.CheckSecret(s.WebhookSecret); err != nil {
			return &settingError{"NEXUS_WEBHOOK_SECRET", "…", err.Error()}
		}
	}
	if _, err := s.namedKeys(); err != nil {
		return err
	}
	if _, err := s.webhookPorts(); err != nil {
		return err
	}
	if _, err := s.proxies(); err != nil {
		return err
	}
	if err := api.CheckOrigins(s.CORSOrigins); err != nil {
		return &settingError{"NEXUS_CORS_ORIGINS", strings.Join(s.CORSOrigins, ","), err.Error()}
	}
	if err := api.CheckHeaderName(s.APIKeyHeader); err != nil {
		return &settingError{"NEXUS_API_KEY_HEADER", s.APIKeyHeader, err.Error()}
	}
	return nil
}

// namedKeys returns every API key of the settings; the one of NEXUS_API_KEY is called "default".
func (s *Settings) namedKeys() ([]api.Key, error) {
	var keys []api.Key
	if s.APIKey != "" && s.APIKeyFile != "" {
		return nil, &settingError{"NEXUS_API_KEY_FILE", s.APIKeyFile, "must not be set together with NEXUS_API_KEY"}
	}
	if s.APIKey != "" {
		if err := api.CheckKey(s.APIKey); err != nil {
			return nil, &settingError{"NEXUS_API_KEY", "…", "must be a key that is hard to guess: " + err.Error()}
		}
		keys = append(keys, api.Key{Name: defaultKey, Key: s.APIKey, Scopes: api.ScopeAll})
	}
	if s.APIKeyFile != "" {
		key, err := readKey(s.APIKeyFile)
		if err != nil {
			return nil, &settingError{"NEXUS_API_KEY_FILE", s.APIKeyFile, "must name a file that holds one key: " + err.Error()}
		}
		keys = append(keys, api.Key{Name: defaultKey, Key: key, Scopes: api.ScopeAll})
	}
	for _, entry := range s.APIKeys {
		k, err := api.ParseKey(entry)
		if err != nil {
			return nil, &settingError{"NEXUS_API_KEYS", "…", err.Error()}
		}
		if slices.ContainsFunc(keys, func(o api.Key) bool { return o.Name == k.Name }) {
			return nil, &settingError{"NEXUS_API_KEYS", k.Name + "=…", "the name is used twice"}
		}
		if i := slices.IndexFunc(keys, func(o api.Key) bool { return o.Key == k.Key }); i >= 0 {
			return nil, &settingError{"NEXUS_API_KEYS", k.Name + "=…", "the same key is already that of " + keys[i].Name + "; give each name a key of its own, so that the audit log can tell them apart"}
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// webhookPorts are the ports of NEXUS_WEBHOOK_PORTS.
func (s *Settings) webhookPorts() ([]uint16, error) {
	var out []uint16
	for _, text := range s.WebhookPorts {
		n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 16)
		if err != nil || n == 0 {
			return nil, &settingError{"NEXUS_WEBHOOK_PORTS", text, "must be ports from 1 to 65535, separated by commas"}
		}
		out = append(out, uint16(n))
	}
	return out, nil
}

// defaultKey is the name of the key that NEXUS_API_KEY sets.
const defaultKey = "default"

// readKey reads a key from a file; white space around it does not count.
func readKey(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	key := strings.TrimSpace(string(b))
	return key, api.CheckKey(key)
}

// storageDir is the root of everything that must not be lost.
func (s *Settings) storageDir() string { return filepath.Join(s.DataDir, storage.FolderName) }

func (s *Settings) level() slog.Level {
	var l slog.Level
	name := s.LogLevel
	// The words of Python, which the original service took.
	switch name {
	case "WARNING":
		name = "WARN"
	case "CRITICAL":
		name = "ERROR"
	}
	// The choice tag has let only known names through.
	_ = l.UnmarshalText([]byte(name))
	return l
}
