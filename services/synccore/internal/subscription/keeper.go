// Package subscription keeps the service hooks by which Azure DevOps tells a connector
// of changes: those that are missing are made, those that were switched off because
// deliveries failed are switched on again, and all get the present password.
//
// Its one invariant: nothing is created, changed or removed but on the strength of a
// whole list, and nothing but what is Tandem's own: a hook of the connector's project
// that posts exactly to the connector's address, or that was noted as made by Tandem.
// What a person switched off stays off.
package subscription

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/hookkey"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
)

// Boards is what is needed of Azure DevOps.
type Boards interface {
	// ProjectID is the GUID of the connector's project.
	ProjectID(ctx context.Context) (string, error)
	// Hooks lists all service hooks that post work item events, or fails.
	Hooks(ctx context.Context) ([]item.Hook, error)
	// CreateHook, ReplaceHook and RemoveHook change one. What one that failed without an
	// answer did, the next list tells.
	CreateHook(ctx context.Context, draft item.HookDraft, password string) (item.Hook, error)
	ReplaceHook(ctx context.Context, id string, draft item.HookDraft, password string) (item.Hook, error)
	RemoveHook(ctx context.Context, id, event string) error
}

// Notes remembers a connector's hooks for all replicas.
type Notes interface {
	Note(ctx context.Context, connector, name string) (string, error)
	SetNote(ctx context.Context, connector, name, text string) error
}

// Leases gives one replica at a time the turn.
type Leases interface {
	Hold(ctx context.Context, key item.Key, ttl time.Duration) (context.Context, lease.Held, error)
}

const (
	// noteName is the name of what is remembered.
	noteName = "hooks"
	// turnTTL is how long a replica that died keeps its turn.
	turnTTL = 30 * time.Second
	// turnWait and turnLook are how long a turn is waited for, and how often it is asked for.
	turnWait, turnLook = turnTTL + 5*time.Second, 200 * time.Millisecond
)

// Keeper keeps the service hooks of one connector. All fields are required and must not
// change. It is safe for concurrent use, by any number of replicas.
type Keeper struct {
	Connector string
	// Address is where the connector's hooks post to.
	Address string
	// ProjectURL is the project as a browser shows it, DeskHost the host of Alvao's REST
	// API.
	ProjectURL, DeskHost string
	Boards               Boards
	Notes                Notes
	// Turn names the lease of whoever sees to the hooks.
	Leases Leases
	Turn   item.Key
	// Password gives the present password, which is read anew each time.
	Password func() (string, error)
	Now      func() time.Time
}

// Address is where the service hooks of a connector post to, below the address by which
// the vendors reach the gateway.
func Address(publicURL, connector string) string {
	return publicURL + "/hooks/azure-devops/" + connector
}

// Report is what was found and done.
type Report struct {
	// Findings are in the order of the events; one tells when all is well.
	Findings []item.Finding
	// Statuses counts the wanted hooks by their status, those of which there is none as
	// "missing"; all statuses are there. nil: it could not be looked up.
	Statuses map[string]int
	// Missed tells that a wanted hook was found missing, not enabled or different, so
	// that events may not have been told.
	Missed bool
	// Done says in words what was changed.
	Done []string
}

// Look tells how the hooks fare and changes nothing.
func (k *Keeper) Look(ctx context.Context) Report {
	_, d, _, broken := k.look(ctx)
	if broken != nil {
		return Report{Findings: []item.Finding{*broken}}
	}
	return k.report(d, nil, nil)
}

// Once looks, brings the hooks to what is wanted, and tells of it. One replica at a time
// does; another one's turn is waited for, since it will not take long.
func (k *Keeper) Once(ctx context.Context) Report {
	ctx, held, err := k.hold(ctx)
	if err != nil {
		return Report{Findings: []item.Finding{*k.unlisted(err)}}
	}
	defer held.Release()
	w, d, password, broken := k.look(ctx)
	if broken != nil {
		return Report{Findings: []item.Finding{*broken}}
	}
	return k.act(ctx, w, d, password)
}

// hold takes the turn.
func (k *Keeper) hold(ctx context.Context) (context.Context, lease.Held, error) {
	patience := time.NewTimer(turnWait)
	defer patience.Stop()
	again := time.NewTicker(turnLook)
	defer again.Stop()
	for {
		holding, held, err := k.Leases.Hold(ctx, k.Turn, turnTTL)
		if !fault.Is(err, fault.Conflict) {
			return holding, held, err
		}
		select {
		case <-ctx.Done():
			return ctx, held, fmt.Errorf("waiting for the turn to look after the service hooks: %w", ctx.Err())
		case <-patience.C:
			return ctx, held, fault.New(fault.Unavailable, "Another replica has been looking after the service hooks for long; it is tried again at the next look.")
		case <-again.C:
		}
	}
}

