package trainer_test

import (
	"context"
	"errors"
	"testing"

	"github.com/nexus-continuum/nexus/storage"
)

// late is a storage that other hosts fill: what is away is not there yet.
type late struct {
	*storage.Datasets
	away map[string]bool
}

func (l *late) Lessons(ctx context.Context, id string) (storage.Dataset, []storage.Lesson, error) {
	if l.away[id] {
		return storage.Dataset{}, nil, errors.Join(storage.ErrNotFound)
	}
	return l.Datasets.Lessons(ctx, id)
}

// Lessons that only their host has are named while their job waits for them.
func TestLessonsOfAHostThatIsAwayAreNamed(t *testing.T) {
	b := setup(t)
	dataset := b.teach("tides", "when is the tide high → at noon")
	datasets := &late{Datasets: b.datasets, away: map[string]bool{dataset: true}}
	b.opt.Datasets, b.opt.Late = datasets, true
	tr := b.start()
	if list := tr.Absent(); len(list) != 0 {
		t.Errorf("nothing was looked for, and %+v is missed", list)
	}
	for range 2 {
		b.train(tr, dataset).isHandedBack("the host that received these lessons has not uploaded them to the shared storage yet")
		if list := tr.Absent(); len(list) != 1 || list[0].Dataset != dataset || list[0].Since.IsZero() {
			t.Errorf("absent: %+v", list)
		}
	}
	delete(datasets.away, dataset) // no job is running
	b.train(tr, dataset).succeeds()
	if list := tr.Absent(); len(list) != 0 {
		t.Errorf("the lessons have come, and %+v is still missed", list)
	}
}
