package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/synccore/internal/transport"
)

const (
	// lookEvery is how often it is asked how a resync goes.
	lookEvery = 500 * time.Millisecond
	// reachWithin bounds one call of sync-core, which may be starting.
	reachWithin = 30 * time.Second
)

// resyncCalls repeats what a sync-core that stops leaves unanswered; each of these calls
// may be made twice.
const resyncCalls = `{
	"loadBalancingConfig": [{"round_robin": {}}],
	"methodConfig": [{
		"name": [{"service": "tandem.v1.ConnectorService"}],
		"waitForReady": true,
		"retryPolicy": {
			"maxAttempts": 5, "initialBackoff": "0.2s", "maxBackoff": "2s", "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]
		}
	}]
}`

// ErrHeld tells that a resync came to its end, but what it would write waits for a
// person, as the brake demands.
var ErrHeld = errors.New("what the resync would write waits for ReleaseConnector")

// ResyncConfig says what is resynced.
type ResyncConfig struct {
	// Connectors are names; empty: all.
	Connectors []string
	// Core is how sync-core is reached.
	Core transport.Client
	// Timeout bounds all of it.
	Timeout time.Duration
}

// Resync asks a running sync-core for resyncs, writes how they go and returns at the
// end of the last. It fails with what went wrong with any of them, ErrHeld included.
func Resync(ctx context.Context, cfg ResyncConfig, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	conn, err := transport.Dial(cfg.Core, grpc.WithDefaultServiceConfig(resyncCalls), grpc.WithDisableServiceConfig())
	if err != nil {
		return err
	}
	w := waiter{client: tandemv1.NewConnectorServiceClient(conn), out: out, core: cfg.Core.Target}
	return errors.Join(w.resync(ctx, cfg.Connectors), conn.Close())
}

type waiter struct {
	client tandemv1.ConnectorServiceClient
	out    io.Writer
	core   string
}

// resync asks for all before it waits for any.
func (w *waiter) resync(ctx context.Context, names []string) error {
	if len(names) == 0 {
		var err error
		if names, err = w.all(ctx); err != nil {
			return err
		}
	}
	var errs []error
	asked := make(map[string]time.Time, len(names))
	for _, name := range names {
		at, err := w.ask(ctx, name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		asked[name] = at
	}
	for _, name := range names {
		if at, ok := asked[name]; ok {
			errs = append(errs, w.wait(ctx, name, at))
		}
	}
	return errors.Join(errs...)
}

// all are the names of all connectors.
func (w *waiter) all(ctx context.Context) ([]string, error) {
	var names []string
	for token := ""; ; {
		call, cancel := context.WithTimeout(ctx, reachWithin)
		page, err := w.client.ListConnectors(call, &tandemv1.ListConnectorsRequest{PageToken: token})
		cancel()
		if err != nil {
			return nil, fmt.Errorf("listing the connectors: %w", w.plain(err))
		}
		for _, one := range page.GetConnectors() {
			names = append(names, strings.TrimPrefix(one.GetName(), "connectors/"))
		}
		if token = page.GetNextPageToken(); token == "" {
			return names, nil
		}
	}
}

func (w *waiter) ask(ctx context.Context, name string) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	answer, err := w.client.ResyncConnector(ctx, &tandemv1.ResyncConnectorRequest{Name: "connectors/" + name})
	if err != nil {
		return time.Time{}, fmt.Errorf("asking for a resync of connector %s: %w", name, w.plain(err))
	}
	return answer.GetRequestTime().AsTime(), nil
}

// wait returns at the end of the resync that answers a request.
func (w *waiter) wait(ctx context.Context, name string, asked time.Time) error {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for said := ""; ; {
		call, cancel := context.WithTimeout(ctx, reachWithin)
		answer, err := w.client.GetConnector(call, &tandemv1.GetConnectorRequest{Name: "connectors/" + name})
		cancel()
		if err != nil {
			return fmt.Errorf("waiting for the resync of connector %s, which goes on by itself: %w", name, w.plain(err))
		}
		one := answer.GetConnector()
		latest := one.GetResync()
		mine := latest != nil && latest.GetRequestTime() != nil && !latest.GetRequestTime().AsTime().Before(asked)
		if mine && latest.GetEndTime() != nil {
			return w.ended(one)
		}
		if !mine && !one.GetHealthy() {
			return fmt.Errorf("connector %s can't resync: %s", name, one.GetReason()) //nolint:err113 // the sentence is sync-core's
		}
		says := "waiting for its turn"
		if mine {
			says = fmt.Sprintf("%d links and %d tickets compared", latest.GetLinkCount(), latest.GetTicketCount())
		}
		if says != said {
			w.say(name, says)
			said = says
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the resync of connector %s, which goes on by itself: %w", name, ctx.Err())
		case <-ticker.C:
		}
	}
}

// ended tells how a resync ended.
func (w *waiter) ended(one *tandemv1.Connector) error {
	name, r := strings.TrimPrefix(one.GetName(), "connectors/"), one.GetResync()
	if r.GetError() != "" {
		return fmt.Errorf("the resync of connector %s broke off: %s", name, r.GetError()) //nolint:err113 // the sentence is sync-core's
	}
	w.say(name, fmt.Sprintf("%d links and %d tickets compared within %s, %d are looked at closely", r.GetLinkCount(), r.GetTicketCount(),
		r.GetEndTime().AsTime().Sub(r.GetStartTime().AsTime()).Round(time.Millisecond), r.GetDifferingCount()))
	if r.GetHeldCount() > 0 {
		return fmt.Errorf("connector %s: %w: %s", name, ErrHeld, one.GetBrake().GetReason())
	}
	return nil
}

func (w *waiter) say(name, text string) { _, _ = fmt.Fprintf(w.out, "%s: %s\n", name, text) }

// plain is a call's error as a person reads it.
func (w *waiter) plain(err error) error {
	if code := status.Code(err); code == codes.Unavailable || code == codes.DeadlineExceeded {
		return fmt.Errorf("sync-core can't be reached at %s, or it can't reach Redis: %w", w.core, err)
	}
	return errors.New(status.Convert(err).Message()) //nolint:err113 // the sentence is sync-core's
}
