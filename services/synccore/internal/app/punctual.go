package app

import (
	"context"
	"time"

	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/tap"
)

// punctual ends calls whose request does not arrive in time. gRPC reads a request before
// anything of ours is asked, so whoever begins calls and sends nothing would hold them for
// ever, without being anybody.
type punctual struct{ within time.Duration }

type arrivalKey struct{}

// arrival waits for the request of one call.
type arrival struct{ timer *time.Timer }

// tap is gRPC's word as a call begins.
func (p punctual) tap(ctx context.Context, _ *tap.Info) (context.Context, error) {
	ctx, cancel := context.WithCancel(ctx)
	// Its end comes with that of the call's own context at the latest.
	return context.WithValue(ctx, arrivalKey{}, &arrival{timer: time.AfterFunc(p.within, cancel)}), nil
}

// HandleRPC implements stats.Handler.
func (punctual) HandleRPC(ctx context.Context, event stats.RPCStats) {
	switch event.(type) {
	case *stats.InPayload, *stats.End:
		if a, ok := ctx.Value(arrivalKey{}).(*arrival); ok {
			a.timer.Stop()
		}
	}
}

// TagRPC implements stats.Handler.
func (punctual) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// TagConn implements stats.Handler.
func (punctual) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements stats.Handler.
func (punctual) HandleConn(context.Context, stats.ConnStats) {}
