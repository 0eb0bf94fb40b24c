package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nexus-continuum/nexus/storage"
)

type verifyCmd struct {
	File     string `arg:"" optional:"" help:"A backup to verify instead of the storage; - is standard input."`
	JSON     bool   `help:"Print JSON."`
	Parallel int    `default:"4" help:"Objects read at once."`
	MaxGB    int    `name:"max-gb" default:"64" help:"Most that a backup may unpack to (GB)."`
}

// Help is shown by nexus verify --help.
func (verifyCmd) Help() string {
	return `Reads every checkpoint, part and dataset again and checks every digest, beside a running server or without one, and changes nothing. ` +
		`Each fault is one line on standard output. The exit status is 0 if there is none, else 1. ` +
		`What is damaged is set aside by the server: at its start, or when it next reads it.`
}

// Run verifies the storage or a backup.
func (c verifyCmd) Run(ctx context.Context, rt *runtime) error {
	if c.File != "" {
		in, err := openBackup(c.File)
		if err != nil {
			return err
		}
		defer in.Close()
		return inspected(ctx, in, "", c.MaxGB, func(_ storage.Store, _ storage.Unpacked, audit storage.Audit) error {
			return c.print(rt, c.File, audit)
		})
	}
	store, err := openStoreView(ctx, rt.settings)
	if err != nil {
		return err
	}
	store.warn(rt.main.Stderr)
	audit, err := storage.Inspect(ctx, store, c.Parallel)
	if err != nil {
		return err
	}
	if store.bucket != nil {
		// The folder hides what of the bucket it has itself.
		behind, err := storage.Inspect(ctx, store.bucket, c.Parallel)
		if err != nil {
			return err
		}
		for _, f := range behind.Faults {
			f.Why = "in the bucket: " + f.Why
			audit.Faults = append(audit.Faults, f)
		}
		audit.Bytes += behind.Bytes
	}
	if err := c.print(rt, store.String(), audit); err != nil || store.away == nil {
		return err
	}
	return errors.New("the bucket could not be verified")
}

var errFaults = errors.New("faults were found")

func (c verifyCmd) print(rt *runtime, where string, audit storage.Audit) error {
	out := rt.main.Stdout
	if c.JSON {
		if audit.Faults == nil {
			audit.Faults = []storage.Fault{}
		}
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(audit); err != nil {
			return err
		}
	} else {
		for _, f := range audit.Faults {
			fmt.Fprintln(out, faultLine(f))
		}
		fmt.Fprintf(out, "%s: %d checkpoints, %d parts, %d datasets, %s read; %d parts that no checkpoint names, %d objects set aside; %d faults\n",
			where, audit.Checkpoints, audit.Parts, audit.Datasets, inBytes(audit.Bytes), audit.Unnamed, audit.SetAside, len(audit.Faults))
	}
	if n := len(audit.Faults); n > 0 {
		return fmt.Errorf("%s: %d %w", where, n, errFaults)
	}
	return nil
}

// faultLine is one fault for people.
func faultLine(f storage.Fault) string {
	line := f.Key + ": " + f.Why
	if len(f.Checkpoints) > 0 && !strings.HasPrefix(f.Key, "checkpoint_") {
		line += "; needed by checkpoint " + strings.Join(f.Checkpoints, ", ")
	}
	return strings.ReplaceAll(line, "\n", " ")
}
