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

// Replaced is the folder that takes what a restore by force found in place.
const Replaced = "replaced/"

// ErrOccupied means that there is something where a restore would write.
var ErrOccupied = errors.New("not empty")

// RestoreOptions say how to put a backup in place.
type RestoreOptions struct {
	// Force moves what is there to replaced/<time>/ instead of refusing.
	Force bool
	// Unlearned is stored too, so that the restore does not undo it; nil is nothing.
	Unlearned *Unlearned
	// Leave are keys of the unpacked backup that stay out.
	Leave []string
	// Parallel is how many objects are written at once; 0 is 8.
	Parallel int
	Now      func() time.Time
}

// Restored says what a restore did.
type Restored struct {
	Objects int
	Bytes   int64
	// Aside is where the objects lie that were there before; empty if there were none.
	Aside string
}

// Restore copies every object of from, which Inspect has found in order, into
// an empty store. The order is that of a save, so that a crash leaves nothing
// that could be taken for more than it is: parts and datasets, then manifests,
// the head last.
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
	if done.Aside, err = clearAway(ctx, to, opt); err != nil {
		return done, fmt.Errorf("restore into %s: %w", to, err)
	}
	// First, so that a restore that is cut off brings nothing back either.
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

// apart tells whether a key belongs to what is neither served nor saved.
func apart(key string) bool {
	return strings.HasPrefix(key, Corrupted) || strings.HasPrefix(key, Replaced)
}

// stages orders objects as they are to be written.
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

// Occupied tells whether a store holds anything that was learned or taught.
func Occupied(ctx context.Context, store Store) (bool, error) {
	for _, prefix := range []string{HeadKey, ManifestPrefix, DatasetsPrefix, PartsPrefix} {
		infos, err := store.List(ctx, prefix)
		if err != nil || len(infos) > 0 {
			return len(infos) > 0, err
		}
	}
	return false, nil
}

// clearAway moves everything in the store aside, the head first, so that what is half
// moved is not served.
func clearAway(ctx context.Context, store Store, opt RestoreOptions) (string, error) {
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
