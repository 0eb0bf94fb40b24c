package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Fault is one thing that is wrong with the contents of a store.
type Fault struct {
	// Key is the object at fault.
	Key string `json:"key"`
	// Checkpoints are the ids of the checkpoints that cannot be loaded because of the fault.
	Checkpoints []string `json:"checkpoints,omitempty"`
	// Missing is true if the object is absent, false if it is present and wrong.
	Missing bool   `json:"missing,omitempty"`
	Why     string `json:"why"`
}

// Audit is the result of reading a whole store again.
type Audit struct {
	Checkpoints int `json:"checkpoints"`
	Datasets    int `json:"datasets"`
	Parts       int `json:"parts"`
	// Unnamed is how many parts belong to no checkpoint. The next clean-up removes
	// them.
	Unnamed int `json:"unnamed_parts"`
	// SetAside is how many objects lie under corrupted/.
	SetAside int `json:"set_aside"`
	// Bytes is the stored size of everything that was read.
	Bytes  int64   `json:"bytes"`
	Faults []Fault `json:"faults"`
}

// auditor gathers an Audit from several goroutines.
type auditor struct {
	store       Store
	checkpoints *Checkpoints
	parallel    int

	mu    sync.Mutex
	found Audit
}

// Inspect reads every object of store again and checks it against its digests. It reads
// parallel objects at once; below 1 means 4. It changes nothing, and may run beside a
// service that saves and cleans up. Faults are ordered by key. An error means that the
// store could not be read to the end.
func Inspect(ctx context.Context, store Store, parallel int) (Audit, error) {
	if parallel < 1 {
		parallel = 4
	}
	store = ReadOnly(store)
	a := &auditor{
		store: store, parallel: parallel,
		checkpoints: NewCheckpoints(store, Options{Parallel: parallel}),
	}
	if err := a.run(ctx); err != nil {
		return a.found, fmt.Errorf("verify %s: %w", store, err)
	}
	slices.SortFunc(a.found.Faults, func(x, y Fault) int { return strings.Compare(x.Key, y.Key) })
	return a.found, nil
}

func (a *auditor) run(ctx context.Context) error {
	// Manifests are read before parts. Then a part that a save adds meanwhile is at
	// worst unnamed, and never missing.
	manifests, err := a.manifests(ctx)
	if err != nil {
		return err
	}
	if err := a.head(ctx, manifests); err != nil {
		return err
	}
	if err := a.record(ctx, ControlKey, func(b []byte) error { _, err := decodeControl(b); return err }); err != nil {
		return err
	}
	if err := a.parts(ctx, manifests); err != nil {
		return err
	}
	if err := a.datasetsAll(ctx); err != nil {
		return err
	}
	aside, err := a.store.List(ctx, Corrupted)
	a.found.SetAside = len(aside)
	return err
}

// add records a fault. An error that says nothing about the object ends the audit.
func (a *auditor) add(err error, f Fault) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrUnavailable) {
		return err
	}
	f.Why = err.Error()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.found.Faults = append(a.found.Faults, f)
	return nil
}

func (a *auditor) read(n int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.found.Bytes += n
}

