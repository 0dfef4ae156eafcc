package app_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
)

// TestRequestsThatNeverCome: whoever begins a call and sends nothing is cut off, whoever
// they are, and one that has sent its request is not.
func TestRequestsThatNeverCome(t *testing.T) {
	t.Parallel()
	w := setup(t)
	core := w.run(t)
	both := &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	watch, err := core.links.WatchLinks(ctx, &tandemv1.WatchLinksRequest{Parent: "connectors/development"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := watch.Recv()
		ended <- err
	}()
	began := time.Now()
	var silent []grpc.ClientStream
	for _, method := range []string{"/tandem.v1.EventService/ListEvents", "/tandem.v1.LinkService/GetLink", "/grpc.health.v1.Health/Watch"} {
		for range 200 {
			stream, err := core.conn.NewStream(t.Context(), both, method)
			if err != nil {
				t.Fatal(err)
			}
			silent = append(silent, stream)
		}
	}
	if _, err := core.events.ListEvents(t.Context(), &tandemv1.ListEventsRequest{Parent: "connectors/-"}); err != nil {
		t.Errorf("beside %d silent calls: %v", len(silent), err)
	}
	for _, stream := range silent {
		if err := stream.RecvMsg(&tandemv1.ListEventsResponse{}); status.Code(err) != codes.Canceled {
			t.Fatalf("a silent call ends with %v", err)
		}
	}
	took := time.Since(began)
	t.Logf("%d calls without a request are over after %s", len(silent), took)
	if took > 40*time.Second {
		t.Error("that is too long")
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the watch, which is older and has sent its request, ended: %v", err)
		}
	default:
	}
}
