package storage_test

import (
	"testing"

	"github.com/nexus-continuum/nexus/storage"
)

// forget stores the unlearning of a topic.
func forget(t testing.TB, b *bundle, topic string) string {
	t.Helper()
	ds, err := create(t, b, storage.DatasetMeta{Op: storage.OpForget, Topic: topic}).Commit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return ds.ID
}

// A restore keeps what was unlearned after the backup, also when it is begun
// again after it was cut off, and takes nothing over from another deployment.
func TestARestoreKeepsWhatWasUnlearnedSince(t *testing.T) {
	t.Parallel()
	place, elsewhere, from := setup(t), setup(t), scratch(t)
	taught := teach(t, place, lesson("a", "b")).ID
	archive, _ := backup(t, place.store)
	if _, _, err := unpack(t, archive, from); err != nil {
		t.Fatal(err)
	}
	forgot := forget(t, place, "hr")
	teach(t, elsewhere, lesson("c", "d"))
	forget(t, elsewhere, "hr")

	kept, err := storage.UnlearnedSince(t.Context(), from, elsewhere.store)
	if err != nil || kept.Len() != 0 {
		t.Errorf("from another deployment %d operations are kept, %v", kept.Len(), err)
	}
	restored := func(when string) {
		t.Helper()
		kept, err := storage.UnlearnedSince(t.Context(), from, place.store)
		if err != nil || kept.Len() != 1 {
			t.Fatalf("%s: %d operations are kept, %v; want 1", when, kept.Len(), err)
		}
		defer kept.Close()
		if _, err := storage.Restore(t.Context(), from, place.store, storage.RestoreOptions{Force: true, Unlearned: kept, Now: place.clock.Now}); err != nil {
			t.Fatal(err)
		}
		ids, err := place.datasets.IDs(t.Context())
		if err != nil || len(ids) != 2 || ids[0] != taught || ids[1] != forgot {
			t.Errorf("%s: there are %v, %v", when, ids, err)
		}
	}
	restored("after the restore")
	// Cut off after the first write: the unlearning alone is there.
	if err := place.store.Delete(t.Context(), "datasets/"+taught); err != nil {
		t.Fatal(err)
	}
	place.clock.pass(1e9)
	restored("after it was begun again")
}
