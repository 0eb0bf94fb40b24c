package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/queue"
	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/storage/dir"
	"github.com/nexus-continuum/nexus/telemetry/heartbeat"
	"github.com/nexus-continuum/nexus/telemetry/metric"
	"github.com/nexus-continuum/nexus/worker"
	"github.com/nexus-continuum/nexus/worker/governor"
)

// wantAllFired finds alerts that nobody has seen to fire.
func wantAllFired(w *watcher) {
	w.Helper()
	var rules ruleFile
	decode(w.T, "prometheus/rules.yml", &rules)
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			if r.Alert != "" && !slices.Contains(w.fired, r.Alert) {
				w.Errorf("%s was not seen to fire", r.Alert)
			}
		}
	}
}

// gpuWorker tells the metrics of a worker whose machine is written by the test:
// the sensors are not real, everything behind them is.
type gpuWorker struct {
	url   string
	close func()

	mu   sync.Mutex
	gpus []governor.GPU
}

// Sample implements governor.Sampler.
func (g *gpuWorker) Sample(context.Context) (governor.Reading, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return governor.Reading{
		At: time.Now(), Cores: 2, CPUPercent: 10, CPUTemperature: 50, MemoryUsedMB: 1000, MemoryTotalMB: 8000, ProcessMB: 100, GPUs: slices.Clone(g.gpus),
	}, nil
}

func (g *gpuWorker) become(gpus ...governor.GPU) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.gpus = gpus
}

func startGPUWorker(f *fleet) *gpuWorker {
	f.Helper()
	g := &gpuWorker{}
	g.become(
		governor.GPU{Index: 0, Name: "H100", UtilizationPercent: 20, MemoryUsedMB: 10_000, MemoryTotalMB: 80_000, TemperatureC: 45, PowerW: 200},
		governor.GPU{Index: 1, Name: "H100", UtilizationPercent: 20, MemoryUsedMB: 10_000, MemoryTotalMB: 80_000, TemperatureC: 45, PowerW: 200},
	)
	gov, err := governor.New(governor.Options{Sampler: g, UseGPU: true, Every: 100 * time.Millisecond})
	if err != nil {
		f.Fatal(err)
	}
	if err := gov.Start(f.Context()); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = gov.Stop(context.Background()) })
	store, err := dir.Open(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	recorder := heartbeat.New(heartbeat.Options{})
	w, err := worker.New(worker.Options{
		Queue: worker.On(queue.Open(queue.Options{Redis: f.client()})), Checkpoints: storage.NewCheckpoints(store, storage.Options{}),
		Datasets: storage.NewDatasets(store, storage.DatasetOptions{}), Control: storage.NewControl(store, storage.ControlOptions{}),
		Governor: gov, Recorder: recorder, Device: twoCards{},
	})
	if err != nil {
		f.Fatal(err)
	}
	registry := metric.NewRegistry("test")
	if err := w.Register(registry); err != nil {
		f.Fatal(err)
	}
	server := httptest.NewServer(metric.Handler(registry))
	f.Cleanup(server.Close)
	g.url, g.close = server.URL, server.Close
	return g
}

// client speaks to the fleet's Redis.
func (f *fleet) client() *redis.Client {
	c := redis.NewClient(&redis.Options{Network: "unix", Addr: f.socket})
	f.Cleanup(func() { _ = c.Close() })
	return c
}

// plantFaults breaks one part after the other, mends what can be mended, and
// waits for the alerts.
func plantFaults(f *fleet, w *watcher, gpu *gpuWorker, broken *brokenWorker) {
	f.Helper()
	plantHeat(w, gpu)
	broken.plant(w)
	plantBusyNeighbour(w)
	plantStaleCheckpoint(f, w)
	plantBreaker(f, w)
	plantPause(f, w)
	plantStall(f, w)
	plantStorage(f, w)
	refuse := func() {
		for range 20 {
			f.ask("How do I repair a bicycle chain?")
		}
	}
	w.firing(refuse, "NexusHighRefusalRate")

	// A worker that must not think, and may hold no memory.
	f.worker.kill()
	f.worker = f.role("worker", "NEXUS_METRICS_LISTEN="+f.metrics, "NEXUS_MAX_FLOW_STEPS=1", "NEXUS_MEMORY_WARNING_MB=16", "NEXUS_MEMORY_CRITICAL_MB=17")
	w.firing(func() {
		for range 50 {
			f.ask("How do I repair a bicycle chain, please?")
		}
	}, "NexusLowConvergence", "NexusMemoryHigh", "NexusMemoryCritical")

	f.scheduler.kill()
	f.worker.kill()
	w.firing(nil, "NexusTargetDown", "NexusNoWorker", "NexusNoScheduler")
	plantRedis(f, w)
	f.redis.kill()
	w.firing(func() {
		for range 50 {
			f.ask("What is the capital of Japan?")
		}
	}, "NexusRedisDown", "NexusLowSuccessRate")
	gpu.close()
	broken.close()
	f.api.kill()
	w.firing(nil, "NexusAbsent")
}

func plantHeat(w *watcher, gpu *gpuWorker) {
	w.Helper()
	gpu.become(governor.GPU{Index: 0, Name: "H100", MemoryTotalMB: 80_000, TemperatureC: 95}, governor.GPU{Index: 1, Name: "H100", Lost: "fell off the bus"})
	w.firing(nil, "NexusGovernorCooling", "NexusGPUHot", "NexusGPUCritical", "NexusGPULost")
	gpu.become(governor.GPU{Index: 0, Name: "H100", MemoryTotalMB: 80_000, TemperatureC: 45}, governor.GPU{Index: 1, Name: "H100", MemoryTotalMB: 80_000, TemperatureC: 45})
}

