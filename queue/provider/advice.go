package provider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// mismatches are what a server or a connection says when the URL is not of its
// kind, and what would be right.
var mismatches = []struct{ says, advice string }{
	{"NOAUTH", "it wants a password: write redis://:password@host, or redis://user:password@host"},
	{"WRONGPASS", "the user or the password is wrong; special characters must be percent-encoded (@ is %40)"},
	{"without any password configured", "it has no password: leave it out of the URL; if only the Sentinels have none, add ?sentinel_password="},
	{"first record does not look like a TLS handshake", "it does not speak TLS: write redis:// instead of rediss://"},
	{"unknown authority", "its certificate is of an authority that this system does not know: add ?ca=FILE with the certificate of that authority"},
	{"certificate is valid for", "its certificate is for another name: add ?server_name=NAME, with the name in the certificate"},
	{"cannot validate certificate for", "its certificate does not name this address: write the host's name, or add ?server_name=NAME"},
	{"certificate required", "it wants a certificate of ours: add ?cert=FILE&key=FILE"},
	{"handshake failure", "TLS failed; if it wants a certificate of ours, add ?cert=FILE&key=FILE"},
	{"cluster support disabled", "it is no Redis Cluster: write redis://host:6379/0"},
	{"unknown command 'sentinel'", "it is a Redis and no Sentinel: write redis://host:6379/0, or name the Sentinels (usually port 26379)"},
	{"DB index is out of range", "it has no such database: the number after the host is too high"},
	{"SELECT is not allowed in cluster mode", "it is part of a Redis Cluster: write redis-cluster://host:6379"},
}

// definite says that no waiting will help: the server answers, and refuses.
func definite(err error) bool {
	for _, m := range mismatches {
		if strings.Contains(err.Error(), m.says) {
			return true
		}
	}
	return false
}

// advice is what to do about a Redis that does not answer, if that is known.
func (t Target) advice(ctx context.Context, err error) string {
	text := err.Error()
	if t.opt.MasterName != "" {
		// go-redis tells only that no Sentinel helped.
		more, advice := t.askSentinels(ctx)
		if advice != "" {
			return "; " + advice
		}
		text += more
	}
	for _, m := range mismatches {
		if strings.Contains(text, m.says) {
			return "; " + m.advice
		}
	}
	var network net.Error
	if t.opt.TLSConfig != nil && errors.As(err, &network) && network.Timeout() {
		return "; it does not answer in TLS: if it does not speak it, write redis:// instead of rediss://"
	}
	cut := errors.Is(err, io.EOF) || strings.Contains(text, "connection reset") || strings.Contains(text, "broken pipe")
	switch {
	case cut && t.opt.TLSConfig == nil:
		return "; it ends the connection: if it speaks TLS, write rediss:// instead of redis://"
	case cut && len(t.opt.TLSConfig.Certificates) == 0:
		// Its alert may be lost where we write after it closed.
		return "; it ends the connection: if it wants a certificate of ours, add ?cert=FILE&key=FILE"
	}
	return ""
}

// askSentinels finds out what the Sentinels know.
func (t Target) askSentinels(ctx context.Context) (failures, advice string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), externalTimeout/5)
	defer cancel()
	for _, addr := range t.opt.Addrs {
		c := redis.NewSentinelClient(&redis.Options{
			Addr: addr, Username: t.opt.SentinelUsername, Password: t.opt.SentinelPassword, TLSConfig: t.opt.TLSConfig,
			MaxRetries: -1, DisableIdentity: true, Protocol: 2, ContextTimeoutEnabled: true,
		})
		masters, err := c.Masters(ctx).Result()
		_ = c.Close()
		if err != nil {
			failures += " / " + addr + ": " + err.Error()
			continue
		}
		var names []string
		for _, m := range masters {
			if name := sentinelName(m); name == t.opt.MasterName {
				return failures, "the Sentinel at " + addr + " knows " + name + ", but its master does not answer; does its address lead there from this host?"
			} else if name != "" {
				names = append(names, name)
			}
		}
		return failures, fmt.Sprintf("the Sentinel at %s knows no master %q; it knows %s", addr, t.opt.MasterName, orNone(names))
	}
	return failures, ""
}

// sentinelName is the name in one entry of SENTINEL MASTERS.
func sentinelName(entry any) string {
	switch m := entry.(type) {
	case map[any]any:
		name, _ := m["name"].(string)
		return name
	case []any:
		for i := 0; i+1 < len(m); i += 2 {
			if m[i] == "name" {
				name, _ := m[i+1].(string)
				return name
			}
		}
	}
	return ""
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// fits refuses a server that answers but is of another kind than the URL says.
// A server that does not tell what it is passes.
func (t Target) fits(ctx context.Context, client redis.UniversalClient) error {
	if t.opt.IsClusterMode || t.opt.MasterName != "" {
		return nil
	}
	info, err := client.Info(ctx, "server").Result()
	if err != nil {
		return nil //nolint:nilerr // managed services may refuse to tell
	}
	switch {
	case strings.Contains(info, "redis_mode:sentinel"):
		return fmt.Errorf("it is a Sentinel and not a Redis; write redis-sentinel://%s/master-name", t.opt.Addrs[0])
	case strings.Contains(info, "redis_mode:cluster") && clusterSize(ctx, client) > 1:
		return fmt.Errorf("it is one node of a Redis Cluster; write redis-cluster://%s", t.opt.Addrs[0])
	}
	return nil
}

// clusterSize is how many nodes share the slots, 0 if that is not told.
func clusterSize(ctx context.Context, client redis.UniversalClient) int {
	info, _ := client.ClusterInfo(ctx).Result()
	for line := range strings.Lines(info) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "cluster_size:"); ok {
			size, _ := strconv.Atoi(n)
			return size
		}
	}
	return 0
}
