package governor

import (
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
	"time"
)

// cgroup reads the limits and the use of the control group that the process
// lives in, version 2 or 1, in a container or under systemd. Limits of outer
// groups bind too, so the tightest one up to the root counts.
type cgroup struct {
	root fs.FS // the file system's root, "/" without its slash
	// groups are the folders of the group and its parents, innermost first; in
	// version 1 each controller has its own.
	cpu, memory []string
	v2          bool
}

// findCgroup reads where the process is. A machine without control groups gives
// one that knows no limit.
func findCgroup(root fs.FS) *cgroup {
	c := &cgroup{root: root}
	b, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return c
	}
	_, err = fs.Stat(root, "sys/fs/cgroup/cgroup.controllers")
	c.v2 = err == nil
	for line := range strings.Lines(string(b)) {
		// hierarchy:controllers:path
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		switch {
		case c.v2 && f[1] == "":
			c.cpu = outward("sys/fs/cgroup", f[2])
			c.memory = c.cpu
		case !c.v2:
			for name := range strings.SplitSeq(f[1], ",") {
				switch name {
				case "cpu":
					c.cpu = outward("sys/fs/cgroup/cpu", f[2])
				case "memory":
					c.memory = outward("sys/fs/cgroup/memory", f[2])
				}
			}
		}
	}
	return c
}

// outward lists base/p and its parents up to base.
func outward(base, p string) []string {
	p = path.Clean("/" + p)
	var out []string
	for {
		out = append(out, path.Join(base, p))
		if p == "/" {
			return out
		}
		p = path.Dir(p)
	}
}

// quota is the tightest CPU quota, in cores, and the group that it is set on;
// zero if there is none.
func (c *cgroup) quota() (cores float64, group string) {
	for _, dir := range c.cpu {
		var quota, period float64
		if c.v2 {
			f := strings.Fields(c.text(dir, "cpu.max"))
			if len(f) != 2 {
				continue
			}
			quota, period = number(f[0]), number(f[1])
		} else {
			quota, period = number(c.text(dir, "cpu.cfs_quota_us")), number(c.text(dir, "cpu.cfs_period_us"))
		}
		if quota <= 0 || period <= 0 || cores > 0 && quota/period >= cores {
			continue
		}
		cores, group = quota/period, dir
	}
	return cores, group
}

// usage is the CPU time that a group has used; false if nobody counts it.
func (c *cgroup) usage(group string) (time.Duration, bool) {
	if c.v2 {
		for line := range strings.Lines(c.text(group, "cpu.stat")) {
			if v, ok := strings.CutPrefix(line, "usage_usec "); ok {
				return time.Duration(number(v)) * time.Microsecond, true
			}
		}
		return 0, false
	}
	text := c.text(strings.Replace(group, "cgroup/cpu", "cgroup/cpuacct", 1), "cpuacct.usage")
	return time.Duration(number(text)), text != ""
}

// memoryMB returns the tightest limit and what is used of it, without the page
// cache that the kernel would drop first; zeros if there is no limit.
func (c *cgroup) memoryMB() (used, limit float64) {
	for _, dir := range c.memory {
		limitFile, usedFile, cache := "memory.max", "memory.current", "inactive_file "
		if !c.v2 {
			limitFile, usedFile, cache = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "
		}
		l := number(c.text(dir, limitFile))
		// Version 1 writes "no limit" as a number near 2^63.
		if l <= 0 || l >= 1<<60 || limit > 0 && l/(1<<20) >= limit {
			continue
		}
		u := number(c.text(dir, usedFile))
		for line := range strings.Lines(c.text(dir, "memory.stat")) {
			if v, ok := strings.CutPrefix(line, cache); ok {
				u = max(0, u-number(v))
			}
		}
		used, limit = u/(1<<20), l/(1<<20)
	}
	return used, limit
}

func (c *cgroup) text(dir, file string) string {
	b, err := fs.ReadFile(c.root, path.Join(dir, file))
	if err != nil {
		return ""
	}
	return string(b)
}

// number reads a figure; "max", "-1" and what is no figure are zero: no limit.
func number(s string) float64 {
	v, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || v < 0 || math.IsInf(v, 0) || math.IsNaN(v) {
		return 0
	}
	return v
}
