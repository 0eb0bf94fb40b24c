package provider

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// externalTimeout is how long a named Redis may take to appear at start.
	externalTimeout = 5 * time.Second
	oldest          = "6.2"
)

func startExternal(ctx context.Context, opt Options) (*Provider, error) {
	t, err := Parse(opt.URL)
	if err != nil {
		return nil, err
	}
	client := t.connect(opt)
	if err := answer(ctx, client, externalTimeout); err != nil {
		_ = client.Close()
		return nil, fmt.Errorf("the Redis at %s does not answer: %w%s", t.label, err, t.advice(ctx, err))
	}
	if err := t.fits(ctx, client); err != nil {
		_ = client.Close()
		return nil, fmt.Errorf("the Redis at %s: %w", t.label, err)
	}
	version, policy := inspect(ctx, client)
	if version != "" && !atLeast(version, oldest) {
		_ = client.Close()
		return nil, fmt.Errorf("the Redis at %s is version %s; %s or newer is needed", t.label, version, oldest)
	}
	r := &Provider{
		describe: "Redis " + version + " at " + t.label,
		connect:  func() redis.UniversalClient { return t.connect(opt) },
		client:   client,
	}
	switch policy {
	case "noeviction":
	case "":
		r.Warnings = append(r.Warnings, fmt.Sprintf(
			"the Redis at %s does not tell its maxmemory-policy; it must be noeviction, or jobs may vanish when memory is short", t.label))
	default:
		r.Warnings = append(r.Warnings, fmt.Sprintf(
			"Redis at %s has maxmemory-policy %s: jobs may vanish when memory is short; set it to noeviction", t.label, policy))
	}
	return r, nil
}

// inspect asks for version and eviction policy; managed services may refuse
// either.
func inspect(ctx context.Context, client redis.UniversalClient) (version, policy string) {
	info, _ := client.Info(ctx).Result()
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "redis_version":
			version = value
		case "maxmemory_policy":
			policy = value
		}
	}
	if policy == "" {
		got, _ := client.ConfigGet(ctx, "maxmemory-policy").Result()
		policy = got["maxmemory-policy"]
	}
	return version, policy
}

// atLeast compares major.minor.
func atLeast(version, least string) bool {
	a, b := numbers(version), numbers(least)
	return a[0] > b[0] || a[0] == b[0] && a[1] >= b[1]
}

func numbers(version string) (n [2]int) {
	for i, part := range strings.SplitN(version, ".", 3) {
		if i < 2 {
			n[i], _ = strconv.Atoi(part)
		}
	}
	return n
}
