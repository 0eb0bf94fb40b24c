package storage_test

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/storage"
)

// age lets every stored part look d older.
func (b *bundle) age(t *testing.T, d time.Duration) {
	t.Helper()
	for _, f := range b.files(t, "parts") {
		i, err := os.Stat(b.path(f))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(b.path(f), time.Time{}, i.ModTime().Add(-d)); err != nil {
			t.Fatal(err)
		}
	}
}

func prune(t *testing.T, b *bundle, keep storage.Retention) storage.Pruned {
	t.Helper()
	done, err := b.checkpoints.Prune(t.Context(), keep)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func TestPrune(t *testing.T) {
	t.Parallel()
	b := setup(t)
	saved := b.chain(t, 6)
	if done := prune(t, b, storage.Retention{Newest: 2, Protect: []string{saved[1].ID}}); len(done.Checkpoints) != 3 || done.Parts != 0 {
		t.Errorf("first prune removed %+v; want three checkpoints, and parts of none yet", done)
	}
	var left []string
	list, err := b.checkpoints.List(t.Context())
	for _, m := range list {
		left = append(left, m.ID)
	}
	if want := []string{saved[5].ID, saved[4].ID, saved[1].ID}; err != nil || !slices.Equal(left, want) {
		t.Errorf("%q are left (%v), want %q", left, err, want)
	}

	if done := prune(t, b, storage.Retention{Newest: 2, Protect: []string{saved[1].ID}}); done.Parts != 0 {
		t.Errorf("%d parts were collected within the grace period", done.Parts)
	}
	b.age(t, 2*time.Hour)
	last := b.save(t, saved[5].ID, storage.Meta{}, part("weights", "the same in all"), part("state", "fresh"))
	if done := prune(t, b, storage.Retention{Newest: 3, Protect: []string{saved[1].ID}}); done.Parts != 3 || done.Bytes != 3*int64(len("state 0")) {
		t.Errorf("prune after the grace period removed %+v, want the three states that nothing names", done)
	}
	for _, id := range []string{saved[1].ID, saved[4].ID, saved[5].ID, last.ID} {
		if err := b.checkpoints.Verify(t.Context(), id); err != nil {
			t.Errorf("a kept checkpoint lost something: %v", err)
		}
	}
}

func TestPruneKeepsTheHead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	saved := b.chain(t, 4)
	if _, err := b.checkpoints.Promote(t.Context(), saved[0].ID); err != nil {
		t.Fatal(err)
	}
	prune(t, b, storage.Retention{Newest: 1})
	if m, _ := b.again(t).latest(t); m.ID != saved[0].ID {
		t.Errorf("%s is served after the prune, want the head %s", m.ID, saved[0].ID)
	}
	if _, err := b.checkpoints.Prune(t.Context(), storage.Retention{}); err == nil {
		t.Error("a retention that keeps nothing is taken")
	}
}

// TestPartWrittenAnewOutlivesItsAge: garbage that a save finds useful again is
// as young as that save.
func TestPartWrittenAnewOutlivesItsAge(t *testing.T) {
	t.Parallel()
	b := setup(t)
	saved := b.chain(t, 3)
	prune(t, b, storage.Retention{Newest: 1})
	b.age(t, 2*time.Hour)
	// "state 0" lies there, named by nothing.
	back := b.save(t, saved[2].ID, storage.Meta{}, part("state", "state 0"))
	i, err := os.Stat(b.stored(t, back, "state"))
	if err != nil || time.Since(i.ModTime()) > time.Hour {
		t.Errorf("the part that is used again kept its old age: %v, %v", i.ModTime(), err)
	}
}

// TestPartFromTheFuture: one wrong time must not make all others look old.
func TestPartFromTheFuture(t *testing.T) {
	t.Parallel()
	b := setup(t)
	saved := b.chain(t, 2)
	prune(t, b, storage.Retention{Newest: 1})
	ahead := time.Now().Add(1000 * time.Hour)
	if err := os.Chtimes(b.stored(t, saved[1], "state"), time.Time{}, ahead); err != nil {
		t.Fatal(err)
	}
	if done := prune(t, b, storage.Retention{Newest: 1}); done.Parts != 0 {
		t.Errorf("%d fresh parts were collected because one is dated ahead", done.Parts)
	}
}

func TestRetentionByDayAndWeek(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.clock.now = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC) // a Monday
	parent := ""
	days := map[string]string{}
	for i := range 40 { // two a day, for twenty days
		m := b.save(t, parent, storage.Meta{}, part("state", fmt.Sprint(i)))
		days[m.ID] = m.CreatedAt.Format("01-02 15h")
		parent = m.ID
		b.clock.pass(12 * time.Hour)
	}
	prune(t, b, storage.Retention{Newest: 2, Daily: 3, Weekly: 3})
	list, err := b.checkpoints.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range list {
		got = append(got, days[m.ID])
	}
	// The last is of Saturday the 21st, 21h; weeks end on Sundays the 15th and 8th.
	want := []string{"03-21 21h", "03-21 09h", "03-20 21h", "03-19 21h", "03-15 21h", "03-08 21h"}
	if !slices.Equal(got, want) {
		t.Errorf("kept %q, want %q", got, want)
	}
}