func (a *auditor) manifests(ctx context.Context) ([]Manifest, error) {
	ids, err := a.checkpoints.ids(ctx)
	if err != nil {
		return nil, err
	}
	var out []Manifest
	for _, id := range ids {
		key, err := manifestKey(id)
		if err != nil {
			return nil, err
		}
		m, err := a.manifest(ctx, key, id)
		if errors.Is(err, ErrNotFound) {
			continue // cleaned up since it was listed
		}
		a.found.Checkpoints++
		if err == nil {
			out = append(out, m)
			continue
		}
		if err := a.add(err, Fault{Key: key, Checkpoints: []string{id}}); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (a *auditor) manifest(ctx context.Context, key, id string) (Manifest, error) {
	m, err := a.checkpoints.tryManifest(ctx, key, id)
	if errors.Is(err, ErrCorrupt) {
		// It is read once more, here and below, because a transmission error is not a
		// fault of the store.
		m, err = a.checkpoints.tryManifest(ctx, key, id)
	}
	return m, err
}

// head checks that the head can be read and names a checkpoint that exists.
func (a *auditor) head(ctx context.Context, manifests []Manifest) error {
	h, _, err := a.checkpoints.readHead(ctx)
	if errors.Is(err, ErrCorrupt) {
		h, _, err = a.checkpoints.readHead(ctx)
	}
	switch {
	case errors.Is(err, ErrNotFound) && len(manifests) == 0:
		return nil
	case errors.Is(err, ErrNotFound):
		return a.add(errors.New("it is missing; the newest checkpoint is served in its place"), Fault{Key: HeadKey, Missing: true})
	case err != nil:
		return a.add(err, Fault{Key: HeadKey})
	case slices.ContainsFunc(manifests, func(m Manifest) bool { return m.ID == h.Checkpoint }):
		return nil
	}
	// It may have been saved since the manifests were listed, or be damaged and already
	// reported.
	key, err := manifestKey(h.Checkpoint)
	if err != nil {
		return err
	}
	_, err = a.store.Stat(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return a.add(fmt.Errorf("it names checkpoint %s, which is not there", h.Checkpoint), Fault{Key: HeadKey})
	}
	return err
}

// record checks a record that may be absent.
func (a *auditor) record(ctx context.Context, key string, decode func([]byte) error) error {
	try := func() error {
		b, _, err := a.store.Read(ctx, key)
		if err != nil {
			return err
		}
		return decode(b)
	}
	err := try()
	if errors.Is(err, ErrCorrupt) {
		err = try()
	}
	if err == nil || errors.Is(err, ErrNotFound) {
		return nil
	}
	return a.add(err, Fault{Key: key})
}

// named is a stored part with everything that names it.
type named struct {
	refs        []PartRef
	checkpoints []string
}

// parts reads every stored part once, however many checkpoints share it.
func (a *auditor) parts(ctx context.Context, manifests []Manifest) error {
	all := map[string]*named{}
	for _, m := range manifests {
		for _, p := range m.Parts {
			n := all[p.Stored.Key()]
			if n == nil {
				n = &named{}
				all[p.Stored.Key()] = n
			}
			if !slices.ContainsFunc(n.refs, func(r PartRef) bool { return sameContent(r, p) }) {
				n.refs = append(n.refs, p)
			}
			n.checkpoints = append(n.checkpoints, m.ID)
		}
	}
	infos, err := a.store.List(ctx, PartsPrefix)
	if err != nil {
		return err
	}
	for _, i := range infos {
		if all[i.Key] == nil {
			sum := strings.TrimPrefix(i.Key, PartsPrefix)
			if checkDigest(sum) != nil {
				continue // nothing of ours
			}
			a.found.Unnamed++
			ref := PartRef{Name: "unnamed", SHA256: sum, Size: i.Size, Stored: StoredRef{SHA256: sum, Size: i.Size, Encoding: encodingPlain}}
			all[i.Key] = &named{refs: []PartRef{ref}}
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(a.parallel)
	for key, n := range all {
		group.Go(func() error { return a.part(ctx, key, n) })
	}
	return group.Wait()
}

// sameContent reports whether one reading checks both parts.
func sameContent(a, b PartRef) bool {
	return a.SHA256 == b.SHA256 && a.Size == b.Size && a.Stored == b.Stored && isLineage(a.Name) == isLineage(b.Name)
}

func (a *auditor) part(ctx context.Context, key string, n *named) error {
	for _, ref := range n.refs {
		data, err := readPart(ctx, a.store, ref, isLineage(ref.Name))
		if err == nil && isLineage(ref.Name) {
			_, err = decodeLineage(nil, data)
		}
		if err == nil {
			a.read(ref.Stored.Size)
			continue
		}
		_, there := a.store.Stat(ctx, key)
		missing := errors.Is(there, ErrNotFound)
		if missing && !a.stillNamed(ctx, n.checkpoints) {
			return nil // cleaned up meanwhile
		}
		slices.Sort(n.checkpoints)
		return a.add(err, Fault{Key: key, Checkpoints: slices.Compact(n.checkpoints), Missing: missing})
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.found.Parts++
	return nil
}

// stillNamed reports whether any of the checkpoints is still there.
func (a *auditor) stillNamed(ctx context.Context, checkpoints []string) bool {
	return slices.ContainsFunc(checkpoints, func(id string) bool {
		key, err := manifestKey(id)
		if err == nil {
			_, err = a.store.Stat(ctx, key)
		}
		return !errors.Is(err, ErrNotFound)
	})
}

func (a *auditor) datasetsAll(ctx context.Context) error {
	infos, err := a.store.List(ctx, DatasetsPrefix)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(a.parallel)
	for _, i := range infos {
		if !isDataset(i.Key) {
			continue
		}
		group.Go(func() error {
			n, err := a.dataset(ctx, i.Key)
			if errors.Is(err, ErrCorrupt) {
				n, err = a.dataset(ctx, i.Key)
			}
			if errors.Is(err, ErrNotFound) {
				return nil
			}
			a.mu.Lock()
			a.found.Datasets += n
			a.mu.Unlock()
			if err != nil {
				return a.add(err, Fault{Key: i.Key})
			}
			a.read(i.Size)
			return nil
		})
	}
	return group.Wait()
}

// dataset reads a dataset, or a segment of them, to its end and says how many it holds.
func (a *auditor) dataset(ctx context.Context, key string) (n int, err error) {
	n = 1
	err = readObject(ctx, a.store, key, func(r io.Reader) error {
		if !IsSegment(key) {
			return VerifyObject(key, r)
		}
		t, _, err := readSegment(r, key)
		if err == nil {
			n = len(t.Datasets)
		}
		return err
	})
	return n, err
}

// copyTo writes an object of the store to w.
func copyTo(ctx context.Context, store Store, key string, w io.Writer) (err error) {
	r, err := store.Get(ctx, key)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	_, err = io.Copy(w, r)
	return err
}

// Damaged reports whether any object is present and wrong, rather than missing.
func (a Audit) Damaged() bool {
	return slices.ContainsFunc(a.Faults, func(f Fault) bool { return !f.Missing })
}

// Salvage returns the keys that a copy of the whole objects leaves out, and how many
// checkpoints that copy then holds.
func (a Audit) Salvage() (leave []string, whole int) {
	lost := map[string]bool{}
	for _, f := range a.Faults {
		leave = append(leave, f.Key)
		for _, id := range f.Checkpoints {
			if key, err := manifestKey(id); err == nil && !lost[key] {
				lost[key] = true
				leave = append(leave, key)
			}
		}
	}
	return leave, a.Checkpoints - len(lost)
}
