package dir

import (
	"errors"
	"testing"
)

func TestHoldAndSeize(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	open := func() *Store {
		s, err := Open(folder)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	one, err := open().Hold()
	if err != nil {
		t.Fatal(err)
	}
	two, err := open().Hold()
	if err != nil {
		t.Errorf("a second server beside the first: %v", err)
	}
	for _, release := range []func(){one, two} {
		if _, err := open().Seize(); !errors.Is(err, ErrInUse) {
			t.Errorf("Seize of a folder that is served from = %v, want ErrInUse", err)
		}
		release()
	}
	free, err := open().Seize()
	if err != nil {
		t.Fatalf("Seize of a free folder = %v", err)
	}
	if _, err := open().Hold(); !errors.Is(err, ErrInUse) {
		t.Errorf("Hold during a restore = %v, want ErrInUse", err)
	}
	free()
	if release, err := open().Hold(); err != nil {
		t.Errorf("Hold after the restore = %v", err)
	} else {
		release()
	}
}
