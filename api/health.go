package api

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/queue"
	"github.com/nexus-continuum/nexus/telemetry/heartbeat"
)

// health is the condition of the cluster: healthy, degraded (it serves, but somebody
// should look) or unhealthy (it cannot serve).
type health struct {
	Healthy bool     `json:"healthy"`
	Status  string   `json:"status"`
	Issues  []string `json:"issues"`
}

// Thresholds of the runbook, and a few more.
const (
	minSuccess     = 0.9
	maxRefusal     = 0.5
	maxP95         = 2000.0 // ms
	maxP99         = 5000.0 // ms
	minConvergence = 0.8
	maxAge         = 30 * time.Second // of the oldest waiting interact
	maxBehind      = 30 * time.Second // between a new head and the workers serving it
	maxUploadLag   = 60.0             // s that something waits for the bucket
	maxAbsent      = time.Minute      // that acknowledged lessons are on the host only that took them

	// fewest is the least number of requests for judging a share of them, and
	// fewestAsked that of prompts for judging the share of refusals. A person who tries
	// a new service asks for what it cannot know.
	fewest      = 20
	fewestAsked = 100
)

// judge finds what is wrong.
func judge(v view) health {
	grave := graveIssues(v)
	issues := slices.Concat(grave, requestIssues(v.cluster), resourceIssues(v), queueIssues(v), redisIssues(v), headIssues(v), folderIssues(v.cluster), uploadIssues(v.cluster), absentIssues(v))
	h := health{Healthy: len(issues) == 0, Status: "healthy", Issues: some(issues)}
	switch {
	case len(grave) > 0:
		h.Status = "unhealthy"
	case len(issues) > 0:
		h.Status = "degraded"
	}
	return h
}

// graveIssues returns the issues that keep the cluster from serving.
func graveIssues(v view) []string {
	var out []string
	if v.redis != nil {
		out = append(out, "Redis cannot be reached: nothing can be asked or taught")
		return out
	}
	if v.refuses != nil {
		out = append(out, job.AsError(v.refuses).Detail)
	}
	if !v.hasWorker() {
		out = append(out, "no worker is running: nothing can be answered")
	} else if v.cluster.Model == nil {
		out = append(out, "no worker has a model yet")
	}
	return out
}

func (v view) hasWorker() bool {
	return slices.ContainsFunc(v.cluster.Beats, func(b heartbeat.Beat) bool { return b.Has(heartbeat.RoleWorker) })
}

func requestIssues(k heartbeat.Cluster) []string {
	var out []string
	if k.Recent.Requests+k.Recent.JobsFailed >= fewest && k.SuccessRate < minSuccess {
		out = append(out, fmt.Sprintf("success rate %.0f %% is below %.0f %%", 100*k.SuccessRate, 100*minSuccess))
	}
	// A model that was taught nothing refuses everything, and should. The same holds
	// for the time before it was taught.
	taught := k.Model != nil && k.Model.Lessons > 0
	refused := k.Recent.Refused - k.Recent.Refusals[job.ReasonUntaught]
	if of := k.Recent.Answered + refused; taught && of >= fewestAsked && float64(refused) > maxRefusal*float64(of) {
		out = append(out, fmt.Sprintf("refusal rate %.0f %% is above %.0f %%", 100*float64(refused)/float64(of), 100*maxRefusal))
	}
	if k.Recent.Requests >= fewest {
		if k.Latency.P95 > maxP95 {
			out = append(out, fmt.Sprintf("latency p95 %.0f ms is above %.0f ms", k.Latency.P95, maxP95))
		}
		if k.Latency.P99 > maxP99 {
			out = append(out, fmt.Sprintf("latency p99 %.0f ms is above %.0f ms", k.Latency.P99, maxP99))
		}
	}
	if k.Recent.Flowed >= fewest && k.ConvergenceRate < minConvergence {
		out = append(out, fmt.Sprintf("convergence rate %.0f %% is below %.0f %%", 100*k.ConvergenceRate, 100*minConvergence))
	}
	return out
}

