package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/nexus-continuum/nexus/storage"
)

type backupCmd struct {
	File string `arg:"" help:"File to write; - is standard output. The ending .gz or .tgz packs it."`
}

// Help is shown by nexus backup --help.
func (backupCmd) Help() string {
	return `Writes one tar with the checkpoint that is served, every dataset (also those not yet trained), the control record and what else lies at the ` +
		`root of the storage. It reads the data folder or the bucket itself, so it works beside a running server, and consistently: saves and clean-up may go on. ` +
		`Every object is verified before it is written; damaged ones are left out, named, and make the exit status 1. ` +
		`The file appears under its name only when it is whole and on disk. It holds the secret that signs webhooks: keep it as you keep keys.`
}

// Run writes a backup.
func (c backupCmd) Run(ctx context.Context, rt *runtime) error {
	store, err := openStoreView(ctx, rt.settings)
	if err != nil {
		return err
	}
	store.warn(rt.main.Stderr)
	report, err := c.write(ctx, rt, store)
	if err != nil {
		return err
	}
	for _, f := range report.Left {
		fmt.Fprintf(rt.main.Stderr, "left out: %s: %s\n", f.Key, f.Why)
	}
	what := "no checkpoint"
	if report.Checkpoint != "" {
		what = "checkpoint " + report.Checkpoint
	}
	fmt.Fprintf(rt.main.Stderr, "%s, %d parts; %d datasets, %d of them not yet trained; %s\n",
		what, report.Parts, report.Datasets, report.Untrained, inBytes(report.Bytes))
	if n := len(report.Left); n > 0 {
		return fmt.Errorf("%d damaged objects are not in the backup; the rest of it is whole", n)
	}
	if store.away != nil {
		return errors.New("the backup holds only what the data folder does; the bucket could not be asked")
	}
	return nil
}

func (c backupCmd) write(ctx context.Context, rt *runtime, store storage.Store) (report storage.BackupReport, err error) {
	opt := storage.BackupOptions{Version: versionText()}
	pack := strings.HasSuffix(c.File, ".gz") || strings.HasSuffix(c.File, ".tgz")
	write := func(w io.Writer) error {
		report, err = writeBackup(ctx, w, pack, store, opt)
		return err
	}
	if c.File == "-" {
		return report, write(rt.main.Stdout)
	}
	// Where the backup goes there is room for the largest object too.
	opt.Spool = filepath.Dir(c.File)
	if err := replaceFile(c.File, 0o600, write); err != nil {
		return report, fmt.Errorf("write the backup: %w", err)
	}
	return report, nil
}

func writeBackup(ctx context.Context, w io.Writer, pack bool, store storage.Store, opt storage.BackupOptions) (report storage.BackupReport, err error) {
	if pack {
		// Most of it is compressed already, or does not compress.
		z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
		if err != nil {
			return report, err
		}
		report, err = writeBackup(ctx, z, false, store, opt)
		return report, errors.Join(err, z.Close())
	}
	if report, err = storage.Backup(ctx, store, w, opt); err != nil {
		return report, err
	}
	return report, empty(report, store)
}

// empty refuses a backup of nothing: most likely the folder is the wrong one.
func empty(report storage.BackupReport, store storage.Store) error {
	if report.Checkpoint == "" && report.Datasets == 0 && len(report.Left) == 0 {
		return fmt.Errorf("%s holds neither a checkpoint nor a dataset: there is nothing to back up", store)
	}
	return nil
}

// inBytes writes a size for people.
func inBytes(n int64) string {
	const unit = 1000
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	f, at := float64(n), -1
	for f >= unit && at < 3 {
		f /= unit
		at++
	}
	return fmt.Sprintf("%.1f %cB", f, "kMGT"[at])
}

// syncFolder makes the names in a folder durable.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
