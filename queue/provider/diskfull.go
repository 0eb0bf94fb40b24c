package provider

import (
	"context"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// diskPoll is how often a full disk is checked again.
	diskPoll = time.Second
	// minFreeDisk is how much must be free before jobs are written to disk again.
	minFreeDisk = 16 << 20
	// configTimeout bounds one command to the server.
	configTimeout = 2 * time.Second
)

// cannotWrite recognises the line with which a redis-server reports that it cannot write
// its append-only file. From then on it refuses every write.
func cannotWrite(line string) bool { return strings.Contains(line, "writing to the AOF file") }

// runWithoutDisk turns off the append-only file while the disk is full. Otherwise the
// server would refuse every write, and so every prompt. Jobs of that time do not survive
// a crash; lessons never depend on Redis. Once there is room, the file is written anew.
// runWithoutDisk returns then, or when ctx ends.
func (c *child) runWithoutDisk(ctx context.Context) {
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: c.socket})
	defer func() { _ = client.Close() }()
	if err := c.appendOnly(ctx, client, "no"); err != nil {
		c.log.Error("the disk takes no writes, and redis-server cannot go on without it", "dir", c.dir, "error", err)
		return
	}
	c.log.Error("the disk takes no writes: jobs are kept in memory only and would not outlive a crash; make room", "dir", c.dir)
	tick := time.NewTicker(diskPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if free, err := c.free(c.dir); err != nil || free < minFreeDisk {
			continue
		}
		if err := c.appendOnly(ctx, client, "yes"); err != nil {
			c.log.Warn("jobs cannot be written to disk yet", "dir", c.dir, "error", err)
			continue
		}
		c.log.Info("the disk takes writes again: jobs are kept on it", "dir", c.dir)
		return
	}
}

func (c *child) appendOnly(ctx context.Context, client *redis.Client, on string) error {
	ctx, cancel := context.WithTimeout(ctx, configTimeout)
	defer cancel()
	return client.ConfigSet(ctx, "appendonly", on).Err()
}

// freeBytes returns how many bytes an ordinary user can still write to the disk of a
// folder.
func freeBytes(folder string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(folder, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * int64(s.Bsize), nil //nolint:unconvert,gosec // the types differ between systems; a disk has fewer than 2^63 bytes
}