func resourceIssues(v view) []string {
	var out []string
	k := v.cluster
	for i := range k.Beats {
		if k.Beats[i].Outgrows(v.at) {
			b := &k.Beats[i]
			out = append(out, fmt.Sprintf("memory of process %d on %s grows by %.0f MB an hour (confidence %.0f %%); it is %.0f MB now, and %.0f is the warning bound",
				b.PID, b.Host, b.Memory.GrowthRateMBPerHour, 100*b.Memory.GrowthConfidence, b.Memory.CurrentMB, b.Memory.WarningMB))
		}
		out = append(out, processIssues(&k.Beats[i])...)
	}
	for _, name := range slices.Sorted(maps.Keys(k.Breakers)) {
		if b := k.Breakers[name]; b.State != "closed" {
			out = append(out, fmt.Sprintf("circuit breaker %s is %s", name, b.State))
		}
	}
	return out
}

// processIssues returns the issues of one process.
func processIssues(b *heartbeat.Beat) []string {
	var out []string
	switch m := b.Memory; m.Level {
	case heartbeat.MemoryCritical:
		out = append(out, fmt.Sprintf("memory of process %d on %s is %.0f MB, above the critical %.0f", b.PID, b.Host, m.CurrentMB, m.CriticalMB))
	case heartbeat.MemoryWarning:
		out = append(out, fmt.Sprintf("memory of process %d on %s is %.0f MB, above %.0f", b.PID, b.Host, m.CurrentMB, m.WarningMB))
	}
	for _, s := range b.SetAside {
		what := "its lessons do not answer; correct them and teach them again"
		if s.Answers {
			what = "its lessons answer from memory, without gradient steps"
		}
		out = append(out, fmt.Sprintf("dataset %s was set aside, because learning it kept failing (%s): %s", s.Dataset, job.Clip(s.Why, 200), what))
	}
	if e := b.Embeddings; e != nil && e.Issue != "" {
		out = append(out, fmt.Sprintf("worker %s on %s answers without the embedding server: %s", b.ID, b.Host, e.Issue))
	}
	if b.Mode == heartbeat.ModeCooling {
		out = append(out, fmt.Sprintf("worker %s on %s has stopped training to cool: %s", b.ID, b.Host, b.ModeReason))
	}
	return out
}

func queueIssues(v view) []string {
	var out []string
	for _, l := range v.lanes {
		if l.Paused {
			out = append(out, pausedIssue(l))
		}
		if l.Name != job.LaneTrain && l.OldestMS > float64(maxAge.Milliseconds()) {
			out = append(out, fmt.Sprintf("the oldest job in queue %s has waited %.0f s, more than %.0f", l.Name, l.OldestMS/1000, maxAge.Seconds()))
		}
	}
	return out
}

// pausedIssue says who paused a queue, and when.
func pausedIssue(l queue.LaneState) string {
	since, by := "", l.PausedWhy
	if !l.PausedSince.IsZero() {
		since = " since " + l.PausedSince.UTC().Format(time.RFC3339)
	}
	if l.PausedByTool {
		by = "somebody paused it in asynq's tools, such as /monitoring; resume it there"
	}
	return fmt.Sprintf("queue %s is paused%s: %s", l.Name, since, by)
}

// redisIssues describes a configuration or fill level of Redis that endangers jobs.
func redisIssues(v view) []string {
	var out []string
	r := v.server
	if r.Full() {
		out = append(out, fmt.Sprintf("Redis has used %d of its %d MB (maxmemory): jobs that nobody waits for are refused; raise maxmemory or lower NEXUS_RESULT_MAX_MB", r.UsedBytes>>20, r.MaxBytes>>20))
	}
	if r.Evicts() {
		out = append(out, fmt.Sprintf("Redis drops jobs when its memory is full (maxmemory-policy %s); set it to noeviction", r.Policy))
	}
	if r.AppendOnly != nil && !*r.AppendOnly {
		out = append(out, "Redis keeps no append-only file: jobs are lost when it stops (appendonly no)")
	}
	return out
}

