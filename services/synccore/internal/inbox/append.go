package inbox

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// maxBatchBytes bounds the payloads of one batch, and so how long one script keeps
// Redis from its other callers.
const maxBatchBytes = 4 << 20

// appendCall is one Append on its way into a batch.
type appendCall struct {
	ctx    context.Context //nolint:containedctx // a queued call carries its caller's context to where it is served
	args   []any
	size   int
	answer chan appendAnswer
}

type appendAnswer struct {
	verdict int64
	err     error
}

// Append stores a hint durably and tells whether it was new: false means that its ID
// was stored within the dedup window before.
//
// Calls made while Redis is busy with earlier ones are stored together in one step;
// a lone call waits for nothing but a replica of Redis, where there is one. It fails with fault.Unavailable when Redis refuses
// or can't be reached, with fault.Throttled when the inbox is full, and with
// fault.Invalid when e names no item. When the context ends first the hint may have been stored or not;
// repeating it is always safe; a deadline that passed is fault.Unavailable, too.
func (b *Inbox) Append(ctx context.Context, e item.Event) (bool, error) {
	ctx, span := b.tracer.Start(ctx, "append inbox", trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(
		attribute.String("messaging.system", "redis"),
		attribute.String("messaging.operation.type", "send"),
		attribute.String("messaging.destination.name", "inbox"),
		attribute.String("tandem.connector", e.Key.Connector),
		attribute.String("tandem.system", string(e.Key.System)),
		attribute.Int64("tandem.item.id", e.Key.ID),
	))
	defer span.End()
	// The serving descends from this span; without one, from what e brought along.
	if span.SpanContext().IsValid() {
		carrier := propagation.MapCarrier{}
		propagation.TraceContext{}.Inject(ctx, carrier)
		e.TraceParent = carrier["traceparent"]
	}
	stored, err := b.append(ctx, e)
	span.SetAttributes(attribute.Bool("tandem.stored", stored))
	if err != nil {
		span.SetStatus(codes.Error, fault.KindOf(err).String())
	}
	return stored, err
}

func (b *Inbox) append(ctx context.Context, e item.Event) (bool, error) {
	call, err := newCall(ctx, e)
	if err != nil {
		return false, err
	}
	select {
	case b.calls <- call:
	case <-ctx.Done():
		return false, datastore.Fault(ctx.Err(), "waiting to store hint")
	case <-b.closing:
		return false, fault.New(fault.Unavailable, "Tandem is shutting down and stores no more events; send the event again.")
	}
	select {
	case a := <-call.answer:
		return verdict(a)
	case <-ctx.Done():
		return false, datastore.Fault(ctx.Err(), "storing hint")
	}
}

func verdict(a appendAnswer) (bool, error) {
	switch {
	case a.err != nil:
		return false, a.err
	case a.verdict < 0:
		return false, full()
	}
	return a.verdict == 1, nil
}

// fullWait is how soon a sender that was refused may try again.
const fullWait = 10 * time.Second

func full() error {
	return fault.New(fault.Throttled,
		"The inbox is full and takes no further items; find out why events are not being served, and send the event again later.").After(fullWait)
}

func newCall(ctx context.Context, e item.Event) (*appendCall, error) {
	name := e.Key.String()
	if _, err := item.ParseKey(name); err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "The event names no ticket or work item of a connector; correct its sender.")
	}
	text, err := encodeHint(e)
	if err != nil {
		return nil, err
	}
	payload := e.Payload
	if len(payload) > MaxPayload {
		payload = nil
	}
	bucket, number := seen(e.ID)
	return &appendCall{
		ctx: ctx,
		args: []any{
			bucket, number, name, newID(e.Key), text, payload, max(e.Revision, 0), traceParent(e),
			laneOf(e),
		},
		size:   len(payload) + len(text),
		answer: make(chan appendAnswer, 1), // the caller may have left
	}, nil
}

// commit stores what Append hands over: what has gathered while the last batch was
// stored becomes the next.
func (b *Inbox) commit() {
	for {
		select {
		case <-b.closing:
			return
		case first := <-b.calls:
			b.storeBatch(b.gather(first))
		}
	}
}

func (b *Inbox) gather(first *appendCall) []*appendCall {
	calls, size := []*appendCall{first}, first.size
	for len(calls) < b.options.MaxBatch && size < maxBatchBytes {
		select {
		case call := <-b.calls:
			calls, size = append(calls, call), size+call.size
		default:
			return calls
		}
	}
	return calls
}

func (b *Inbox) storeBatch(calls []*appendCall) {
	args := make([]any, 0, 4+len(calls[0].args)*len(calls))
	args = append(args, b.prefix, b.options.MaxItems, b.options.half(), len(calls))
	for _, call := range calls {
		args = append(args, call.args...)
	}
	// One caller's leaving must not fail the others, so the batch has a time of its own.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(calls[0].ctx), b.options.CommitTimeout)
	defer cancel()
	var verdicts []int64
	cmd, err := b.store.RunReplicated(ctx, b.scripts["append"], datastore.InboxTag, b.keys, args...)
	if err == nil {
		verdicts, err = cmd.Int64Slice()
	}
	if err == nil && len(verdicts) != len(calls) {
		err = fmt.Errorf("storing %d hints: Redis answered for %d", len(calls), len(verdicts))
	}
	for i, call := range calls {
		if err != nil {
			call.answer <- appendAnswer{err: datastore.Fault(err, "storing hint")}
			continue
		}
		call.answer <- appendAnswer{verdict: verdicts[i]}
	}
}
