package governor

import (
	"testing"
	"testing/fstest"
	"time"
)

func file(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }

func TestCgroup(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		files       fstest.MapFS
		cores       float64
		used, limit float64
		cpu         time.Duration
	}{
		{name: "none", files: fstest.MapFS{}},
		{
			name: "systemd slice, version 2: the outer limit is tighter",
			files: fstest.MapFS{
				"proc/self/cgroup":                                     file("0::/system.slice/nexus.service\n"),
				"sys/fs/cgroup/cgroup.controllers":                     file("cpu memory"),
				"sys/fs/cgroup/system.slice/cpu.max":                   file("150000 100000\n"),
				"sys/fs/cgroup/system.slice/cpu.stat":                  file("usage_usec 5000000\nuser_usec 1\n"),
				"sys/fs/cgroup/system.slice/memory.max":                file("1073741824\n"),
				"sys/fs/cgroup/system.slice/memory.current":            file("629145600\n"),
				"sys/fs/cgroup/system.slice/memory.stat":               file("anon 1\ninactive_file 104857600\n"),
				"sys/fs/cgroup/system.slice/nexus.service/cpu.max":     file("max 100000\n"),
				"sys/fs/cgroup/system.slice/nexus.service/memory.max":  file("max\n"),
				"sys/fs/cgroup/system.slice/nexus.service/memory.stat": file("inactive_file 1\n"),
			},
			cores: 1.5, used: 500, limit: 1024, cpu: 5 * time.Second,
		},
		{
			name: "container, version 2",
			files: fstest.MapFS{
				"proc/self/cgroup":                 file("0::/\n"),
				"sys/fs/cgroup/cgroup.controllers": file("cpu memory"),
				"sys/fs/cgroup/cpu.max":            file("50000 100000\n"),
				"sys/fs/cgroup/cpu.stat":           file("usage_usec 1500000\n"),
				"sys/fs/cgroup/memory.max":         file("536870912\n"),
				"sys/fs/cgroup/memory.current":     file("104857600\n"),
			},
			cores: 0.5, used: 100, limit: 512, cpu: 1500 * time.Millisecond,
		},
		{
			name: "container, version 1: the path is the host's and not visible",
			files: fstest.MapFS{
				"proc/self/cgroup":                           file("4:memory:/docker/abc\n1:cpu,cpuacct:/docker/abc\n"),
				"sys/fs/cgroup/cpu/cpu.cfs_quota_us":         file("200000\n"),
				"sys/fs/cgroup/cpu/cpu.cfs_period_us":        file("100000\n"),
				"sys/fs/cgroup/cpuacct/cpuacct.usage":        file("3000000000\n"),
				"sys/fs/cgroup/memory/memory.usage_in_bytes": file("209715200\n"),
				"sys/fs/cgroup/memory/memory.limit_in_bytes": file("2147483648\n"),
				"sys/fs/cgroup/memory/memory.stat":           file("total_inactive_file 104857600\n"),
			},
			cores: 2, used: 100, limit: 2048, cpu: 3 * time.Second,
		},
		{
			name: "version 1 without limits",
			files: fstest.MapFS{
				"proc/self/cgroup":                           file("4:memory:/\n1:cpu:/\n"),
				"sys/fs/cgroup/cpu/cpu.cfs_quota_us":         file("-1\n"),
				"sys/fs/cgroup/cpu/cpu.cfs_period_us":        file("100000\n"),
				"sys/fs/cgroup/memory/memory.limit_in_bytes": file("9223372036854771712\n"),
				"sys/fs/cgroup/memory/memory.usage_in_bytes": file("1\n"),
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := findCgroup(c.files)
			cores, group := g.quota()
			if cores != c.cores {
				t.Errorf("quota of %g cores, want %g", cores, c.cores)
			}
			if cpu, _ := g.usage(group); cores > 0 && cpu != c.cpu {
				t.Errorf("used %v of CPU time, want %v", cpu, c.cpu)
			}
			if used, limit := g.memoryMB(); used != c.used || limit != c.limit {
				t.Errorf("memory %g of %g MB, want %g of %g", used, limit, c.used, c.limit)
			}
		})
	}
}
