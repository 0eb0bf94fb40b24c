package redistest

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Master is the name that the Sentinel knows the servers by.
const Master = "mymaster"

// Sentinel is a master with a replica, and a Sentinel that watches both.
type Sentinel struct {
	Servers [2]*Server
	Watch   *Server
	URL     string

	t testing.TB
}

// StartSentinel runs the three processes and waits until a failover would work.
func StartSentinel(t testing.TB) *Sentinel {
	t.Helper()
	s := &Sentinel{t: t}
	s.Servers[0] = Start(t, "--repl-diskless-sync-delay", "0")
	s.Servers[1] = Start(t, "--repl-diskless-sync-delay", "0", "--replicaof", "127.0.0.1 "+port(s.Servers[0].Addr))
	replica := s.Servers[1].Client()
	defer closing(replica)
	until(t, "the replica follows its master", func(ctx context.Context) bool {
		return strings.Contains(replica.Info(ctx, "replication").Val(), "master_link_status:up")
	})
	s.Watch = &Server{t: t, Dir: t.TempDir()}
	s.Watch.launch(func() []string {
		s.Watch.Addr = freeAddr(t)
		conf := write(t, s.Watch.Dir, "sentinel.conf", fmt.Appendf(nil,
			"port %s\nbind 127.0.0.1\nsentinel monitor %s 127.0.0.1 %s 1\nsentinel down-after-milliseconds %[2]s 1000\nsentinel failover-timeout %[2]s 5000\n",
			port(s.Watch.Addr), Master, port(s.Servers[0].Addr)))
		return []string{conf, "--sentinel"}
	})
	s.URL = "redis-sentinel://" + s.Watch.Addr + "/" + Master
	watch := s.sentinel()
	defer closing(watch)
	until(t, "the Sentinel knows the replica", func(ctx context.Context) bool {
		replicas := watch.Replicas(ctx, Master).Val()
		return len(replicas) == 1 && replicas[0]["master-link-status"] == "ok"
	})
	return s
}

func (s *Sentinel) sentinel() *redis.SentinelClient {
	return redis.NewSentinelClient(&redis.Options{Addr: s.Watch.Addr, Protocol: 2, DisableIdentity: true})
}

// Leader is the server that is the master now.
func (s *Sentinel) Leader(ctx context.Context) *Server {
	watch := s.sentinel()
	defer closing(watch)
	at := watch.GetMasterAddrByName(ctx, Master).Val()
	for _, server := range s.Servers {
		if len(at) == 2 && server.Addr == net.JoinHostPort(at[0], at[1]) {
			return server
		}
	}
	return nil
}

// FailOver kills the master and waits until the Sentinel has made the other
// server the master.
func (s *Sentinel) FailOver() {
	s.t.Helper()
	before := s.Leader(context.Background())
	if before == nil {
		s.t.Fatal("the Sentinel knows no master")
	}
	before.Kill()
	until(s.t, "the replica is the master", func(ctx context.Context) bool {
		now := s.Leader(ctx)
		return now != nil && now != before
	})
}
