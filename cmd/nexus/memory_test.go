package main

import "testing"

func TestTheHeapIsLimitedByTheLowestLimit(t *testing.T) {
	t.Parallel()
	const mb = 1 << 20
	share := func(limit int) int64 { return int64(float64(limit) * mb * heapShare) }
	for name, c := range map[string]struct {
		setting  int
		group    uint64
		variable string
		want     int64
	}{
		"the setting":             {4096, 0, "", share(4096)},
		"a tighter control group": {4096, 512 * mb, "", share(512)},
		"a wider control group":   {256, 512 * mb, "", share(256)},
		"no limit of the group":   {256, 1<<63 + 5, "", share(256)},
		"Go's own variable":       {4096, 512 * mb, "1GiB", 0},
	} {
		if got := heapLimit(c.setting, c.group, c.variable); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
