package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	goruntime "runtime"
	"strings"
	"time"

	"github.com/nexus-continuum/nexus/client"
	"github.com/nexus-continuum/nexus/job"
)

type statusCmd struct{ remote }

// Run says how the service is.
func (s statusCmd) Run(ctx context.Context, rt *runtime) error {
	c, err := s.connect(rt)
	if err != nil {
		return err
	}
	raw, err := c.Status(ctx)
	if err != nil {
		return explain(err)
	}
	if s.JSON {
		return rt.print(raw)
	}
	var st struct {
		Health struct {
			Status string
			Issues []string
		}
		Daemon struct {
			Paused        bool
			Version       string
			UptimeSeconds float64 `json:"uptime_seconds"`
		}
		Metrics struct {
			Requests struct {
				Total       int
				RefusalRate float64 `json:"refusal_rate"`
			}
		}
		Model struct {
			Architecture, Size  *string
			Lessons, Answers    int
			Checkpoint          *string
			ConfidenceThreshold float64 `json:"confidence_threshold"`
		}
		Workers []json.RawMessage
	}
	if err := json.Unmarshal(raw, &st); err != nil {
		return fmt.Errorf("read the status: %w", err)
	}
	learning := "runs"
	if st.Daemon.Paused {
		learning = "is paused; nexus resume goes on"
	}
	fmt.Fprintf(rt.main.Stdout, "%s, up %s, version %s\n", st.Health.Status, time.Duration(st.Daemon.UptimeSeconds*float64(time.Second)).Round(time.Second), st.Daemon.Version)
	for _, issue := range st.Health.Issues {
		fmt.Fprintf(rt.main.Stdout, "  ! %s\n", issue)
	}
	rows := [][]string{
		{"lessons", fmt.Sprintf("%d in %d answers", st.Model.Lessons, st.Model.Answers)},
		{"asked", fmt.Sprintf("%d prompts, %.0f %% of the last ones refused", st.Metrics.Requests.Total, 100*st.Metrics.Requests.RefusalRate)},
		{"workers", fmt.Sprint(len(st.Workers))},
		{"learning", learning},
		{"threshold", fmt.Sprintf("%.2f", st.Model.ConfidenceThreshold)},
	}
	if st.Model.Checkpoint != nil {
		rows = append(rows, []string{"checkpoint", *st.Model.Checkpoint})
	}
	return rt.table(rows)
}

type jobsCmd struct {
	remote
	Kind   string `help:"Only this kind: interact, train."`
	State  string `help:"Only this state: queued, running, succeeded, failed, canceled."`
	Cancel bool   `help:"Cancel the job."`
	ID     string `arg:"" optional:"" help:"One job to show."`
}

// Run lists jobs, shows one, or cancels it.
func (j jobsCmd) Run(ctx context.Context, rt *runtime) error {
	c, err := j.connect(rt)
	if err != nil {
		return err
	}
	if j.ID != "" {
		show := c.Job
		if j.Cancel {
			show = c.Cancel
		}
		one, err := show(ctx, j.ID)
		if err != nil {
			return explain(err)
		}
		return rt.print(one)
	}
	if j.Cancel {
		return &exitError{exitUsage, "name the job to cancel: nexus jobs --cancel ID"}
	}
	list, _, err := c.Jobs(ctx, j.Kind, j.State, "")
	if err != nil {
		return explain(err)
	}
	if j.JSON {
		return rt.print(list)
	}
	rows := [][]string{{"ID", "KIND", "STATE", "PHASE", "CREATED", "NOTE"}}
	for _, one := range list {
		note := ""
		switch {
		case one.Error != nil:
			note = one.Error.Detail
		case one.WaitingFor != nil:
			note = *one.WaitingFor
		}
		created := ""
		if one.CreatedAt != nil {
			created = one.CreatedAt.UTC().Format(time.DateTime)
		}
		rows = append(rows, []string{one.ID, string(one.Kind), string(one.State), one.Progress.Phase, created, brief(note)})
	}
	return rt.table(rows)
}

type trainCmd struct {
	remote
	NoWait bool   `help:"Do not wait for its end."`
	Topic  string `arg:"" optional:"" help:"Topic pack, or what the teacher is to write about; without it what is known is learned deeper."`
}

