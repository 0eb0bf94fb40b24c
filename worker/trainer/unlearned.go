package trainer

import (
	"context"
	"errors"
	"fmt"

	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/storage"
)

// Unlearned applies to m every unlearning in the store that its checkpoint does
// not know: lineage lists the datasets that the checkpoint learned from. A
// checkpoint can be older than an unlearning after a rollback, a take-back or a
// restore, and what was unlearned must never answer again, so every process
// calls this before a loaded model serves. dropped reports whether an operation
// was canceled before it was carried out; nil is none. It returns the number of
// lessons removed. An error means that the store cannot tell now: m must not
// serve then.
func Unlearned(ctx context.Context, m *model.Model, lineage storage.Lineage, datasets Datasets, dropped func(ctx context.Context, dataset string) bool) (*model.Model, int, error) {
	ids, err := datasets.SingleIDs(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("look for what was unlearned: %w", err)
	}
	removed := 0
	for _, id := range lineage.Missing(ids) {
		matches, err := unlearning(ctx, datasets, id)
		if err != nil {
			return nil, 0, err
		}
		if matches == nil || dropped != nil && dropped(ctx, id) {
			continue
		}
		again, err := taughtAfter(ctx, datasets, lineage, id)
		if err != nil {
			return nil, 0, err
		}
		var n int
		m, n = m.Unlearn(func(l model.Lesson) bool { return matches(l) && !again[l.ID] })
		removed += n
	}
	return m, removed, nil
}

// unlearning returns what dataset id unlearns; nil if it does not unlearn, or
// is gone or damaged.
func unlearning(ctx context.Context, datasets Datasets, id string) (func(model.Lesson) bool, error) {
	ds, lessons, err := operation(ctx, datasets, id, func(op storage.Op) bool { return op == storage.OpForget })
	if err != nil || ds.ID == "" {
		return nil, err
	}
	return forgetter(ds, lessons), nil
}

// operation reads dataset id if its operation is wanted. The dataset is zero if
// it has another operation, or is gone or damaged.
func operation(ctx context.Context, datasets Datasets, id string, wanted func(storage.Op) bool) (storage.Dataset, []storage.Lesson, error) {
	op, err := datasets.Op(ctx, id)
	if err == nil && !wanted(op) || errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrCorrupt) {
		return storage.Dataset{}, nil, nil
	}
	if err != nil {
		return storage.Dataset{}, nil, fmt.Errorf("look for what was unlearned: %w", err)
	}
	ds, lessons, err := datasets.Lessons(ctx, id)
	if errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrCorrupt) {
		return storage.Dataset{}, nil, nil
	}
	if err != nil {
		return storage.Dataset{}, nil, fmt.Errorf("look for what was unlearned: %w", err)
	}
	return ds, lessons, nil
}

// taughtAfter returns the ids of the lessons that datasets of ids taught after
// dataset id. The order of datasets is that of their ids: an unlearning that
// arrives late does not undo what was taught again after it.
func taughtAfter(ctx context.Context, datasets Datasets, ids []string, id string) (map[string]bool, error) {
	taught := map[string]bool{}
	for _, later := range ids {
		if later <= id {
			continue
		}
		ds, lessons, err := operation(ctx, datasets, later, func(op storage.Op) bool { return op == storage.OpTeach || op == storage.OpRevise })
		if err != nil {
			return nil, err
		}
		for _, l := range modelLessons(ds, lessons) {
			taught[l.ID] = true
		}
	}
	return taught, nil
}

// unlearnedAfter returns what datasets of ids unlearned after dataset id: a
// dataset that arrives late, or is learned again, does not bring it back.
func unlearnedAfter(ctx context.Context, datasets Datasets, ids []string, id string) ([]func(model.Lesson) bool, error) {
	var out []func(model.Lesson) bool
	for _, later := range ids {
		if later <= id {
			continue
		}
		matches, err := unlearning(ctx, datasets, later)
		if err != nil {
			return nil, err
		}
		if matches != nil {
			out = append(out, matches)
		}
	}
	return out, nil
}
