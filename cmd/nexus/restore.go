package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/storage/dir"
)

type restoreCmd struct {
	File      string `arg:"" help:"Backup to restore: a file of nexus backup, or a tar of the storage folder, packed by gzip or not; - is standard input."`
	Force     bool   `help:"Restore over what is there, which moves to replaced/ beside it."`
	Salvage   bool   `help:"Restore what is whole although something of the backup is damaged or missing."`
	Unlearned bool   `name:"bring-back" help:"Bring back lessons that were unlearned after the backup was made."`
	MaxGB     int    `name:"max-gb" default:"64" help:"Most that the backup may unpack to (GB)."`
}

// Help is shown by nexus restore --help.
func (restoreCmd) Help() string {
	return `Stop every server first: a data folder that one serves from is refused. Of a bucket nobody can tell, so there it is up to you. ` +
		`The backup is unpacked beside the data, every digest in it is verified, and only then is anything put in place, the head last. ` +
		`A folder or bucket that holds checkpoints or datasets is refused without --force. ` +
		`Lessons that the checkpoint of the backup does not know are learned by themselves after the next start.`
}

// Run restores a backup.
func (c restoreCmd) Run(ctx context.Context, rt *runtime) error {
	in, err := openBackup(c.File)
	if err != nil {
		return err
	}
	defer in.Close()
	target, err := c.openTarget(ctx, rt.settings)
	if err != nil {
		return err
	}
	defer target.done()
	// Told before the work rather than after it.
	if occupied, err := target.occupied(ctx); err != nil {
		return fmt.Errorf("look at what is there: %w", err)
	} else if occupied != "" && !c.Force {
		return fmt.Errorf("%s is %w: it holds checkpoints or datasets; --force moves them to %s and restores", occupied, storage.ErrOccupied, storage.Replaced)
	}
	scratch := "" // the system's temporary folder
	if rt.settings.S3Endpoint == "" {
		scratch = rt.settings.storageDir() // the disk that has to hold it anyway
	}
	return inspected(ctx, in, scratch, c.MaxGB, func(from storage.Store, held storage.Unpacked, audit storage.Audit) error {
		leave, err := c.judge(rt, held, audit)
		if err != nil {
			return err
		}
		unlearned, err := c.unlearned(ctx, from, target)
		if err != nil {
			return err
		}
		defer unlearned.Close()
		if err := target.emptyFolder(time.Now()); err != nil {
			return fmt.Errorf("move aside what the data folder holds: %w", err)
		}
		restored, err := storage.Restore(ctx, from, target, storage.RestoreOptions{Force: c.Force, Leave: leave, Unlearned: unlearned})
		if err != nil {
			return err
		}
		if n := unlearned.Len(); n > 0 {
			fmt.Fprintf(rt.main.Stderr, "%d unlearn operations from after the backup stay in force; to undo them too, restore with --bring-back\n", n)
		}
		return c.print(ctx, rt, target.Store, restored)
	})
}

// unlearned is what was unlearned after the backup was made.
func (c restoreCmd) unlearned(ctx context.Context, from storage.Store, t target) (*storage.Unlearned, error) {
	if c.Unlearned {
		return &storage.Unlearned{}, nil
	}
	places := []storage.Store{t.Store}
	if t.folder != nil {
		places = append(places, t.folder)
	}
	return storage.UnlearnedSince(ctx, from, places...)
}

// target is where a restore goes.
type target struct {
	storage.Store
	// folder is the local one before a bucket; nil if there is none.
	folder *dir.Store
	done   func()
}

// openTarget opens the storage to restore into, and keeps servers out of a folder.
func (c restoreCmd) openTarget(ctx context.Context, s *Settings) (t target, err error) {
	t.done = func() {}
	if s.S3Endpoint == "" {
		d, err := dir.Open(s.storageDir())
		if err != nil {
			return t, fmt.Errorf("open the storage in NEXUS_DATA_DIR: %w", err)
		}
		t.Store = d
		t.done, err = lockFolder(d)
		return t, err
	}
	if t.folder, err = openFolder(s); err != nil {
		return t, err
	}
	if t.folder != nil {
		if t.done, err = lockFolder(t.folder); err != nil {
			return t, err
		}
	}
	t.Store, err = openBucket(ctx, s, true)
	if err != nil {
		t.done()
	}
	return t, err
}

func lockFolder(d *dir.Store) (func(), error) {
	done, err := d.Seize()
	if errors.Is(err, dir.ErrInUse) {
		return nil, fmt.Errorf("a server holds %s; stop it, then restore: %w", d, err)
	}
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	return done, nil
}

// occupied tells what would be overwritten; empty if nothing.
func (t target) occupied(ctx context.Context) (string, error) {
	if t.folder != nil {
		if there, err := storage.Occupied(ctx, t.folder); there || err != nil {
			return t.folder.String(), err
		}
	}
	there, err := storage.Occupied(ctx, t.Store)
	if !there {
		return "", err
	}
	return t.String(), err
}

