package dir_test

import (
	"context"
	"fmt"
	"os"

	"github.com/nexus-continuum/nexus/storage"
	"github.com/nexus-continuum/nexus/storage/dir"
)

// A dataset is acknowledged once Commit returns: from then on it survives a
// crash, and is read back with its digest verified.
func ExampleOpen() {
	folder, err := os.MkdirTemp("", "nexus-example-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(folder)
	store, err := dir.Open(folder)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	datasets := storage.NewDatasets(store, storage.DatasetOptions{})
	w, err := datasets.Create(ctx, storage.DatasetMeta{Op: storage.OpTeach, Topic: "support"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer w.Abort()
	response := "Open Settings, then Security."
	if err := w.Add(storage.Lesson{Prompt: "How do I reset my password?", Response: &response}); err != nil {
		fmt.Println(err)
		return
	}
	ds, err := w.Commit(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, lessons, err := datasets.Lessons(ctx, ds.ID)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(lessons), *lessons[0].Response)
	// Output:
	// 1 Open Settings, then Security.
}
