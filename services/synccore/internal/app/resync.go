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
	// firstWithin bounds the first one, before which nothing is known of the address.
	firstWithin = 10 * time.Second
)

// resyncCalls repeats what a sync-core that stops leaves unanswered; each of these calls
// may be made twice.
const resyncCalls = `{
	"loadBalancingConfig": [{"round_robin": {}}],
	"methodConfig": [{
		"name": [{"service": "tandem.v1.ConnectorService"}, {"service": "tandem.v1.ResyncService"}],
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
	w, closing, err := callCore(ctx, cfg.Core, out)
	if err != nil {
		return err
	}
	return errors.Join(w.resync(ctx, cfg.Connectors), closing())
}

// caller is a command that has a running sync-core do something.
type caller struct {
	connectors tandemv1.ConnectorServiceClient
	resyncs    tandemv1.ResyncServiceClient
	out        io.Writer
	core       transport.Client
}

func callCore(ctx context.Context, core transport.Client, out io.Writer) (*caller, func() error, error) {
	conn, err := transport.Dial(core, grpc.WithDefaultServiceConfig(resyncCalls), grpc.WithDisableServiceConfig())
	if err != nil {
		return nil, nil, err
	}
	w := &caller{
		connectors: tandemv1.NewConnectorServiceClient(conn), resyncs: tandemv1.NewResyncServiceClient(conn), out: out, core: core,
	}
	if err := w.reach(ctx); err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	return w, conn.Close, nil
}

// resync asks for all before it waits for any.
func (w *caller) resync(ctx context.Context, names []string) error {
	if len(names) == 0 {
		var err error
		if names, err = w.all(ctx); err != nil {
			return err
		}
	}
	var errs []error
	asked := make(map[string]string, len(names))
	for _, name := range names {
		id, err := w.ask(ctx, name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		asked[name] = id
	}
	for _, name := range names {
		if id, ok := asked[name]; ok {
			errs = append(errs, w.wait(ctx, name, id))
		}
	}
	return errors.Join(errs...)
}

// all are the names of all connectors.
func (w *caller) all(ctx context.Context) ([]string, error) {
	var names []string
	for token := ""; ; {
		call, cancel := context.WithTimeout(ctx, reachWithin)
		page, err := w.connectors.ListConnectors(call, &tandemv1.ListConnectorsRequest{PageToken: token})
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

// ask gives the resource name of the resync that waits then.
func (w *caller) ask(ctx context.Context, name string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	answer, err := w.resyncs.StartResync(ctx, &tandemv1.StartResyncRequest{Parent: "connectors/" + name})
	if err != nil {
		return "", fmt.Errorf("asking for a resync of connector %s: %w", name, w.plain(err))
	}
	return answer.GetResync().GetName(), nil
}

// connector is how a connector fares.
func (w *caller) connector(ctx context.Context, name string) (*tandemv1.Connector, error) {
	ctx, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	answer, err := w.connectors.GetConnector(ctx, &tandemv1.GetConnectorRequest{Name: "connectors/" + name})
	if err != nil {
		return nil, fmt.Errorf("waiting for the resync of connector %s, which goes on by itself: %w", name, w.plain(err))
	}
	return answer.GetConnector(), nil
}

// wait returns at the end of a resync.
func (w *caller) wait(ctx context.Context, name, id string) error {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for said := ""; ; {
		call, cancel := context.WithTimeout(ctx, reachWithin)
		answer, err := w.resyncs.GetResync(call, &tandemv1.GetResyncRequest{Name: id})
		cancel()
		if err != nil {
			return fmt.Errorf("waiting for the resync of connector %s, which goes on by itself: %w", name, w.plain(err))
		}
		var says string
		switch r := answer.GetResync(); r.GetState() {
		case tandemv1.Resync_STATE_WAITING:
			one, err := w.connector(ctx, name)
			if err != nil {
				return err
			}
			if !one.GetHealthy() {
				return fmt.Errorf("connector %s can't resync: %s", name, one.GetReason()) //nolint:err113 // the sentence is sync-core's
			}
			says = "waiting for its turn"
		case tandemv1.Resync_STATE_RUNNING:
			says = underWay(r)
		default:
			return w.ended(ctx, name, r)
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

// underWay tells how far a resync is.
func underWay(r *tandemv1.Resync) string {
	says := fmt.Sprintf("%d links and %d tickets compared", r.GetLinkCount(), r.GetTicketCount())
	if r.GetExpectedCount() > 0 {
		says = fmt.Sprintf("%d links and %d tickets of %d in all compared", r.GetLinkCount(), r.GetTicketCount(), r.GetExpectedCount())
	}
	if left := r.GetRemaining(); left != nil {
		says += fmt.Sprintf(", about %s left", left.AsDuration().Round(time.Second))
	}
	return says
}

// ended tells how a resync ended.
func (w *caller) ended(ctx context.Context, name string, r *tandemv1.Resync) error {
	switch {
	case r.GetState() == tandemv1.Resync_STATE_CANCELLED:
		return fmt.Errorf("the resync of connector %s was cancelled", name) //nolint:err113 // nobody tells it apart
	case r.GetState() != tandemv1.Resync_STATE_SUCCEEDED:
		return fmt.Errorf("the resync of connector %s broke off: %s", name, r.GetError()) //nolint:err113 // the sentence is sync-core's
	}
	w.say(name, fmt.Sprintf("%d links and %d tickets compared within %s, %d are looked at closely", r.GetLinkCount(), r.GetTicketCount(),
		r.GetEndTime().AsTime().Sub(r.GetStartTime().AsTime()).Round(time.Millisecond), r.GetDifferingCount()))
	if r.GetHeldCount() == 0 {
		return nil
	}
	one, err := w.connector(ctx, name)
	if err != nil {
		return err
	}
	return fmt.Errorf("connector %s: %w: %s", name, ErrHeld, one.GetBrake().GetReason())
}

func (w *caller) say(name, text string) { _, _ = fmt.Fprintf(w.out, "%s: %s\n", name, text) }

// reach makes one call that does not wait for a server, so that a wrong address is told
// within seconds; the calls after it wait for a sync-core that starts anew.
func (w *caller) reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, firstWithin)
	defer cancel()
	if _, err := w.connectors.ListConnectors(ctx, &tandemv1.ListConnectorsRequest{PageSize: 1}, grpc.WaitForReady(false)); err != nil {
		return w.plain(err)
	}
	return nil
}

// plain is a call's error as a person reads it.
func (w *caller) plain(err error) error {
	flags := transport.Flags{Address: "--core", CA: "--core-ca", Name: "--core-server-name", Insecure: "--insecure-grpc", Certificate: "--core-cert and --core-key"}
	if sentence, unreached := w.core.Unreached(err, flags); unreached {
		return errors.New(sentence) //nolint:err113 // a sentence for a person
	}
	if status.Code(err) == codes.DeadlineExceeded {
		return fmt.Errorf("sync-core at %s does not answer; see its log, and whether it can reach Redis", w.core.Target) //nolint:err113 // a sentence for a person
	}
	return errors.New(status.Convert(err).Message()) //nolint:err113 // the sentence is sync-core's
}
