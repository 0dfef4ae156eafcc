package connector

import (
	"context"
	"log/slog"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/brake"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/resync"
)

// What all replicas share about a connector's resyncs: whoever asks for one writes the
// first, whoever has the turn the second.
const (
	noteRequest = "resync-request"
	noteResync  = "resync"
)

// progressEvery is how often it is noted how far a resync has come.
const progressEvery = 2 * time.Second

// request is that a person asked for a resync.
type request struct {
	At time.Time `json:"at"`
}

// Resync is the latest resync of a connector.
type Resync struct {
	Began time.Time `json:"began"`
	// Ended is zero while it is under way, also if the process that ran it died.
	Ended time.Time `json:"ended,omitzero"`
	// Request is the time of the latest request that was there when it began; zero: there
	// was none.
	Request time.Time `json:"request,omitzero"`
	// Error is the sentence that says why it broke off; empty: it did not.
	Error string `json:"error,omitempty"`
	// Result counts what was compared so far.
	Result resync.Result `json:"result"`
}

// answers tells whether a request needs no further resync.
func (s Resync) answers(asked request) bool {
	return asked.At.IsZero() || !s.Ended.IsZero() && !s.Request.Before(asked.At)
}

// runResync compares everything when that is due or asked for, or when the settings are
// others than those that were compared under.
func (r *running) runResync(ctx context.Context) {
	if !r.resyncs.due(r.deps.Now()) {
		return
	}
	r.turn(ctx, turnResync, r.resync, []item.System{item.Alvao, item.AzureDevOps}, r.urgent, func(ctx context.Context) error {
		err := r.compareAll(ctx)
		r.resyncs.note(err, r.deps.Now(), r.resync)
		return err
	})
}

func (r *running) compareAll(ctx context.Context) error {
	ctx = unhurried(ctx)
	last, err := note[basis](ctx, r.deps.Origins, r.cfg.Name, noteBasis)
	if err != nil {
		return err
	}
	told, err := r.beginResync(ctx)
	if err != nil {
		return err
	}
	verdict := brake.Go
	run := resync.Resync{
		Connector: r.cfg.Name, Rules: r.forRound().PlanRules(), IgnoreExisting: r.ignoresExisting(), Tickets: r.tickets, WorkItems: r.workItems,
		Links: r.deps.Links, Origins: r.deps.Origins, Inbox: r.deps.Inbox, Now: r.deps.Now,
		SettingsChanged: last.Settings != "" && last.Settings != r.settings, Since: last.At, Spare: r.cfg.Brake.AtLeast,
		Judge: func(ctx context.Context, foreseen brake.Foresight) (bool, error) {
			judged, err := r.judgeChange(ctx, foreseen)
			verdict = judged
			return judged == brake.Hold, err
		},
		Progress: r.progress(told),
	}
	result, err := run.Run(ctx)
	if err != nil {
		r.failedResync(ctx, told, result, err)
		return err
	}
	r.deps.Logger.InfoContext(ctx, "resync.done", slog.String("connector", r.cfg.Name),
		slog.Int("links", result.Links), slog.Int("tickets", result.Tickets), slog.Int("differing", result.Differing),
		slog.Int("foreseen", result.Foreseen), slog.Int("held", result.Held))
	if verdict != brake.Hold {
		if err := setNote(ctx, r.deps.Origins, r.cfg.Name, noteBasis, basis{Settings: r.settings, At: told.Began}); err != nil {
			return err
		}
	}
	told.Ended, told.Result = r.deps.Now(), result
	return setNote(ctx, r.deps.Origins, r.cfg.Name, noteResync, told)
}

// urgent tells that a resync must not wait until the next is due.
func (r *running) urgent(ctx context.Context, last time.Time) bool {
	return r.unjudged(ctx, last) || r.asked(ctx)
}

// asked tells that a person asked for a resync and none has come to its end since.
func (r *running) asked(ctx context.Context) bool {
	asked, err := note[request](ctx, r.deps.Origins, r.cfg.Name, noteRequest)
	if err != nil || asked.At.IsZero() {
		return false
	}
	latest, err := note[Resync](ctx, r.deps.Origins, r.cfg.Name, noteResync)
	return err == nil && !latest.answers(asked)
}

// beginResync has all replicas know that a resync is under way.
func (r *running) beginResync(ctx context.Context) (Resync, error) {
	asked, err := note[request](ctx, r.deps.Origins, r.cfg.Name, noteRequest)
	if err != nil {
		return Resync{}, err
	}
	told := Resync{Began: r.deps.Now(), Request: asked.At}
	return told, setNote(ctx, r.deps.Origins, r.cfg.Name, noteResync, told)
}

// progress notes now and then how far a resync has come. That a note could not be
// written hinders nothing: the end is told anyway.
func (r *running) progress(told Resync) func(context.Context, resync.Result) {
	last := told.Began
	return func(ctx context.Context, sofar resync.Result) {
		now := r.deps.Now()
		if now.Sub(last) < progressEvery {
			return
		}
		last, told.Result = now, sofar
		_ = setNote(ctx, r.deps.Origins, r.cfg.Name, noteResync, told)
	}
}

// failedResync tells why a resync broke off. One that was stopped has no end: whoever
// has the next turn begins anew.
func (r *running) failedResync(ctx context.Context, told Resync, result resync.Result, cause error) {
	if ctx.Err() != nil {
		return
	}
	told.Ended, told.Result, told.Error = r.deps.Now(), result, fault.Sentence(cause)
	_ = setNote(ctx, r.deps.Origins, r.cfg.Name, noteResync, told) // the failure itself is told by the turn
}

// Resync tells about the latest resync of a connector, whichever replica ran it; the
// zero value: there was none.
func (s *Set) Resync(ctx context.Context, name string) (Resync, error) {
	if s.get(name) == nil {
		return Resync{}, fault.New(fault.NotFound, "No connector is named %q.", name)
	}
	return note[Resync](ctx, s.deps.Origins, name, noteResync)
}

// AskResync asks for a resync now and gives the time by which its answer is known: a
// Resync that has ended and whose Request is not before it.
func (s *Set) AskResync(ctx context.Context, name string) (time.Time, error) {
	r := s.get(name)
	if r == nil {
		return time.Time{}, fault.New(fault.NotFound, "No connector is named %q.", name)
	}
	before, err := note[request](ctx, s.deps.Origins, name, noteRequest)
	if err != nil {
		return time.Time{}, err
	}
	// The clocks of two replicas may differ.
	at := s.deps.Now().UTC()
	if !at.After(before.At) {
		at = before.At.Add(time.Microsecond)
	}
	if err := setNote(ctx, s.deps.Origins, name, noteRequest, request{At: at}); err != nil {
		return time.Time{}, err
	}
	s.deps.Logger.InfoContext(ctx, "resync.asked", slog.String("connector", name))
	// A replica that has the turn just now finds out by itself within a minute.
	r.lookAgain()
	return at, nil
}