// look lists and compares. The finding, if any, says why that is not possible.
func (k *Keeper) look(ctx context.Context) (want, decision, string, *item.Finding) {
	password, err := k.Password()
	if err != nil {
		return want{}, decision{}, "", &item.Finding{
			Check: check, Severity: item.Warning,
			Detail: "The hook secret can't be used, so Tandem does not look after the service hooks: " + fault.Sentence(err),
			Remedy: fmt.Sprintf("Put a secret of at least %d random characters into the place that hookSecrets names first.", hookkey.MinLength),
		}
	}
	project, err := k.Boards.ProjectID(ctx)
	if err != nil {
		return want{}, decision{}, "", k.unlisted(err)
	}
	remembered, err := k.read(ctx)
	if err != nil {
		return want{}, decision{}, "", k.unlisted(err)
	}
	listed, err := k.Boards.Hooks(ctx)
	if err != nil {
		return want{}, decision{}, "", k.unlisted(err)
	}
	w := want{project: project, address: k.Address, user: hookkey.AzureDevOpsUser, key: fingerprint(password), deskHost: k.DeskHost}
	d := compare(w, listed, remembered, k.Now())
	d.before = remembered
	return w, d, password, nil
}

// act makes the changes of a decision, noting each before the next.
func (k *Keeper) act(ctx context.Context, w want, d decision, password string) Report {
	failed := map[string]error{}
	var done []string
	var halt error
	if !reflect.DeepEqual(d.known, d.before) {
		halt = k.write(ctx, d.known)
	}
	for _, c := range d.changes {
		if halt != nil {
			failed[c.event] = halt
			continue
		}
		if failed[c.event] != nil {
			// The second one may be needed yet.
			continue
		}
		err := k.make(ctx, w, c, &d.known, password)
		if err == nil {
			done = append(done, fmt.Sprintf("%s %s, because %s", c.deed, c.event, c.why))
			continue
		}
		failed[c.event] = err
		switch fault.KindOf(err) {
		case fault.Denied, fault.Invalid, fault.Refused, fault.NotFound, fault.Conflict, fault.Misconfigured, fault.Busy:
			// It is this one that can't be changed.
		case fault.BadToken, fault.Unavailable, fault.Throttled, fault.Internal:
			halt = err
		default:
			halt = err
		}
	}
	return k.report(d, failed, done)
}

// make makes one change and notes it.
func (k *Keeper) make(ctx context.Context, w want, c change, known *known, password string) error {
	draft := item.HookDraft{Event: c.event, ProjectID: w.project, URL: w.address, User: w.user}
	fresh := written{Event: c.event, Key: w.key, At: k.Now()}
	switch c.deed {
	case create:
		if known.Begun == nil {
			known.Begun = map[string]string{}
		}
		known.Begun[c.event] = w.address
		// Before the effect: the answer may get lost.
		if err := k.write(ctx, *known); err != nil {
			return err
		}
		made, err := k.Boards.CreateHook(ctx, draft, password)
		if err != nil {
			return err
		}
		delete(known.Begun, c.event)
		known.Hooks[made.ID] = fresh
	case replace:
		if _, err := k.Boards.ReplaceHook(ctx, c.id, draft, password); err != nil {
			return err
		}
		fresh.Tries = known.Hooks[c.id].Tries
		if c.mends {
			fresh.Tries++
		}
		known.Hooks[c.id] = fresh
	case remove:
		if err := k.Boards.RemoveHook(ctx, c.id, c.event); err != nil {
			return err
		}
		delete(known.Hooks, c.id)
	}
	return k.write(ctx, *known)
}

func (k *Keeper) read(ctx context.Context) (known, error) {
	text, err := k.Notes.Note(ctx, k.Connector, noteName)
	if err != nil {
		return known{}, fmt.Errorf("reading what is noted of the service hooks: %w", err)
	}
	var remembered known
	if text != "" && json.Unmarshal([]byte(text), &remembered) != nil {
		// Without it the hooks at our address are taken over anew.
		remembered = known{}
	}
	if remembered.Hooks == nil {
		remembered.Hooks = map[string]written{}
	}
	return remembered, nil
}

func (k *Keeper) write(ctx context.Context, remembered known) error {
	if len(remembered.Begun) == 0 {
		remembered.Begun = nil
	}
	text, err := json.Marshal(remembered)
	if err != nil {
		return fmt.Errorf("encoding what is noted of the service hooks: %w", err)
	}
	if err := k.Notes.SetNote(ctx, k.Connector, noteName, string(text)); err != nil {
		return fmt.Errorf("noting the service hooks: %w", err)
	}
	return nil
}

// fingerprint tells passwords apart. The password is a key of 256 bits, so that its
// hash tells nothing of it.
func fingerprint(password string) string {
	sum := sha256.Sum256([]byte("tandem/v1/hook-password-print\n" + password))
	return hex.EncodeToString(sum[:12])
}

// Statuses are all the names that a Report counts by.
func Statuses() map[string]int {
	zero := map[string]int{}
	for _, name := range names() {
		zero[name] = 0
	}
	return zero
}