// Run starts training and waits for it.
func (t trainCmd) Run(ctx context.Context, rt *runtime) error {
	c, err := t.connect(rt)
	if err != nil {
		return err
	}
	j, err := c.Train(ctx, t.Topic)
	if err == nil && !t.NoWait {
		show, done := rt.progress(t.JSON)
		j, err = c.Wait(ctx, j.ID, show)
		done()
	}
	if err != nil {
		return explain(err)
	}
	if t.JSON || t.NoWait {
		return rt.print(j)
	}
	var r job.Trained
	if err := json.Unmarshal(j.Result, &r); err != nil {
		return rt.print(j)
	}
	fmt.Fprintf(rt.main.Stdout, "%d lessons taken, %d steps; promoted: %t, %s\n", r.LessonsTaken, r.Steps, r.Promoted, r.Why)
	return nil
}

type pauseCmd struct{ remote }

// Run lets background learning rest.
func (p pauseCmd) Run(ctx context.Context, rt *runtime) error {
	return p.control(ctx, rt, "pause", "learning is paused; serving goes on")
}

type resumeCmd struct{ remote }

// Run lets background learning go on.
func (r resumeCmd) Run(ctx context.Context, rt *runtime) error {
	return r.control(ctx, rt, "resume", "learning goes on")
}

func (r remote) control(ctx context.Context, rt *runtime, action, done string) error {
	c, err := r.connect(rt)
	if err != nil {
		return err
	}
	if err := c.Control(ctx, action); err != nil {
		return explain(err)
	}
	if r.JSON {
		return rt.print(map[string]string{"done": action})
	}
	fmt.Fprintln(rt.main.Stdout, done)
	return nil
}

type rollbackCmd struct {
	remote
	Checkpoint string `arg:"" help:"Id of a kept checkpoint; nexus checkpoints lists them."`
}

// Run serves another kept checkpoint.
func (r rollbackCmd) Run(ctx context.Context, rt *runtime) error {
	c, err := r.connect(rt)
	if err != nil {
		return err
	}
	if err := c.Promote(ctx, r.Checkpoint); err != nil {
		return explain(err)
	}
	fmt.Fprintf(rt.main.Stdout, "serving %s within two seconds\n", r.Checkpoint)
	return nil
}

// remoteCheckpoints lists the checkpoints of a server.
func remoteCheckpoints(ctx context.Context, rt *runtime, c *client.Client, asJSON bool) error {
	list, head, err := c.Checkpoints(ctx)
	if err != nil {
		return explain(err)
	}
	if asJSON {
		return rt.print(map[string]any{"checkpoints": list, "head": head})
	}
	rows := [][]string{{" ", "CHECKPOINT", "CREATED", "LESSONS", "WHY"}}
	for _, m := range list {
		mark := " "
		if m.Head {
			mark = "*"
		}
		if m.Failing != nil {
			mark, m.Why = "!", m.Why+"; taken back: "+*m.Failing
		}
		rows = append(rows, []string{mark, m.ID, m.CreatedAt.UTC().Format(time.DateTime), fmt.Sprint(m.Lessons), m.Why})
	}
	return rt.table(rows)
}

type dashboardCmd struct {
	remote
	Print bool `help:"Only print the address."`
}

// Run opens the dashboard in a browser.
func (d dashboardCmd) Run(ctx context.Context, rt *runtime) error {
	address, err := d.address(rt)
	if err != nil {
		return err
	}
	address = strings.TrimRight(address, "/") + "/dashboard"
	fmt.Fprintln(rt.main.Stdout, address)
	if d.Print || d.JSON {
		return nil
	}
	opener := map[string]string{"darwin": "open", "windows": "explorer"}[goruntime.GOOS]
	if opener == "" {
		opener = "xdg-open"
	}
	if path, err := exec.LookPath(opener); err == nil && (opener != "xdg-open" || os.Getenv("DISPLAY")+os.Getenv("WAYLAND_DISPLAY") != "") {
		return exec.CommandContext(ctx, path, address).Start()
	}
	return nil
}
