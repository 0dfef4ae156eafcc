package datastore

import (
	"context"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// node is one server.
type node struct {
	// name is its address; empty where there is but one.
	name   string
	client *redis.Client
}

// nodes are all servers that are known behind the address, those that copy others
// included. The second value ends the connections that were made for it.
func (s *Store) nodes(ctx context.Context) ([]node, func()) {
	list := s.primaries(ctx)
	var replicas []node
	switch s.mode {
	case sentinel:
		replicas = s.sentinelReplicas(ctx)
	case cluster:
		replicas = s.clusterReplicas(ctx)
	case single:
	}
	return append(list, replicas...), func() {
		for _, n := range replicas {
			_ = n.client.Close() // nothing is under way
		}
	}
}

// primaries are the servers that take writes.
func (s *Store) primaries(ctx context.Context) []node {
	switch client := s.client.(type) {
	case *redis.ClusterClient:
		return clusterPrimaries(ctx, client)
	case *redis.Client:
		n := node{client: client}
		if s.mode == sentinel {
			n.name = s.options.MasterName + " (the primary)"
		}
		return []node{n}
	default:
		return nil
	}
}

func clusterPrimaries(ctx context.Context, client *redis.ClusterClient) []node {
	var (
		mu   sync.Mutex
		list []node
	)
	// A cluster whose nodes can't be told is told of by the first command.
	_ = client.ForEachMaster(ctx, func(_ context.Context, c *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		list = append(list, node{name: c.Options().Addr, client: c})
		return nil
	})
	slices.SortFunc(list, func(a, b node) int { return strings.Compare(a.name, b.name) })
	return list
}

// clusterReplicas are the servers of a cluster that copy others. The client's own list
// (CLUSTER SLOTS) leaves out those that nothing was written to yet.
func (s *Store) clusterReplicas(ctx context.Context) []node {
	shards, err := s.client.ClusterShards(ctx).Result()
	if err != nil {
		return nil // an older server; opening has told of other errors
	}
	var list []node
	for _, shard := range shards {
		for _, n := range shard.Nodes {
			port := n.Port
			if s.options.TLSConfig != nil && n.TLSPort != 0 {
				port = n.TLSPort
			}
			if n.Role == "replica" || n.Role == "slave" {
				host := n.Endpoint
				if host == "" || host == "?" {
					host = n.IP
				}
				list = append(list, s.single(net.JoinHostPort(host, strconv.FormatInt(port, 10))))
			}
		}
	}
	return list
}

// single is a server by its address, with a connection of its own.
func (s *Store) single(address string) node {
	o := *s.options.Simple()
	o.Addr, o.MaxRetries = address, -1
	return node{name: address, client: redis.NewClient(&o)}
}

// sentinelReplicas are the servers that copy the primary, as the first sentinel that
// answers knows them. None answers: none are known, which opening has told before.
func (s *Store) sentinelReplicas(ctx context.Context) []node {
	for _, address := range s.options.Addrs {
		o := *s.options.Simple()
		o.Addr, o.DB, o.Username, o.Password = address, 0, s.options.SentinelUsername, s.options.SentinelPassword
		client := redis.NewSentinelClient(&o)
		found, err := client.Replicas(ctx, s.options.MasterName).Result()
		_ = client.Close() // nothing is under way
		if err != nil {
			continue
		}
		var list []node
		for _, replica := range found {
			list = append(list, s.single(net.JoinHostPort(replica["ip"], replica["port"])))
		}
		return list
	}
	return nil
}

// nodeOf is the server that takes writes of a key now.
func (s *Store) nodeOf(ctx context.Context, key string) (*redis.Client, error) {
	switch client := s.client.(type) {
	case *redis.ClusterClient:
		return client.MasterForKey(ctx, key) //nolint:wrapcheck // Fault tells of it
	case *redis.Client:
		return client, nil
	default:
		return nil, redis.ErrClosed
	}
}
