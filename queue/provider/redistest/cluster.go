package redistest

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// slots of a Redis Cluster.
const slots = 16384

// Cluster is a Redis Cluster without replicas.
type Cluster struct {
	Nodes []*Server
	URL   string
}

// StartCluster runs so many nodes with equal shares of the slots.
func StartCluster(t testing.TB, nodes int) *Cluster {
	t.Helper()
	c := &Cluster{}
	var addrs []string
	for range nodes {
		// The bus has a port of its own here: port + 10000 may be none.
		s := &Server{t: t, Dir: t.TempDir()}
		s.launch(func() []string {
			s.Addr = freeAddr(t)
			return []string{
				"--bind", "127.0.0.1", "--port", port(s.Addr), "--cluster-enabled", "yes",
				"--cluster-port", port(freeAddr(t)), "--cluster-node-timeout", "5000",
			}
		})
		c.Nodes = append(c.Nodes, s)
		addrs = append(addrs, s.Addr)
	}
	c.URL = "redis-cluster://" + strings.Join(addrs, ",")
	ctx := context.Background()
	for i, s := range c.Nodes {
		client := s.Client()
		defer closing(client)
		from, to := i*slots/nodes, (i+1)*slots/nodes-1
		if err := client.ClusterAddSlotsRange(ctx, from, to).Err(); err != nil {
			t.Fatal(err)
		}
		// Distinct epochs spare the nodes the settling of conflicts.
		if err := client.Do(ctx, "cluster", "set-config-epoch", i+1).Err(); err != nil {
			t.Fatal(err)
		}
	}
	first := c.Nodes[0].Client()
	defer closing(first)
	for _, s := range c.Nodes[1:] {
		bus := s.args[indexOf(s.args, "--cluster-port")+1]
		if err := first.Do(ctx, "cluster", "meet", "127.0.0.1", port(s.Addr), bus).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range c.Nodes {
		client := s.Client()
		defer closing(client)
		until(t, "the node at "+s.Addr+" knows the whole cluster", func(ctx context.Context) bool {
			info := client.ClusterInfo(ctx).Val()
			return strings.Contains(info, "cluster_state:ok") &&
				strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d", nodes)) &&
				strings.Contains(info, fmt.Sprintf("cluster_size:%d", nodes))
		})
	}
	return c
}

func indexOf(list []string, what string) int {
	for i, s := range list {
		if s == what {
			return i
		}
	}
	return -1
}
