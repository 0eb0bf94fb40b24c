package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/nexus-continuum/nexus/api"
	"github.com/nexus-continuum/nexus/scheduler"
	"github.com/nexus-continuum/nexus/storage"
)

// off is the value of a schedule that never comes.
const off = "off"

// cleanUpSchedule is when results and logs past their time are dropped.
const cleanUpSchedule = "@every 10m"

// compactSchedule is when small datasets are put together into larger objects.
const compactSchedule = "@every 1h"

func (s *shared) openScheduler() (*scheduler.Scheduler, error) {
	opt := scheduler.Options{
		Queue: scheduler.On(s.queue), Interactions: s.interactions, Redis: s.redis.Client(), Datasets: s.datasets, Checkpoints: s.checkpoints, Control: s.control,
		Usage:     storage.NewUsage(s.store, clock()),
		Schedules: s.settings.schedules(), MaxCheckpoints: s.settings.MaxCheckpoints,
		KeepDaily: s.settings.KeepDaily, KeepWeekly: s.settings.KeepWeekly, Backup: s.backup, Now: clock(), Log: s.log,
	}
	if s.mirror != nil {
		opt.Pruner, opt.Compactor = s.mirror.Bucket(), s.mirror.BucketDatasets()
	}
	return scheduler.New(opt)
}

// schedules are the settings in the scheduler's words.
func (s *Settings) schedules() scheduler.Schedules {
	at := func(spec string) string {
		if spec == off {
			return ""
		}
		return spec
	}
	return scheduler.Schedules{
		Checkpoint: "@every " + s.CheckpointInterval.String(), Prune: at(s.SchedulePrune), Scrub: at(s.ScheduleScrub),
		Recalibrate: at(s.ScheduleRecalib), CleanUp: cleanUpSchedule, Compact: compactSchedule, Backup: at(s.ScheduleBackup),
	}
}

func (s *Settings) checkSchedules() error {
	for _, v := range []struct{ name, spec string }{
		{"NEXUS_SCHEDULE_PRUNE", s.SchedulePrune},
		{"NEXUS_SCHEDULE_SCRUB", s.ScheduleScrub},
		{"NEXUS_SCHEDULE_RECALIBRATE", s.ScheduleRecalib},
		{"NEXUS_SCHEDULE_BACKUP", s.ScheduleBackup},
	} {
		if v.spec == off {
			continue
		}
		if err := scheduler.CheckSchedule(v.spec); err != nil {
			return &settingError{v.name, v.spec, err.Error() + "; off turns it off"}
		}
	}
	if s.ScheduleBackup != off && s.ScheduleBackup != "" && s.BackupDir == "" {
		return &settingError{"NEXUS_BACKUP_DIR", "", "must name a folder when NEXUS_SCHEDULE_BACKUP is set"}
	}
	return nil
}

// backup writes one scheduled backup.
func (s *shared) backup(ctx context.Context) (string, error) {
	file, _, err := s.backUp(ctx)
	return file, err
}

// backUpNow writes a backup that somebody asked the API for.
func (s *shared) backUpNow(ctx context.Context) (api.Backup, error) {
	file, report, err := s.backUp(ctx)
	if err != nil {
		return api.Backup{}, err
	}
	out := api.Backup{File: file, Bytes: report.Bytes, Checkpoint: report.Checkpoint, Datasets: report.Datasets, LeftOut: len(report.Left)}
	if i, err := os.Stat(file); err == nil {
		out.Bytes = i.Size() // packed
	}
	return out, nil
}

// backUp writes a backup into NEXUS_BACKUP_DIR, or beside the data where that is not
// set, and drops the oldest beyond the number kept.
func (s *shared) backUp(ctx context.Context) (string, storage.BackupReport, error) {
	folder := cmp.Or(s.settings.BackupDir, filepath.Join(s.settings.DataDir, "backups"))
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", storage.BackupReport{}, fmt.Errorf("make the folder for backups: %w", err)
	}
	file := filepath.Join(folder, "nexus-backup-"+time.Now().UTC().Format("20060102-150405")+".tar.gz")
	var report storage.BackupReport
	err := replaceFile(file, 0o600, func(w io.Writer) (err error) {
		report, err = writeBackup(ctx, w, true, storage.ReadOnly(s.store), storage.BackupOptions{Version: versionText(), Spool: folder})
		return err
	})
	if err != nil {
		return "", report, fmt.Errorf("write the backup %s: %w", file, err)
	}
	if n := len(report.Left); n > 0 {
		s.log.Error("damaged objects are not in the backup; the rest of it is whole", "file", file, "left_out", n)
	}
	s.log.Info("backup written", "file", file, "checkpoint", report.Checkpoint, "datasets", report.Datasets)
	old, err := filepath.Glob(filepath.Join(folder, "nexus-backup-????????-??????.tar.gz"))
	if err != nil {
		return file, report, err
	}
	slices.Sort(old)
	var errs []error
	for _, f := range old[:max(0, len(old)-s.settings.BackupKeep)] {
		errs = append(errs, os.Remove(f))
	}
	return file, report, errors.Join(errs...)
}
