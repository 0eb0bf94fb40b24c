package storage_test

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/storage"
)

func inspect(t *testing.T, s storage.Store) storage.Audit {
	t.Helper()
	audit, err := storage.Inspect(t.Context(), s, 0)
	if err != nil {
		t.Fatalf("Inspect: %v", err)
	}
	return audit
}

func TestInspectFindsEveryFault(t *testing.T) {
	t.Parallel()
	d := newDamageable(t)
	if audit := inspect(t, d.store); len(audit.Faults) > 0 || audit.Checkpoints != 2 || audit.Datasets != 1 || audit.Bytes == 0 {
		t.Fatalf("of a whole store: %+v", audit)
	}
	before := content(t, d.store)
	for file, whole := range d.files {
		for how, b := range map[string][]byte{
			"cut":     whole[:len(whole)-1],
			"emptied": {},
			"flipped": append([]byte{whole[0] ^ 1}, whole[1:]...),
			"longer":  append(whole[:len(whole):len(whole)], 'x'),
		} {
			write(t, d.path(file), b)
			audit := inspect(t, d.store)
			if len(audit.Faults) != 1 || audit.Faults[0].Key != file || audit.Faults[0].Missing {
				t.Errorf("%s %s: %+v", file, how, audit.Faults)
			}
		}
		if err := os.Remove(d.path(file)); err != nil {
			t.Fatal(err)
		}
		audit := inspect(t, d.store)
		switch {
		case strings.HasPrefix(file, "parts/"):
			if len(audit.Faults) != 1 || !audit.Faults[0].Missing || len(audit.Faults[0].Checkpoints) == 0 {
				t.Errorf("%s removed: %+v", file, audit.Faults)
			}
		case file == "head.json", file == "checkpoint_"+d.latest.ID+".json":
			if len(audit.Faults) != 1 || audit.Faults[0].Key != "head.json" {
				t.Errorf("%s removed: %+v", file, audit.Faults)
			}
		}
		write(t, d.path(file), whole)
	}
	if !maps.Equal(before, content(t, d.store)) {
		t.Error("Inspect changed the store")
	}
}

// TestInspectTellsWhatIsLost: a part that two checkpoints share costs both, and
// the rest can be salvaged.
func TestInspectTellsWhatIsLost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	saved := b.chain(t, 3)
	flip(t, b.stored(t, saved[1], "state"), 4)
	audit := inspect(t, b.store)
	leave, whole := audit.Salvage()
	if len(audit.Faults) != 1 || !slices.Equal(audit.Faults[0].Checkpoints, []string{saved[1].ID}) || whole != 2 || len(leave) != 2 || !audit.Damaged() {
		t.Errorf("%+v leaves %q, %d whole", audit, leave, whole)
	}
	flip(t, b.stored(t, saved[0], "weights"), 4)
	if _, whole := inspect(t, b.store).Salvage(); whole != 0 {
		t.Errorf("a part that all share is damaged, and %d checkpoints count as whole", whole)
	}
}

// TestInspectBesideCleanUp: what is cleaned up while it is read is no fault.
func TestInspectBesideCleanUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	saved := b.chain(t, 4)
	keeper := storage.NewCheckpoints(b.store, storage.Options{Grace: 1})
	store := &busy{Store: b.store, n: 1, do: func() {
		for range 2 {
			if _, err := keeper.Prune(t.Context(), storage.Retention{Newest: 1}); err != nil {
				t.Fatal(err)
			}
		}
	}}
	if audit := inspect(t, store); len(audit.Faults) > 0 {
		t.Errorf("%+v", audit.Faults)
	}
	if m, _ := b.latest(t); m.ID != saved[3].ID {
		t.Errorf("%s is served", m.ID)
	}
}
