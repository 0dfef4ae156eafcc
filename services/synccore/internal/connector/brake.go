package connector

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/brake"
	"github.com/tandem-sync/tandem/services/synccore/internal/config"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
)

// What all replicas share about a connector's mass changes. A resync writes the first
// two in its turn; whoever lets a change go writes the third alone, so that neither
// takes back what the other did.
const (
	noteBasis   = "resync-basis"
	noteBrake   = "brake"
	noteRelease = "brake-release"
)

// basis is what the last resync that came to its end was about.
type basis struct {
	// Settings is the fingerprint of the settings then; empty: there was none.
	Settings string    `json:"settings"`
	At       time.Time `json:"at"`
}

// release is that a person let a change go.
type release struct {
	ID string    `json:"id"`
	At time.Time `json:"at"`
}

// fingerprint tells settings apart that make a resync write different things.
func fingerprint(c config.Connector) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q %q %q %q %v %v", c.Alvao.URL, c.Alvao.Service, c.Alvao.Process, c.Alvao.ExternalIDField,
		c.Rules.Project.URL(), c.Rules.Statuses.Print(), c.Rules.ExistingTickets, c.Rules.SyncCommunication, c.Brake))
	return hex.EncodeToString(sum[:8])
}

func note[T any](ctx context.Context, origins Origins, connector, name string) (T, error) {
	var value T
	text, err := origins.Note(ctx, connector, name)
	if err != nil {
		return value, fmt.Errorf("reading what is noted of connector %s: %w", connector, err)
	}
	if text == "" {
		return value, nil
	}
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		return value, fmt.Errorf("decoding what is noted of connector %s as %s: %w", connector, name, err)
	}
	return value, nil
}

func setNote(ctx context.Context, origins Origins, connector, name string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encoding what is noted of connector %s: %w", connector, err)
	}
	if err := origins.SetNote(ctx, connector, name, string(text)); err != nil {
		return fmt.Errorf("noting %s of connector %s: %w", name, connector, err)
	}
	return nil
}

// braked reads the mass change of a connector.
func braked(ctx context.Context, origins Origins, connector string) (brake.State, error) {
	state, err := note[brake.State](ctx, origins, connector, noteBrake)
	if err != nil || !state.Exists() {
		return brake.State{}, err
	}
	let, err := note[release](ctx, origins, connector, noteRelease)
	if err != nil {
		return brake.State{}, err
	}
	state.Released = time.Time{}
	if let.ID == state.ID() {
		state.Released = let.At
	}
	return state, nil
}

// from is since when the present settings count, where a resync still has to judge them
// or a person to let them go; zero: nothing of that kind.
func (r *running) from(ctx context.Context) (time.Time, error) {
	known, err := note[basis](ctx, r.deps.Origins, r.cfg.Name, noteBasis)
	if err != nil {
		return time.Time{}, err
	}
	state, err := braked(ctx, r.deps.Origins, r.cfg.Name)
	switch {
	case err != nil:
		return time.Time{}, err
	case state.Settings == r.settings && state.Held():
		return state.Since, nil
	case state.Settings == r.settings && state.Exists(), known.Settings == "", known.Settings == r.settings:
		return time.Time{}, nil
	default:
		return r.started, nil
	}
}

// unjudged tells that no resync has judged the present settings yet, or none since a
// person let a change go.
func (r *running) unjudged(ctx context.Context, last time.Time) bool {
	known, err := note[basis](ctx, r.deps.Origins, r.cfg.Name, noteBasis)
	if err != nil || known.Settings == "" {
		return false
	}
	state, err := braked(ctx, r.deps.Origins, r.cfg.Name)
	switch {
	case err != nil:
		return false
	case !state.Exists():
		return known.Settings != r.settings
	default:
		return state.Settings != r.settings || last.Before(state.Released)
	}
}

// judgeChange decides about what a resync foresees, and has all replicas know.
func (r *running) judgeChange(ctx context.Context, foreseen brake.Foresight) (brake.Verdict, error) {
	known, err := braked(ctx, r.deps.Origins, r.cfg.Name)
	if err != nil {
		return brake.Hold, err
	}
	verdict, next := brake.Judge(r.cfg.Brake, known, r.settings, foreseen, r.deps.Now())
	switch {
	case verdict == brake.Hold:
		if err := setNote(ctx, r.deps.Origins, r.cfg.Name, noteBrake, next); err != nil {
			return brake.Hold, err
		}
		if !known.Held() || known.Settings != next.Settings {
			r.deps.Logger.ErrorContext(ctx, "connector.braked", slog.String("connector", r.cfg.Name), slog.String("brake", next.ID()),
				slog.String("reason", next.Sentence()), slog.Any("writes", next.Foresight.Writes), slog.Any("examples", next.Foresight.Examples))
		}
	case verdict == brake.Go && known.Exists():
		for _, name := range []string{noteBrake, noteRelease} {
			if err := r.deps.Origins.SetNote(ctx, r.cfg.Name, name, ""); err != nil {
				return brake.Hold, fmt.Errorf("forgetting the mass change of connector %s: %w", r.cfg.Name, err)
			}
		}
		r.deps.Logger.InfoContext(ctx, "connector.unbraked", slog.String("connector", r.cfg.Name), slog.String("brake", known.ID()))
	}
	return verdict, nil
}

// Brake tells about the mass change of a connector that waits or was let go; the zero
// value: there is none. Every replica tells the same.
func (s *Set) Brake(ctx context.Context, name string) (brake.State, error) {
	if s.get(name) == nil {
		return brake.State{}, fault.New(fault.NotFound, "No connector is named %q.", name)
	}
	return braked(ctx, s.deps.Origins, name)
}

// Release lets the mass change of that id go, and no other: fault.Refused if it is not
// what waits at the connector. A change that was let go already is no error.
func (s *Set) Release(ctx context.Context, name, id string) error {
	r := s.get(name)
	if r == nil {
		return fault.New(fault.NotFound, "No connector is named %q.", name)
	}
	state, err := braked(ctx, s.deps.Origins, name)
	switch {
	case err != nil:
		return err
	case !state.Exists():
		return fault.New(fault.Refused, "Nothing waits at connector %q.", name)
	case state.ID() != id:
		return fault.New(fault.Refused, "What waits at connector %q is another change than %q; look at it again and release %q.", name, id, state.ID())
	case !state.Held():
		return nil
	}
	if err := setNote(ctx, s.deps.Origins, name, noteRelease, release{ID: id, At: s.deps.Now()}); err != nil {
		return err
	}
	s.deps.Logger.InfoContext(ctx, "connector.released", slog.String("connector", name), slog.String("brake", id))
	// Another replica finds out by itself within a minute.
	r.lookAgain()
	return nil
}

// lookAgain has it looked now whether a resync is due. Nil is nothing to look at.
func (r *running) lookAgain() {
	if r == nil {
		return
	}
	r.resyncs.ask()
	select {
	case r.resyncNow <- struct{}{}:
	default:
	}
}