func headIssues(v view) []string {
	if v.store != nil {
		return []string{"the storage cannot be read: checkpoints and control state may be old"}
	}
	var out []string
	for i := range v.cluster.Beats {
		b := &v.cluster.Beats[i]
		if b.Unloaded != nil {
			out = append(out, fmt.Sprintf("worker %s on %s cannot serve checkpoint %s and keeps the one before: %s", b.ID, b.Host, b.Unloaded.Checkpoint, b.Unloaded.Why))
		} else if v.behind(b.Model) {
			out = append(out, fmt.Sprintf("worker %s on %s serves checkpoint %q and not the head %s", b.ID, b.Host, b.Model.Checkpoint, v.head.Checkpoint))
		}
	}
	return out
}

// folderIssues names folders that cannot be written, each once, because the processes
// of a host share one.
func folderIssues(k heartbeat.Cluster) []string {
	var out []string
	for i := range k.Beats {
		f := k.Beats[i].Folder
		if f == nil || f.Fault == "" {
			continue
		}
		text := fmt.Sprintf("the storage on %s takes no writes, nothing can be taught or saved: %s", k.Beats[i].Host, f.Fault)
		if !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out
}

// uploadIssues describes a bucket that fails or does not keep up. Data that the bucket
// lacks is safe, but only in a folder.
func uploadIssues(k heartbeat.Cluster) []string {
	u := heartbeat.SumUploads(k.Beats)
	switch {
	case u == nil || u.Fault == "" && (u.LagSeconds < maxUploadLag || folderFault(k) != ""):
		return nil // what a folder that fails does not upload is told of there
	case u.LagSeconds < maxUploadLag:
		return []string{fmt.Sprintf("the bucket %s cannot be used, %d objects wait: %s", u.Bucket, u.Pending, u.Fault)}
	case u.Fault == "":
		return []string{fmt.Sprintf("the bucket %s is %.0f s behind, %d objects wait: it is slow", u.Bucket, u.LagSeconds, u.Pending)}
	}
	return []string{fmt.Sprintf("the bucket %s is %.0f s behind, %d objects wait: %s", u.Bucket, u.LagSeconds, u.Pending, u.Fault)}
}

// absentIssues names acknowledged lessons that are only on the host that accepted them.
func absentIssues(v view) []string {
	var out []string
	for i := range v.cluster.Beats {
		for _, a := range v.cluster.Beats[i].Absent {
			if v.at.Sub(a.Since) < maxAbsent {
				continue
			}
			out = append(out, fmt.Sprintf("the lessons of job %s have been missing from the shared storage since %s: only the host that received them has them. "+
				"Start that host again with its data folder. If the folder is gone, cancel the job and teach them again", a.Dataset, a.Since.UTC().Format(time.RFC3339)))
		}
	}
	return out
}

// behind reports whether a worker should have loaded a newer checkpoint by now. While
// lessons keep arriving, the head is always young. Then it matters whether the worker
// skipped a checkpoint that is no longer young.
func (v view) behind(m *heartbeat.Model) bool {
	if m == nil || v.head.Checkpoint == "" || m.Checkpoint == v.head.Checkpoint {
		return false
	}
	if m.LoadedAt != nil && v.at.Sub(m.LoadedAt.Time) < maxBehind {
		return false // perhaps ahead: the head that it serves is newer than the last look at the storage
	}
	if v.at.Sub(v.head.MovedAt) >= maxBehind {
		return true
	}
	return m.LoadedAt != nil && slices.ContainsFunc(v.checkpoints, func(c checkpoint) bool {
		return c.CreatedAt.After(m.LoadedAt.Time) && v.at.Sub(c.CreatedAt.Time) >= maxBehind
	})
}
