package datastore_test

import (
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
)

func TestX(t *testing.T) {
	t.Parallel()
	b := time.Now()
	c := redistest.StartCluster(t, 1, 3*time.Second)
	t.Log(time.Since(b))
	s := c.Open(t)
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Log(s.Warnings())
	a, r := c.Of(t, s, "inbox")
	t.Log(a.Address(), r.Address())
	b = time.Now()
	p := redistest.StartPair(t, 3*time.Second)
	t.Log(time.Since(b))
	s = p.Open(t)
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Log(s.Warnings())
}
