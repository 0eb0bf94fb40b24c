package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/nexus-continuum/nexus/storage"
)

type checkpointsCmd struct {
	remote
}

// Help is shown by nexus checkpoints --help.
func (checkpointsCmd) Help() string {
	return `Lists what lies in the data folder or bucket, or with --url what a server keeps, newest first, whether a server runs or not; * marks the one that is served, ! one that was taken back since it failed in service. ` +
		`It reads manifests only: nexus verify tells whether what they name is whole.`
}

// shownCheckpoint has the names that GET /api/checkpoints uses.
type shownCheckpoint struct {
	ID           string          `json:"id"`
	Parent       string          `json:"parent,omitempty"`
	Head         bool            `json:"head"`
	CreatedAt    time.Time       `json:"created_at"`
	Why          string          `json:"why"`
	Architecture string          `json:"architecture"`
	Size         string          `json:"size"`
	Lessons      int             `json:"lessons"`
	Datasets     int             `json:"datasets"`
	SizeBytes    int64           `json:"size_bytes"`
	Figures      json.RawMessage `json:"figures"`
	Failing      string          `json:"failing,omitempty"`
}

// Run lists the checkpoints.
func (c checkpointsCmd) Run(ctx context.Context, rt *runtime) error {
	if c.URL != "" {
		server, err := c.connect(rt)
		if err != nil {
			return err
		}
		return remoteCheckpoints(ctx, rt, server, c.JSON)
	}
	store, err := openStoreView(ctx, rt.settings)
	if err != nil {
		return err
	}
	store.warn(rt.main.Stderr)
	// A damaged manifest is left out of the list, with a line that says so.
	log := slog.New(slog.NewTextHandler(rt.main.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	shelf := storage.NewCheckpoints(store, storage.Options{Log: log})
	manifests, err := shelf.List(ctx)
	if err != nil {
		return err
	}
	head, err := shelf.Head(ctx)
	if err != nil {
		log.Warn("which checkpoint is served cannot be read", "error", err)
	}
	registry, err := shelf.Registry(ctx)
	if err != nil {
		log.Warn("what is known of the checkpoints cannot be read", "error", err)
	}
	list := make([]shownCheckpoint, 0, len(manifests))
	for _, m := range manifests {
		list = append(list, shownCheckpoint{
			ID: m.ID, Parent: m.Parent, Head: m.ID == head.Checkpoint, CreatedAt: m.CreatedAt, Why: m.Meta.Why,
			Architecture: m.Meta.Architecture, Size: m.Meta.Size,
			Lessons: m.Meta.Lessons, Datasets: m.Datasets, SizeBytes: m.StoredBytes(), Figures: m.Meta.Figures,
			Failing: registry.Failing[m.ID].Why,
		})
	}
	if c.JSON {
		enc := json.NewEncoder(rt.main.Stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(map[string]any{"checkpoints": list, "head": head.Checkpoint})
	}
	w := tabwriter.NewWriter(rt.main.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, " \tCHECKPOINT\tCREATED\tLESSONS\tDATASETS\tSIZE\tMODEL\tWHY")
	for _, s := range list {
		mark := " "
		if s.Head {
			mark = "*"
		}
		if s.Failing != "" {
			mark, s.Why = "!", s.Why+"; taken back: "+s.Failing
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%s\t%s %s\t%s\n", mark, s.ID, s.CreatedAt.UTC().Format(time.DateTime),
			s.Lessons, s.Datasets, inBytes(s.SizeBytes), s.Architecture, s.Size, s.Why)
	}
	return w.Flush()
}