// plantBusyNeighbour keeps every core busy.
func plantBusyNeighbour(w *watcher) {
	w.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var spinning sync.WaitGroup
	for range runtime.NumCPU() {
		spinning.Go(func() {
			for ctx.Err() == nil {
				for range 1 << 20 {
					continue
				}
			}
		})
	}
	defer spinning.Wait()
	defer cancel()
	w.firing(nil, "NexusHighCPU")
}

// plantStaleCheckpoint moves the head to a checkpoint that is whole by its
// digests and no model.
func plantStaleCheckpoint(f *fleet, w *watcher) {
	f.Helper()
	store, err := dir.Open(filepath.Join(f.dir, "nexus_checkpoints"))
	if err != nil {
		f.Fatal(err)
	}
	checkpoints := storage.NewCheckpoints(store, storage.Options{})
	head, err := checkpoints.Head(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	if _, err := checkpoints.Save(f.Context(), head.Checkpoint, []storage.Part{{Name: "model", Data: []byte("noise")}}, storage.Meta{Fence: head.Fence}); err != nil {
		f.Fatal(err)
	}
	w.firing(nil, "NexusStaleCheckpoint")
	if code, body := f.call("POST", "/api/control", fmt.Sprintf(`{"action":"rollback","checkpoint":%q}`, head.Checkpoint)); code != http.StatusOK {
		f.Errorf("rollback: %d %s", code, body)
	}
}

// plantBreaker asks for lessons of a teacher that is away.
func plantBreaker(f *fleet, w *watcher) {
	f.Helper()
	code, body := f.call("POST", "/api/control", `{"action":"train_start","topic":"tides"}`)
	var started struct {
		JobID string `json:"job_id"`
	}
	if err := json.Unmarshal([]byte(body), &started); err != nil || code/100 != 2 || started.JobID == "" {
		f.Fatalf("train_start: %d %s", code, body)
	}
	w.firing(nil, "NexusBreakerOpen")
	if code, body := f.call("DELETE", "/api/jobs/"+started.JobID, ""); code != http.StatusOK {
		f.Errorf("cancel: %d %s", code, body)
	}
}

// plantRedis fills the Redis, and then makes it a replica that takes no writes.
func plantRedis(f *fleet, w *watcher) {
	f.Helper()
	c := f.client()
	if err := c.ConfigSet(f.Context(), "maxmemory", "100mb").Err(); err != nil {
		f.Fatal(err)
	}
	if err := c.SetRange(f.Context(), "filler", 89<<20, "x").Err(); err != nil {
		f.Fatal(err)
	}
	w.firing(nil, "NexusRedisMemory")
	if err := c.ReplicaOf(f.Context(), "127.0.0.1", "1").Err(); err != nil {
		f.Fatal(err)
	}
	w.firing(nil, "NexusRedisRefuses")
	if err := c.ReplicaOf(f.Context(), "NO", "ONE").Err(); err != nil {
		f.Fatal(err)
	}
	if err := c.Del(f.Context(), "filler").Err(); err != nil {
		f.Fatal(err)
	}
}

// plantPause pauses a queue by hand.
func plantPause(f *fleet, w *watcher) {
	f.Helper()
	hand := func(what string) {
		if code, body := f.call("POST", "/api/queues/batch/"+what, ""); code != http.StatusOK {
			f.Fatalf("%s the queue: %d %s", what, code, body)
		}
	}
	hand("pause")
	w.firing(nil, "NexusQueuePaused")
	hand("resume")
}

// plantStall stops the worker in the middle of everything, for longer than a
// caller should wait, while jobs of every kind come in.
func plantStall(f *fleet, w *watcher) {
	f.Helper()
	if err := f.worker.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		f.Fatal(err)
	}
	began := time.Now()
	var callers sync.WaitGroup
	for range 60 {
		callers.Go(func() { f.ask("What is the capital of Norway?") })
	}
	for range maxQueue - 5 {
		f.ask("What is the capital of Peru?", "Prefer", "respond-async")
	}
	if code, body := f.call("POST", "/api/lessons", `{"lessons":[{"prompt":"slow?","response":"yes"}]}`, "Prefer", "respond-async"); code != http.StatusAccepted {
		f.Errorf("teach: %d %s", code, body)
	}
	w.firing(nil, "NexusNoWorker", "NexusQueueAge", "NexusQueueFilling", "NexusLearningStalled")
	chartWantsWorkers(w)
	// Callers must have waited longer than the 5 s of the alert.
	eventually(f.T, "callers have waited", func() string {
		if waited := time.Since(began); waited < 6*time.Second {
			return waited.String()
		}
		return ""
	})
	if err := f.worker.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		f.Fatal(err)
	}
	callers.Wait()
	w.firing(nil, "NexusSlowP95", "NexusSlowP99")
	eventually(f.T, "the worker has caught up", func() string {
		var s struct {
			Queues map[string]struct{ Pending int }
		}
		_, body := f.call("GET", "/api/status", "")
		if err := json.Unmarshal([]byte(body), &s); err != nil {
			return err.Error()
		}
		if s.Queues["batch"].Pending > 0 {
			return body
		}
		return ""
	})
}

// plantStorage puts a file where the folder was.
func plantStorage(f *fleet, w *watcher) {
	f.Helper()
	folder := filepath.Join(f.dir, "nexus_checkpoints")
	if err := os.Rename(folder, folder+"-away"); err != nil {
		f.Fatal(err)
	}
	if err := os.WriteFile(folder, nil, 0o600); err != nil {
		f.Fatal(err)
	}
	w.firing(nil, "NexusStorageDown", "NexusStorageReadOnly")
	if err := os.Remove(folder); err != nil {
		f.Fatal(err)
	}
	if err := os.Rename(folder+"-away", folder); err != nil {
		f.Fatal(err)
	}
}
