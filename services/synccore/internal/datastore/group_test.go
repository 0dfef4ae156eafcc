package datastore_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
)

func TestX(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 0, 15*time.Second)
	s := c.Open(t)
	for range 5 {
		b := time.Now()
		err := s.Client().XRead(t.Context(), &redis.XReadArgs{Streams: []string{s.Key("inbox", "live"), s.Key("inbox", "background"), "0", "0"}, Count: 1, Block: 700 * time.Millisecond}).Err()
		t.Log(err, time.Since(b))
	}
	for _, srv := range c.Servers {
		t.Log(srv.Address(), srv.Info(t, "commandstats")["cmdstat_xread"])
	}
}
