package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// settling is how long the measure of a Redis at rest waits for what ends by
// itself: wakes, heartbeats, the last lines of the log.
const settling = 5 * time.Second

// retention measures what prompts leave in Redis.
func retention(ctx context.Context, o options) (rows []row, err error) {
	dir, err := os.MkdirTemp("", "nexus-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	process, client, url, err := startRedis(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = process.Wait() }()
	defer func() { _ = process.Process.Kill() }()
	defer func() { _ = client.Close() }()
	s, _, err := startServer(ctx, o.binary, dir, "NEXUS_REDIS_URL="+url)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	lessons := makeLessons(o.lessons)
	if err := s.teach(ctx, lessons[:200]); err != nil {
		return nil, err
	}
	before, err := held(ctx, client)
	if err != nil {
		return nil, err
	}
	asked, began := 0, time.Now()
	for asked < o.interacts && ctx.Err() == nil {
		c := s.press(ctx, lessons, o.callers, o.load)
		if n := c.failed.Load(); n > 0 || len(c.accepted) == 0 {
			return nil, fmt.Errorf("%d asks of %d were answered neither 200 nor 503", n, len(c.accepted))
		}
		asked += len(c.accepted)
	}
	took := time.Since(began)
	after, err := held(ctx, client)
	if err != nil {
		return nil, err
	}
	mb := func(n int64) string { return fmt.Sprintf("%.2f MB", float64(n)/(1<<20)) }
	return []row{
		{"interacts, and in how long", fmt.Sprintf("%d, %s", asked, took.Round(time.Second)), ""},
		{"Redis before / after", mb(before) + " / " + mb(after), ""},
		{"left in Redis", mb(after - before), "≤ 5 MB"},
	}, nil
}

// held is the memory that Redis uses at rest.
func held(ctx context.Context, client *redis.Client) (int64, error) {
	time.Sleep(settling)
	info, err := client.InfoMap(ctx, "memory").Result()
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(info["Memory"]["used_memory"], 10, 64)
}
