package storage_test

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/storage/dir"
)

var (
	golden       = flag.Bool("write-golden", false, "write testdata/v1 anew, before its first release only")
	goldenNoted  = flag.Bool("write-golden-registry", false, "write testdata/v3 anew, before its first release only")
	goldenJudged = flag.Bool("write-golden-judged", false, "write testdata/v2 anew, before its first release only")
)

// goldenParts are the parts of the golden checkpoint: one small, one that is
// compressed, one that is not.
func goldenParts() []storage.Part {
	noise := make([]byte, 1000)
	x := uint32(1)
	for i := range noise {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	return []storage.Part{part("weights", "small"), part("lessons/0000", strings.Repeat("a lesson\n", 200)), {Name: "vectors/0000", Data: noise}}
}

func goldenLessons(n int) []storage.Lesson {
	lessons := make([]storage.Lesson, 0, n)
	for i := range n {
		lessons = append(lessons, lesson(fmt.Sprintf("prompt %d <ü>", i), strings.Repeat("answer ", i%3)))
	}
	return lessons
}

// TestGolden reads what the first version of the format wrote. The files are
// never written anew once released: a newer format gets a folder beside them.
func TestGolden(t *testing.T) {
	t.Parallel()
	from := filepath.Join("testdata", "v1")
	if *golden {
		writeGolden(t, from)
	}
	b := setup(t)
	if err := os.CopyFS(b.folder, os.DirFS(from)); err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
	ids, err := b.datasets.IDs(t.Context())
	if err != nil || len(ids) != 2 {
		t.Fatalf("datasets %q, %v; want two", ids, err)
	}
	for i, want := range [][]storage.Lesson{goldenLessons(2), goldenLessons(900)} {
		_, got, err := b.datasets.Lessons(t.Context(), ids[i])
		if err != nil || len(got) != len(want) || got[1].Prompt != want[1].Prompt || *got[1].Response != *want[1].Response || got[0].Response != nil {
			t.Errorf("dataset %s: %d lessons, %v; want %d as they were written", ids[i], len(got), err, len(want))
		}
	}
	m, parts := b.latest(t)
	if !sameParts(parts, goldenParts()) {
		t.Error("the parts are not those that were written")
	}
	if m.Meta.Architecture != "flowing" || m.Meta.Lessons != 902 || m.Meta.Fence != 4 || !m.CreatedAt.Equal(goldenTime()) || m.Parent == "" {
		t.Errorf("manifest %+v", m)
	}
	lineage, err := b.checkpoints.Lineage(t.Context(), m.ID)
	if err != nil || fmt.Sprint([]string(lineage)) != fmt.Sprint(ids) {
		t.Errorf("lineage %q, %v; want %q", lineage, err, ids)
	}
	head, err := b.checkpoints.Head(t.Context())
	if err != nil || head.Checkpoint != m.ID || head.Seq != 2 || head.Fence != 4 {
		t.Errorf("head %+v, %v", head, err)
	}
	control, err := b.control.Read(t.Context())
	if err != nil || !control.Paused || control.Topic != "support" || control.TargetError != 0.02 || control.Version != 1 {
		t.Errorf("control %+v, %v", control, err)
	}
	if lines := b.log.errors(); len(lines) > 0 {
		t.Errorf("the log says %q", lines)
	}
}

// goldenJudgement is the lesson of the golden dataset of format 2.
func goldenJudgement() storage.Lesson {
	l, right := lesson("When do you open <ü>?", "At ten."), "At nine."
	l.Topic = "support"
	l.Judgement = &storage.Judgement{
		Interaction: "01a20851-f13f-7dd4-8925-615fdfd4b613", Right: &right,
		Confidence: 0.75, Reason: "low_confidence", Lessons: []string{"a", "b"},
	}
	return l
}

// TestGoldenJudgement reads a judgement as the second version of the format
// wrote it.
func TestGoldenJudgement(t *testing.T) {
	t.Parallel()
	from := filepath.Join("testdata", "v2")
	if *goldenJudged {
		writeGoldenJudgement(t, from)
	}
	b := setup(t)
	if err := os.CopyFS(b.folder, os.DirFS(from)); err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
	ids, err := b.datasets.IDs(t.Context())
	if err != nil || len(ids) != 1 {
		t.Fatalf("datasets %q, %v; want one", ids, err)
	}
	ds, got, err := b.datasets.Lessons(t.Context(), ids[0])
	if err != nil || ds.Op != storage.OpJudge || len(got) != 1 || !reflect.DeepEqual(got[0], goldenJudgement()) {
		t.Errorf("%s dataset of %+v, %v; want a judgement as it was written", ds.Op, got, err)
	}
}

func writeGoldenJudgement(t *testing.T, folder string) {
	t.Helper()
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	store, err := dir.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	w, err := storage.NewDatasets(store, storage.DatasetOptions{Now: goldenTime}).Create(t.Context(), storage.DatasetMeta{Op: storage.OpJudge, Topic: "support"})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if err := w.Add(goldenJudgement()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, hidden := range []string{".tmp", ".lock", "corrupted"} {
		if err := os.RemoveAll(filepath.Join(folder, hidden)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestGoldenRegistry reads the registry of checkpoints as its first version was
// written.
func TestGoldenRegistry(t *testing.T) {
	t.Parallel()
	from := filepath.Join("testdata", "v3")
	if *goldenNoted {
		writeGoldenRegistry(t, from)
	}
	b := setup(t)
	if err := os.CopyFS(b.folder, os.DirFS(from)); err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
	m, _ := b.latest(t)
	r, err := b.checkpoints.Registry(t.Context())
	if err != nil || r.Version != 1 || r.Challenger != m.ID || !r.Verified[m.ID].Equal(goldenTime()) {
		t.Errorf("registry %+v, %v; want %s as challenger", r, err, m.ID)
	}
}

func writeGoldenRegistry(t *testing.T, folder string) {
	t.Helper()
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	store, err := dir.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	c := storage.NewCheckpoints(store, storage.Options{Now: goldenTime})
	m, err := c.Save(t.Context(), "", []storage.Part{part("weights", "small")}, storage.Meta{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetChallenger(t.Context(), m.ID); err != nil {
		t.Fatal(err)
	}
	for _, hidden := range []string{".tmp", ".lock", "corrupted"} {
		if err := os.RemoveAll(filepath.Join(folder, hidden)); err != nil {
			t.Fatal(err)
		}
	}
}

func goldenTime() time.Time { return time.Date(2026, 1, 10, 12, 0, 0, 0, time.UTC) }

func writeGolden(t *testing.T, folder string) {
	t.Helper()
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	store, err := dir.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{
		store: store, folder: folder, control: storage.NewControl(store, storage.ControlOptions{Now: goldenTime}),
		datasets:    storage.NewDatasets(store, storage.DatasetOptions{Now: goldenTime}),
		checkpoints: storage.NewCheckpoints(store, storage.Options{Now: goldenTime}),
	}
	first := teach(t, b, goldenLessons(2)...)
	second := teach(t, b, goldenLessons(900)...)
	m := b.save(t, "", storage.Meta{Architecture: "flowing", Size: "small", Fence: 3, Learned: []string{first.ID}}, part("weights", "smaller"))
	b.save(t, m.ID, storage.Meta{Architecture: "flowing", Size: "small", Lessons: 902, Fence: 4, Learned: []string{second.ID}}, goldenParts()...)
	if _, err := b.control.Update(t.Context(), func(c *storage.Control) { c.Paused, c.Topic, c.TargetError = true, "support", 0.02 }); err != nil {
		t.Fatal(err)
	}
	for _, hidden := range []string{".tmp", ".lock", "corrupted"} {
		if err := os.RemoveAll(filepath.Join(folder, hidden)); err != nil {
			t.Fatal(err)
		}
	}
}
