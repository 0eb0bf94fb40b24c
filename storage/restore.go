package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// Replaced is the folder for the objects that a forced restore moves out of the way.
const Replaced = "replaced/"

// ErrOccupied means that a restore would write where objects already exist.
var ErrOccupied = errors.New("not empty")

// RestoreOptions configure Restore.
type RestoreOptions struct {
	// Force moves existing objects to replaced/<time>/ instead of returning
	// ErrOccupied.
	Force bool
	// Unlearned holds unlearn operations that are stored too, so that the restore does
	// not undo them; nil means none.
	Unlearned *Unlearned
	// Leave are keys of the unpacked backup that are not restored.
	Leave []string
	// Parallel is how many objects are written at once; 0 means 8.
	Parallel int
	Now      func() time.Time
}

// Restored says what a restore did.
type Restored struct {
	Objects int
	Bytes   int64
	// Aside is the folder of the objects that were there before; empty if there were
	// none.
	Aside string
}

// Restore copies every object of from, which Inspect has checked, into an empty store.
// It writes in the order of a save, so that a crash leaves nothing that looks more
// complete than it is: parts and datasets first, then manifests, and the head last.
func Restore(ctx context.Context, from, to Store, opt RestoreOptions) (Restored, error) {
	if opt.Parallel == 0 {
		opt.Parallel = 8
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	var done Restored
	objects, err := from.List(ctx, "")
	if err != nil {
		return done, fmt.Errorf("restore: %w", err)
	}
	objects = slices.DeleteFunc(objects, func(i Info) bool { return apart(i.Key) || slices.Contains(opt.Leave, i.Key) })
	if done.Aside, err = moveAside(ctx, to, opt); err != nil {
		return done, fmt.Errorf("restore into %s: %w", to, err)
	}
	// This comes first, so that an interrupted restore does not bring unlearned lessons
	// back either.
	if err := opt.Unlearned.write(ctx, to); err != nil {
		return done, fmt.Errorf("restore into %s: %w", to, err)
	}
	for _, stage := range stages(objects) {
		if err := copyAll(ctx, from, to, stage, opt.Parallel); err != nil {
			return done, fmt.Errorf("restore into %s: %w; the restore is not complete: run it again with --force", to, err)
		}
		for _, i := range stage {
			done.Objects++
			done.Bytes += i.Size
		}
	}
	return done, nil
}

// apart reports whether a key belongs to objects that are neither served nor backed up.
func apart(key string) bool {
	return strings.HasPrefix(key, Corrupted) || strings.HasPrefix(key, Replaced)
}

// stages groups objects in the order in which they must be written.
func stages(objects []Info) [][]Info {
	out := make([][]Info, 4)
	for _, i := range objects {
		_, manifest := manifestID(i.Key)
		switch {
		case i.Key == HeadKey:
			out[3] = append(out[3], i)
		case manifest:
			out[2] = append(out[2], i)
		case strings.Contains(i.Key, "/"):
			out[0] = append(out[0], i)
		default:
			out[1] = append(out[1], i)
		}
	}
	return out
}

func copyAll(ctx context.Context, from, to Store, objects []Info, parallel int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, i := range objects {
		group.Go(func() (err error) {
			s := &spool{}
			defer func() { err = errors.Join(err, s.Close()) }()
			if err := copyTo(ctx, from, i.Key, s); err != nil {
				return err
			}
			return to.Put(ctx, i.Key, s.section())
		})
	}
	return group.Wait()
}

// Occupied reports whether a store holds anything that was learned or taught.
func Occupied(ctx context.Context, store Store) (bool, error) {
	for _, prefix := range []string{HeadKey, ManifestPrefix, DatasetsPrefix, PartsPrefix} {
		infos, err := store.List(ctx, prefix)
		if err != nil || len(infos) > 0 {
			return len(infos) > 0, err
		}
	}
	return false, nil
}

// moveAside moves everything in the store aside. The head is moved first, so that a
// half-moved store is not served.
func moveAside(ctx context.Context, store Store, opt RestoreOptions) (string, error) {
	occupied, err := Occupied(ctx, store)
	if err != nil {
		return "", err
	}
	if occupied && !opt.Force {
		return "", fmt.Errorf("%w: it holds checkpoints or datasets; --force moves them aside", ErrOccupied)
	}
	objects, err := store.List(ctx, "")
	if err != nil {
		return "", err
	}
	objects = slices.DeleteFunc(objects, func(i Info) bool { return apart(i.Key) })
	if len(objects) == 0 {
		return "", nil
	}
	aside := Replaced + strings.ToLower(opt.Now().UTC().Format("20060102t150405.000z")) + "/"
	ordered := stages(objects)
	slices.Reverse(ordered)
	for _, stage := range ordered {
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(opt.Parallel)
		for _, i := range stage {
			if CheckKey(aside+i.Key) != nil {
				continue // nothing of ours lies so deep
			}
			group.Go(func() error { return store.Move(ctx, i.Key, aside+i.Key) })
		}
		if err := group.Wait(); err != nil {
			return "", fmt.Errorf("move aside what is there: %w", err)
		}
	}
	return aside, nil
}
