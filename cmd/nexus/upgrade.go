package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nexus-continuum/nexus/storage"
)

type upgradeCmd struct {
	Check bool `required:"" help:"Say what this version will do to the data; change nothing."`
	JSON  bool `help:"Print JSON."`
}

// Help is shown by nexus upgrade --help.
func (upgradeCmd) Help() string {
	return `Run it with the new program on the data of the old one, before the update: new/nexus upgrade --check. It reads every record beside a running server and changes nothing. ` +
		`The exit status is 1 if this version cannot read something. nexus is updated by deploy/install.sh, a package or an image.`
}

// prospect is what a start of this version will meet and do.
type prospect struct {
	Storage     string   `json:"storage"`
	Version     string   `json:"version"`
	Checkpoints int      `json:"checkpoints"`
	Datasets    int      `json:"datasets"`
	Lessons     int      `json:"lessons"`
	Unreadable  []string `json:"unreadable"` // by this version
	Will        []string `json:"will"`
}

// Run looks at the data of NEXUS_DATA_DIR or the bucket.
func (c upgradeCmd) Run(ctx context.Context, rt *runtime) error {
	store, err := openStoreView(ctx, rt.settings)
	if err != nil {
		return err
	}
	store.warn(rt.main.Stderr)
	p, err := prospectOf(ctx, store, rt.settings)
	if err != nil {
		return err
	}
	p.Storage = store.String()
	if c.JSON {
		enc := json.NewEncoder(rt.main.Stdout)
		enc.SetIndent("", "  ")
		err = enc.Encode(p)
	} else {
		err = p.print(rt)
	}
	if err == nil && len(p.Unreadable) > 0 {
		return &exitError{code: exitFailure, text: "nexus: keep the newer version, or restore a backup that this one made"}
	}
	return err
}

func prospectOf(ctx context.Context, store storage.Store, s *Settings) (prospect, error) {
	p := prospect{Version: versionText(), Unreadable: []string{}, Will: []string{}}
	note := func(what string, err error) {
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			p.Unreadable = append(p.Unreadable, what+": "+err.Error())
		}
	}
	shelf := storage.NewCheckpoints(store, storage.Options{})
	head, err := shelf.Head(ctx)
	note("the head record", err)
	_, err = storage.NewControl(store, storage.ControlOptions{}).Read(ctx)
	note("the control record", err)
	all, err := shelf.List(ctx)
	if err != nil {
		return p, err
	}
	p.Checkpoints = len(all)
	served := -1
	for i, m := range all {
		if m.ID == head.Checkpoint {
			served = i
		}
	}
	data := storage.NewDatasets(store, storage.DatasetOptions{})
	ids, err := data.IDs(ctx)
	if err != nil {
		return p, err
	}
	p.Datasets = len(ids)
	for _, id := range ids {
		_, err := data.Stat(ctx, id)
		note("dataset "+id, err)
	}
	single, err := data.SingleIDs(ctx)
	if err != nil {
		return p, err
	}
	if len(single) > 0 {
		p.Will = append(p.Will, "put small learned datasets together into larger objects, once an hour; versions without this feature serve what was learned from those, but cannot learn it anew nor back it up")
	}
	if served < 0 {
		p.Will = append(p.Will, "start with an untaught model and learn every dataset")
		return p, nil
	}
	m := all[served]
	p.Lessons = m.Meta.Lessons
	p.Will = append(p.Will, fmt.Sprintf("serve checkpoint %s with %d lessons at once", m.ID, m.Meta.Lessons))
	if m.Meta.Architecture != s.Architecture || m.Meta.Size != s.ModelSize {
		p.Will = append(p.Will, fmt.Sprintf("train a model %s %s from the stored lessons meanwhile, as the settings say; the present one (%s %s) serves until it is at least as good",
			s.Architecture, s.ModelSize, m.Meta.Architecture, m.Meta.Size))
	}
	lineage, err := shelf.Lineage(ctx, m.ID)
	note("the lineage of checkpoint "+m.ID, err)
	if n := len(lineage.Missing(ids)); err == nil && n > 0 {
		p.Will = append(p.Will, fmt.Sprintf("learn %d datasets that the checkpoint does not know yet", n))
	}
	return p, nil
}

func (p prospect) print(rt *runtime) error {
	out := rt.main.Stdout
	fmt.Fprintf(out, "nexus %s on %s: %d checkpoints, %d datasets\n", p.Version, p.Storage, p.Checkpoints, p.Datasets)
	for _, u := range p.Unreadable {
		fmt.Fprintln(out, "cannot read", u)
	}
	if len(p.Unreadable) > 0 {
		return nil
	}
	for _, w := range p.Will {
		fmt.Fprintln(out, "will", w)
	}
	_, err := fmt.Fprintln(out, "converts nothing: the version that wrote this data can still read it afterwards, except for what is taught or saved later in a newer form")
	return err
}
