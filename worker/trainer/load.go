package trainer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/nexus-continuum/nexus/job"
	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/storage"
)

// Open makes a model of a checkpoint: of the architecture and size that it was
// saved with, whatever the settings of this process say.
func Open(cfg model.Config, m storage.Manifest, parts []storage.Part) (*model.Model, error) {
	_, own, err := splitState(parts)
	if err != nil {
		return nil, fmt.Errorf("open checkpoint %s: %w", m.ID, err)
	}
	if m.Meta.Architecture != "" {
		cfg = cfg.WithShape(m.Meta.Architecture, m.Meta.Size)
	}
	opened, err := model.Open(cfg, modelParts(own))
	if err != nil {
		return nil, fmt.Errorf("open checkpoint %s: %w", m.ID, err)
	}
	if n := opened.Info().Lessons; n != m.Meta.Lessons {
		return nil, fmt.Errorf("open checkpoint %s: it holds %d lessons where its manifest says %d", m.ID, n, m.Meta.Lessons)
	}
	return opened, nil
}

func modelParts(parts []storage.Part) []model.Part {
	out := make([]model.Part, len(parts))
	for i, p := range parts {
		out[i] = model.Part(p)
	}
	return out
}

// load makes the head's model ours.
func (a *actor) load(ctx context.Context) error {
	var manifest storage.Manifest
	var parts []storage.Part
	err := a.opt.Storage.Do(func() (err error) {
		manifest, parts, err = a.opt.Checkpoints.LoadLatest(ctx)
		if errors.Is(err, storage.ErrNotFound) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("load the model to train: %w", err)
	}
	if manifest.ID == "" {
		return a.startUntaught()
	}
	m, err := Open(a.opt.Model, manifest, parts)
	if err != nil {
		return err
	}
	st, _, err := splitState(parts)
	if err != nil {
		return err
	}
	lineage, err := a.opt.Checkpoints.Lineage(ctx, manifest.ID)
	if err != nil {
		return fmt.Errorf("load the model to train: %w", err)
	}
	// A checkpoint may be older than an unlearning. What it brings back must not
	// serve for a moment.
	m, removed, err := Unlearned(ctx, m, lineage, a.opt.Datasets, a.opt.Dropped)
	if err != nil {
		return fmt.Errorf("load the model to train: %w", err)
	}
	former := maps.Clone(a.lineage)
	a.model, a.head, a.state, a.stale = m, manifest.ID, st, false
	a.newest = newest(lineage)
	a.cleaned = removed
	a.lineage = make(map[string]bool, len(lineage))
	for _, id := range lineage {
		a.lineage[id] = true
	}
	a.undo(ctx, former)
	a.opt.Adopt(m, manifest)
	a.views.follow(m)
	return nil
}

// startUntaught begins with a model that was taught nothing.
func (a *actor) startUntaught() error {
	if a.model != nil && a.head == "" {
		return nil
	}
	m, err := model.New(a.opt.Model)
	if err != nil {
		return fmt.Errorf("make a new model: %w", err)
	}
	a.model, a.head, a.state, a.stale = m, "", state{}, false
	a.lineage, a.newest = map[string]bool{}, ""
	return nil
}

// undo notes which datasets a rollback took back: those of the head that was
// left, which the promoted checkpoint does not know.
func (a *actor) undo(ctx context.Context, former map[string]bool) {
	clear(a.undone)
	h, err := a.opt.Checkpoints.Head(ctx)
	if err != nil || h.Checkpoint != a.head || h.Why != storage.HeadPromoted {
		return
	}
	left, err := a.leftBehind(ctx, h)
	if err != nil {
		a.opt.Log.Warn("what a rollback took back cannot be read in full; some of it may be learned again", "error", err)
	}
	for _, id := range left {
		former[id] = true
	}
	for id := range former {
		if !a.lineage[id] {
			a.undone[id] = true
		}
	}
}

// keepClean saves a model from which load removed lessons, so that the head
// holds what serves. Datasets that a rollback took back are noted by the same save.
func (a *actor) keepClean(ctx context.Context) {
	if a.cleaned == 0 || a.stale {
		return
	}
	removed := a.cleaned
	a.cleaned = 0
	a.opt.Log.Info("lessons that an older checkpoint brought back were unlearned again", "lessons", removed, "checkpoint", a.head)
	if err := a.save(ctx, a.model, a.state, nil, "unlearned again"); err != nil {
		// It is logged, and tried again once the head has been looked at.
		a.cleaned = removed
	}
}

// leftBehind is the lineage of the checkpoint that served before h: the newest
// that was made before the head moved.
func (a *actor) leftBehind(ctx context.Context, h storage.Head) (storage.Lineage, error) {
	all, err := a.opt.Checkpoints.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range all { // newest first
		if m.ID > h.Checkpoint && m.CreatedAt.Before(h.MovedAt) {
			return a.opt.Checkpoints.Lineage(ctx, m.ID)
		}
	}
	return nil, nil
}

// reload follows a head that somebody else moved.
func (a *actor) reload(ctx context.Context) {
	before := a.head
	if err := a.load(ctx); err != nil {
		a.stale = true
		a.opt.Log.Error("the head moved and cannot be loaded; nothing is learned until it can", "error", err)
		return
	}
	if a.head == before {
		return
	}
	a.opt.Log.Info("the trainer goes on from another checkpoint", "before", before, "now", a.head)
	// Steps from weights that were left lead nowhere.
	a.backlog = append(a.backlog, a.waiting...)
	a.waiting = nil
	if s := a.session; s != nil {
		a.backlog = append(a.backlog, s.jobs...)
		s.jobs = nil
		if s.judging != nil {
			<-s.judging
		}
		a.endSession()
	}
	a.dropReplacement()
	if a.needsReplacement() && a.promoted(ctx) {
		// Who rolled back wants that model, at least until more is taught.
		a.keepOut("an operator went back to this model")
	}
}

// promoted reports whether our head was put there by a rollback.
func (a *actor) promoted(ctx context.Context) bool {
	h, err := a.opt.Checkpoints.Head(ctx)
	return err == nil && h.Checkpoint == a.head && h.Why == storage.HeadPromoted
}

// pages yields all lessons of a model, some hundred at a time.
func pages(m *model.Model) iter.Seq[[]model.Lesson] {
	return func(yield func([]model.Lesson) bool) {
		for cursor := ""; ; {
			lessons, next := m.Lessons("", cursor, bunch)
			if len(lessons) > 0 && !yield(lessons) || next == "" {
				return
			}
			cursor = next
		}
	}
}

func allLessons(m *model.Model) []string {
	ids := []string{}
	for lessons := range pages(m) {
		for _, l := range lessons {
			ids = append(ids, l.ID)
		}
	}
	return ids
}

// rebuilt stands for all lessons in the list of what is fresh; earlier versions
// noted it.
const rebuilt = "rebuilt"

// errOvertaken says that another trainer has saved since.
var errOvertaken = fmt.Errorf("another trainer has taken over: %w", storage.ErrFenced)

// save stores next as the new head, puts it to work and tells everybody.
//
// It refuses once the lease is lost: nothing of this trainer is saved, served or
// announced after that.
func (a *actor) save(ctx context.Context, next *model.Model, st state, learned []string, why string) error {
	if a.superseded() {
		return errOvertaken
	}
	parts, meta, err := a.contents(next, st, learned, why)
	if err != nil {
		return err
	}
	saved, err := a.store(ctx, parts, meta)
	switch {
	case err == nil:
	case errors.Is(err, storage.ErrFenced):
		a.opt.Log.Warn("another trainer has taken over", "error", err)
		close(a.t.lost)
		return err
	case errors.Is(err, storage.ErrConflict):
		a.reload(ctx)
		return err
	case errors.Is(err, context.Canceled):
		a.stale = true
		return err // the process stops; what was learned since is learned again
	default:
		a.stale = true
		a.opt.Log.Error("a checkpoint could not be saved", "why", why, "error", err)
		return err
	}
	for _, id := range meta.Learned {
		a.lineage[id] = true
	}
	a.newest = max(a.newest, newest(meta.Learned))
	clear(a.undone)
	a.model, a.head, a.state, a.dirty = next, saved.ID, st, false
	a.checked = a.opt.Now()
	a.opt.Adopt(next, saved)
	a.views.follow(next)
	a.opt.Announce(ctx, saved.ID)
	return nil
}

// contents returns the parts and the metadata of a checkpoint.
func (a *actor) contents(next *model.Model, st state, learned []string, why string) ([]storage.Part, storage.Meta, error) {
	part, err := st.part()
	if err != nil {
		return nil, storage.Meta{}, err
	}
	own := next.Parts()
	parts := make([]storage.Part, 0, len(own)+1)
	for _, p := range own {
		parts = append(parts, storage.Part(p))
	}
	parts = append(parts, part)
	info := next.Info()
	meta := storage.Meta{
		Architecture: info.Architecture, Size: info.Size, Lessons: info.Lessons, Topics: info.Topics,
		Learned: learned, Fence: a.opt.Fence, Why: why,
	}
	for id := range a.undone {
		meta.Learned = append(meta.Learned, id)
	}
	if st.Figures != nil {
		if meta.Figures, err = json.Marshal(st.Figures); err != nil {
			return nil, meta, fmt.Errorf("write figures: %w", err)
		}
	}
	if info.Certificate != nil {
		if meta.Certificate, err = json.Marshal(info.Certificate); err != nil {
			return nil, meta, fmt.Errorf("write certificate: %w", err)
		}
	}
	return parts, meta, nil
}

// store saves a checkpoint as the new head. A conflict or a fence is no failure of the
// storage.
func (a *actor) store(ctx context.Context, parts []storage.Part, meta storage.Meta) (saved storage.Manifest, err error) {
	var lost error
	err = a.opt.Storage.Do(func() (err error) {
		saved, err = a.opt.Checkpoints.Save(ctx, a.head, parts, meta)
		if errors.Is(err, storage.ErrConflict) || errors.Is(err, storage.ErrFenced) {
			lost = err
			return nil // the storage did what it should
		}
		return err
	})
	if err == nil {
		err = lost
	}
	return saved, err
}

// remember keeps the results of the last jobs, for one whose worker dies
// between the save and the acknowledgement.
func (s state) remember(results []job.Trained) state {
	for _, t := range results {
		if t.Dataset == "" {
			continue
		}
		t.Skipped, t.Contradictions = nil, nil
		s.Recent = append(slices.Clone(s.Recent), t)
	}
	if n := len(s.Recent); n > maxRecent {
		s.Recent = slices.Clone(s.Recent[n-maxRecent:])
	}
	return s
}

const maxRecent = 32

func (s state) recall(dataset string) (job.Trained, bool) {
	for i := len(s.Recent) - 1; i >= 0; i-- {
		if s.Recent[i].Dataset == dataset {
			return s.Recent[i], true
		}
	}
	return job.Trained{}, false
}
