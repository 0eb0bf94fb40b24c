package trainer

import (
	"fmt"
	"testing"

	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/storage/dir"
)

// A save after 100 new lessons writes a small part of what the first one did,
// whatever is known already: parts that did not change are shared.
func TestASaveWritesWhatIsNew(t *testing.T) {
	t.Parallel()
	known := 50_000
	if testing.Short() {
		known = 20_000
	}
	m, err := model.New(model.Config{Architecture: model.Flowing, Size: model.Small, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	teach := func(from, to int) {
		for ; from < to; from += bunch {
			var lessons []model.Lesson
			for i := from; i < min(from+bunch, to); i++ {
				prompt := fmt.Sprintf("where is item %d of shelf %d kept", i, i%977)
				lessons = append(lessons, model.Lesson{ID: model.LessonID("t", prompt), Topic: "t", Prompt: prompt, Response: fmt.Sprintf("room %d", i/4)})
			}
			m, _ = m.Memorise(lessons)
		}
	}
	store, err := dir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	checkpoints := storage.NewCheckpoints(store, storage.Options{})
	save := func(parent string) storage.Manifest {
		var parts []storage.Part
		for _, p := range m.Parts() {
			parts = append(parts, storage.Part(p))
		}
		saved, err := checkpoints.Save(t.Context(), parent, parts, storage.Meta{Lessons: m.Info().Lessons})
		if err != nil {
			t.Fatal(err)
		}
		return saved
	}
	size := func() (n int64) {
		all, err := store.List(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range all {
			n += i.Size
		}
		return n
	}
	teach(0, known)
	first := save("")
	before := size()
	teach(known, known+100)
	save(first.ID)
	wrote := size() - before
	share := float64(wrote) / float64(before)
	t.Logf("%d lessons known: first save %d bytes, save after 100 more %d bytes, %.2f %%", known, before, wrote, 100*share)
	if share > 0.1 {
		t.Errorf("%.1f %% of the first save's bytes are written, want at most 10", 100*share)
	}
}
