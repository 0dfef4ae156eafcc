//go:build e2e

package e2e_test

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// cable is a connection between two parts of the system that can be cut, slowed down and
// reset.
type cable struct {
	name  string
	proxy *toxiproxy.Proxy

	mu  sync.Mutex
	cut bool
}

// cables makes them; they share what toxiproxy wants to report to.
type cables struct{ server *toxiproxy.ApiServer }

func newCables() *cables {
	// Toxics tell of each interruption to a logger of their own.
	zerolog.SetGlobalLevel(zerolog.Disabled)
	return &cables{toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())}
}

// lay lays a cable from an address, which may leave the port open, to another one.
func (c *cables) lay(t *testing.T, name, from, to string) *cable {
	t.Helper()
	one := &cable{name: name, proxy: toxiproxy.NewProxy(c.server, name, from, to)}
	if err := one.proxy.Start(); err != nil {
		t.Fatalf("laying the cable %s: %v", name, err)
	}
	t.Cleanup(one.proxy.Stop)
	return one
}

// address is where the cable begins.
func (c *cable) address() string { return c.proxy.Listen }

// port is that of the address.
func (c *cable) port() string {
	_, port, _ := net.SplitHostPort(c.address())
	return port
}

// ill lets the cable have a toxic, until well is called.
func (c *cable) ill(toxic string, downstream bool, attributes map[string]int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if toxic == cutOff {
		c.proxy.Stop()
		c.cut = true
		return nil
	}
	stream := "upstream"
	if downstream {
		stream = "downstream"
	}
	text, err := json.Marshal(map[string]any{"name": "one", "type": toxic, "stream": stream, "toxicity": 1, "attributes": attributes})
	if err != nil {
		return err
	}
	if _, err := c.proxy.Toxics.AddToxicJson(strings.NewReader(string(text))); err != nil {
		return fmt.Errorf("making %s ill: %w", c.name, err)
	}
	return nil
}

// well takes the toxic away.
func (c *cable) well(t *testing.T) error {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		c.cut = false
		return c.proxy.Start()
	}
	c.proxy.Toxics.ResetToxics(t.Context())
	return nil
}

// cutOff is the toxic of a cable that nobody gets through, and that resets whoever was.
const cutOff = "cut"
