package datastore

import (
	"context"
	"net"
	"slices"
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
// included. close ends the connections that were made for it.
func (s *Store) nodes(ctx context.Context) ([]node, func()) {
	list := s.primaries(ctx)
	switch s.mode {
	case sentinel:
		replicas := s.sentinelReplicas(ctx)
		return append(list, replicas...), func() {
			for _, n := range replicas {
				_ = n.client.Close() // nothing is under way
			}
		}
	case cluster:
		list = append(list, clusterNodes(ctx, s.client, (*redis.ClusterClient).ForEachSlave)...)
	case single:
	}
	return list, func() {}
}

// primaries are the servers that take writes.
func (s *Store) primaries(ctx context.Context) []node {
	switch client := s.client.(type) {
	case *redis.ClusterClient:
		return clusterNodes(ctx, client, (*redis.ClusterClient).ForEachMaster)
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

func clusterNodes(ctx context.Context, client redis.UniversalClient,
	each func(*redis.ClusterClient, context.Context, func(context.Context, *redis.Client) error) error,
) []node {
	all, ok := client.(*redis.ClusterClient)
	if !ok {
		return nil
	}
	var (
		mu   sync.Mutex
		list []node
	)
	// A cluster whose nodes can't be told is told of by the first command.
	_ = each(all, ctx, func(_ context.Context, c *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		list = append(list, node{name: c.Options().Addr, client: c})
		return nil
	})
	slices.SortFunc(list, func(a, b node) int { return strings.Compare(a.name, b.name) })
	return list
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
			o := *s.options.Simple()
			o.Addr = net.JoinHostPort(replica["ip"], replica["port"])
			o.MaxRetries = -1
			list = append(list, node{name: o.Addr, client: redis.NewClient(&o)})
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