// emptyFolder moves aside what the folder before the bucket holds: it would be
// taken for newer than what is restored.
func (t target) emptyFolder(now time.Time) error {
	if t.folder == nil {
		return nil
	}
	entries, err := os.ReadDir(t.folder.String())
	if err != nil {
		return err
	}
	aside := filepath.Join(t.folder.String(), filepath.FromSlash(storage.Replaced), now.UTC().Format("20060102t150405"))
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || e.Name()+"/" == storage.Replaced || e.Name()+"/" == storage.Corrupted {
			continue
		}
		if err := os.MkdirAll(aside, 0o700); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(t.folder.String(), e.Name()), filepath.Join(aside, e.Name())); err != nil {
			return err
		}
	}
	return syncFolder(t.folder.String())
}

func openBackup(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(os.Stdin), nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open the backup: %w", err)
	}
	return f, nil
}

// inspected unpacks a backup into a folder of its own, verifies all of it and
// hands it to then. The folder is removed afterwards.
func inspected(ctx context.Context, in io.Reader, within string, maxGB int, then func(storage.Store, storage.Unpacked, storage.Audit) error) error {
	if within != "" {
		// What a killed restore left; the folder is ours alone.
		old, err := filepath.Glob(filepath.Join(within, ".restore-*"))
		if err != nil {
			return err
		}
		for _, o := range old {
			_ = os.RemoveAll(o) // what stays costs only room
		}
	}
	folder, err := os.MkdirTemp(within, ".restore-")
	if err != nil {
		return fmt.Errorf("make a folder to unpack the backup in: %w", err)
	}
	defer os.RemoveAll(folder)
	staging, err := dir.Scratch(folder)
	if err != nil {
		return err
	}
	held, err := storage.Unpack(ctx, in, staging, storage.UnpackLimits{Bytes: int64(maxGB) << 30, Spool: folder})
	if err != nil {
		return fmt.Errorf("%w; nothing was put in place", err)
	}
	audit, err := storage.Inspect(ctx, staging, 0)
	if err != nil {
		return err
	}
	return then(staging, held, audit)
}

// judge decides what to leave out, or that nothing is restored at all.
func (c restoreCmd) judge(rt *runtime, held storage.Unpacked, audit storage.Audit) ([]string, error) {
	for _, f := range audit.Faults {
		fmt.Fprintln(rt.main.Stderr, faultLine(f))
	}
	leave, whole := audit.Salvage()
	switch {
	case len(audit.Faults) == 0, c.Salvage:
	case held.Ours || audit.Damaged():
		return nil, fmt.Errorf("the backup is damaged (%d faults); nothing was put in place; --salvage restores what is whole", len(audit.Faults))
	case whole == 0:
		return nil, errors.New("no checkpoint in the backup is whole; nothing was put in place; --salvage restores the datasets, from which everything is learned anew")
	case whole < audit.Checkpoints:
		// A tar of a running server may catch a checkpoint without its newest part.
		fmt.Fprintf(rt.main.Stderr, "%d of %d checkpoints are not whole and are left out\n", audit.Checkpoints-whole, audit.Checkpoints)
	}
	return leave, nil
}

func (c restoreCmd) print(ctx context.Context, rt *runtime, target storage.Store, restored storage.Restored) error {
	out := rt.main.Stderr
	if restored.Aside != "" {
		fmt.Fprintf(out, "what was there is in %s now; remove it when you no longer need it\n", restored.Aside)
	}
	fmt.Fprintf(out, "restored %d objects, %s, into %s\n", restored.Objects, inBytes(restored.Bytes), target)
	shelf := storage.NewCheckpoints(storage.ReadOnly(target), storage.Options{})
	list, err := shelf.List(ctx)
	if err != nil {
		return fmt.Errorf("look at what was restored: %w", err)
	}
	if len(list) == 0 {
		fmt.Fprintln(out, "no checkpoint: everything is learned from the datasets after the start")
		return nil
	}
	served := list[0]
	if head, err := shelf.Head(ctx); err == nil {
		for _, m := range list {
			if m.ID == head.Checkpoint {
				served = m
			}
		}
	}
	lineage, err := shelf.Lineage(ctx, served.ID)
	if err != nil {
		return fmt.Errorf("look at what was restored: %w", err)
	}
	ids, err := storage.NewDatasets(target, storage.DatasetOptions{}).IDs(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "checkpoint %s with %d lessons will serve; %d datasets are learned after the start\n",
		served.ID, served.Meta.Lessons, len(lineage.Missing(ids)))
	if rt.settings.S3Endpoint == "" && os.Geteuid() == 0 {
		fmt.Fprintf(out, "restored as root: if the server runs as another user, chown -R that user %s\n", target)
	}
	return nil
}
