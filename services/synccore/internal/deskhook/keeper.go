// Package deskhook keeps the webhooks by which Alvao tells a connector of changed
// statuses: those that are wanted are made, made again from time to time, and removed
// when they are wanted no more.
//
// Its one invariant: nothing is removed but what was noted as made by Tandem. Alvao lists
// no webhooks and sends none of them twice (alvao.md §3.1), so that one is gone, or was
// switched off, shows itself by nothing: that is why each is replaced now and then, the
// new one before the old one goes. Nothing depends on them but how soon a change is seen.
package deskhook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
)

// Desk is what is needed of Alvao.
type Desk interface {
	// StatusField is the number of the field by which one webhook tells of every status;
	// 0: there is none. fault.NotFound: the tenant offers no webhooks.
	StatusField(ctx context.Context) (int64, error)
	// Processes names the processes of the connector's service.
	Processes(ctx context.Context) ([]string, error)
	// CreateWebhook makes one and gives its number. One that failed without an answer may
	// have been made.
	CreateWebhook(ctx context.Context, hook item.DeskHook) (int64, error)
	// RemoveWebhook removes one; fault.NotFound where there is none of that number.
	RemoveWebhook(ctx context.Context, id int64) error
}

// Notes remembers a connector's webhooks for all replicas.
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
	noteName = "desk-hooks"
	// turnTTL is how long a replica that died keeps its turn.
	turnTTL = 30 * time.Second
	// renewal is how long a webhook is believed to be there, renewalAtStart at the first
	// look of a process: a restart is a chance to find out.
	renewal, renewalAtStart = 24 * time.Hour, time.Hour
	// refusalTTL is how long a webhook that Alvao refused is not asked for again.
	refusalTTL = time.Hour
)

// Keeper keeps the webhooks of one connector. All fields but Process are required and
// must not change. Its methods are called by one goroutine at a time, by any number of
// replicas.
type Keeper struct {
	Connector string
	// Address gives the address that the webhooks post to, token and all, anew each time.
	// It is a secret.
	Address func() (string, error)
	// Tenant is the address of Alvao's REST API.
	Tenant string
	// Service is the connector's service, Process the one process that counts; empty: all
	// of the service. Statuses are those of the StatusMap, in its order.
	Service, Process string
	Statuses         []string
	Desk             Desk
	Notes            Notes
	// Turn names the lease of whoever sees to the webhooks.
	Leases Leases
	Turn   item.Key
	Now    func() time.Time

	started bool
}

// Address is where the built-in webhooks of a connector post to, below the address by
// which the vendors reach the gateway. It holds the token and is a secret.
func Address(publicURL, connector, token string) string {
	return publicURL + "/hooks/alvao/" + connector + "/" + token
}

// Report is what was found and done.
type Report struct {
	// Finding tells how the webhooks fare. The zero value: another replica has the turn.
	Finding item.Finding
	// Failed tells that they should be there and are not, or not all.
	Failed bool
	// Missed tells that one was gone, so that changes may not have been told.
	Missed bool
	// Done says in words what was changed.
	Done []string
}

// noted is what is remembered of a connector's webhooks.
type noted struct {
	// Tenant is where they are.
	Tenant string `json:"tenant"`
	// Hooks are those that are wanted, by what they tell of.
	Hooks map[string]hook `json:"hooks,omitempty"`
	// Begun are those whose creation was begun and not noted as ended: Alvao may have them
	// though nobody knows their numbers.
	Begun map[string]time.Time `json:"begun,omitempty"`
	// Old are the numbers of those that are to be removed.
	Old []int64 `json:"old,omitempty"`
	// Unoffered tells that the tenant has no webhooks.
	Unoffered bool `json:"unoffered,omitempty"`
	// Left are the numbers of those whose removal Alvao refused; it is tried again with the
	// next that are old.
	Left []int64 `json:"left,omitempty"`
	// Strays counts those that may be there without their number being known. That all
	// that are known were gone means that somebody removed these, too.
	Strays int `json:"strays,omitempty"`
}

type hook struct {
	// ID is the webhook's number; 0: Alvao refused it.
	ID int64 `json:"id,omitempty"`
	// Status is what it tells of; empty: every status.
	Status string `json:"status,omitempty"`
	// Print tells addresses apart.
	Print string    `json:"print"`
	At    time.Time `json:"at"`
	// Refusal is the sentence with which it was refused; with a number, that of the one
	// before it, which is left where it is.
	Refusal string `json:"refusal,omitempty"`
}

// check is the name of what is looked at.
const check = "alvao.webhooks"

// fieldKey is the key of the one webhook that tells of every status.
const fieldKey = "field"

// Once brings the webhooks to what is wanted, and tells of it. One replica at a time
// does; where another one has the turn nothing is done.
func (k *Keeper) Once(ctx context.Context) Report {
	ctx, held, err := k.Leases.Hold(ctx, k.Turn, turnTTL)
	if fault.Is(err, fault.Conflict) {
		return Report{}
	}
	if err != nil {
		return k.untold(err)
	}
	defer held.Release()
	n, err := k.read(ctx)
	if err != nil {
		return k.untold(err)
	}
	address, err := k.Address()
	if err != nil {
		return Report{Failed: true, Finding: item.Finding{
			Check: check, Severity: item.Warning,
			Detail: "The hook secret can't be used, so Tandem does not look after Alvao's webhooks: " + fault.Sentence(err),
			Remedy: "Put a long random secret into the place that hookSecrets names first.",
		}}
	}
	wanted, err := k.wanted(ctx, address)
	if err != nil {
		return k.untold(err)
	}
	r := Report{}
	err = k.bring(ctx, &n, wanted, &r)
	k.started = k.started || err == nil
	k.tell(n, wanted, err, &r)
	return r
}

// Look tells how the webhooks fare and changes nothing.
func (k *Keeper) Look(ctx context.Context) Report {
	n, err := k.read(ctx)
	if err != nil {
		return k.untold(err)
	}
	address, err := k.Address()
	if err != nil {
		return k.untold(err)
	}
	wanted, err := k.wanted(ctx, address)
	if err != nil {
		return k.untold(err)
	}
	if n.Unoffered {
		return k.untold(fault.New(fault.NotFound, "Alvao offered no webhooks when Tandem last asked for one."))
	}
	r := Report{}
	k.tell(n, wanted, nil, &r)
	return r
}

// Retire removes all webhooks that were noted as made, because the connector is no more.
func (k *Keeper) Retire(ctx context.Context) error {
	ctx, held, err := k.Leases.Hold(ctx, k.Turn, turnTTL)
	if err != nil {
		return fmt.Errorf("waiting for the turn to remove webhooks: %w", err)
	}
	defer held.Release()
	n, err := k.read(ctx)
	if err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(n.Hooks)) {
		n.retire(key)
	}
	_, err = k.removeOld(ctx, &n)
	return err
}

// mostStatuses is how many webhooks for statuses a connector makes; beyond that one for
// the field is the better one.
const mostStatuses = 40

// wanted are the webhooks that are to be there, by what they tell of: one for each process
// and status of the map, which is documented; else one for changes of the status, where
// the tenant offers the field (alvao.md §3.1). The latter does not tell of new tickets.
func (k *Keeper) wanted(ctx context.Context, address string) (map[string]item.DeskHook, error) {
	processes := []string{k.Process}
	if k.Process == "" {
		var err error
		if processes, err = k.Desk.Processes(ctx); err != nil {
			return nil, fmt.Errorf("reading the processes of service %s: %w", k.Service, err)
		}
	}
	wanted := map[string]item.DeskHook{}
	for _, process := range processes {
		for _, status := range k.Statuses {
			wanted[statusKey(process, status)] = item.DeskHook{URL: address, Process: process, Status: status, Service: k.Service}
		}
	}
	if n := len(wanted); n > 0 && n <= mostStatuses {
		return wanted, nil
	}
	field, err := k.Desk.StatusField(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the fields that webhooks can tell of: %w", err)
	}
	if field != 0 {
		return map[string]item.DeskHook{fieldKey: {URL: address, Field: field, Process: k.Process, Service: k.Service}}, nil
	}
	return wanted, nil
}

func statusKey(process, status string) string {
	return strings.ToLower("status/" + process + "/" + status)
}

// bring makes what is missing or due, then removes what is old.
func (k *Keeper) bring(ctx context.Context, n *noted, wanted map[string]item.DeskHook, r *Report) error {
	for key := range n.Begun {
		// A process died between asking for it and noting its number.
		delete(n.Begun, key)
		n.Strays++
	}
	for _, key := range slices.Sorted(maps.Keys(n.Hooks)) {
		if _, still := wanted[key]; !still && !k.lingers(n.Hooks[key], wanted) {
			n.retire(key)
			r.Done = append(r.Done, "remove "+key+", because it is not wanted any more")
		}
	}
	for _, key := range slices.Sorted(maps.Keys(wanted)) {
		had, there := n.Hooks[key]
		if there && k.fresh(had, wanted[key].URL) {
			continue
		}
		if err := k.make(ctx, n, key, wanted[key]); err != nil {
			return err
		}
		switch now := n.Hooks[key]; {
		case now.ID == 0 || now.Refusal != "":
		case !there || had.ID == 0:
			r.Done = append(r.Done, "create "+key+", because there is none")
		default:
			r.Done = append(r.Done, "replace "+key)
		}
	}
	gone, err := k.removeOld(ctx, n)
	r.Missed = gone
	return err
}

// lingers tells whether a webhook stays although it is not wanted: its process may just
// have no ticket among the latest ones.
func (k *Keeper) lingers(h hook, wanted map[string]item.DeskHook) bool {
	if h.ID == 0 || h.Status == "" || k.Process != "" || !slices.Contains(k.Statuses, h.Status) || k.Now().Sub(h.At) >= renewal {
		return false
	}
	for _, one := range wanted {
		return one.Field == 0 && h.Print == fingerprint(one.URL)
	}
	return true
}

// fresh tells whether a webhook need not be made again.
func (k *Keeper) fresh(h hook, address string) bool {
	age := k.Now().Sub(h.At)
	switch {
	case h.Print != fingerprint(address) || age < 0:
		return false
	case h.ID == 0 || h.Refusal != "":
		return age < refusalTTL
	case k.started:
		return age < renewal
	default:
		return age < renewalAtStart
	}
}

// make makes one webhook and notes its number; the one before it becomes old. A refusal
// is noted, too.
func (k *Keeper) make(ctx context.Context, n *noted, key string, draft item.DeskHook) error {
	if n.Begun == nil {
		n.Begun = map[string]time.Time{}
	}
	// Before the effect: the process may die before the number is known.
	n.Begun[key] = k.Now()
	if err := k.write(ctx, *n); err != nil {
		return err
	}
	id, err := k.Desk.CreateWebhook(ctx, draft)
	made := hook{ID: id, Status: draft.Status, Print: fingerprint(draft.URL), At: k.Now()}
	if err == nil {
		delete(n.Begun, key)
		n.Unoffered = false
		n.retire(key)
		n.Hooks[key] = made
		return k.write(ctx, *n)
	}
	switch fault.KindOf(err) {
	case fault.NotFound:
		delete(n.Begun, key)
		n.Unoffered = true
	case fault.Invalid, fault.Refused, fault.Denied:
		// The status is none of that process, say. What is there stays there.
		delete(n.Begun, key)
		made.ID, made.Refusal = n.Hooks[key].ID, fault.Sentence(err)
		n.Hooks[key] = made
		return k.write(ctx, *n)
	case fault.Throttled, fault.BadToken:
		delete(n.Begun, key)
	default:
		// It may have been made all the same.
	}
	return errors.Join(fmt.Errorf("creating webhook %s: %w", key, err), k.write(ctx, *n))
}

// retire makes the webhook of a key an old one.
func (n *noted) retire(key string) {
	if id := n.Hooks[key].ID; id != 0 {
		n.Old = append(n.Old, id)
	}
	delete(n.Hooks, key)
}

// removeOld removes what is old, and tells whether any of it was gone already.
func (k *Keeper) removeOld(ctx context.Context, n *noted) (bool, error) {
	gone, stood := false, false
	left := n.Left
	if len(n.Old) > 0 {
		n.Old, n.Left = append(n.Old, n.Left...), nil
	}
	// What is old must be noted as such before it is no more.
	if len(n.Old) > 0 {
		if err := k.write(ctx, *n); err != nil {
			return false, err
		}
	}
	for len(n.Old) > 0 {
		err := k.Desk.RemoveWebhook(ctx, n.Old[0])
		switch {
		case err == nil:
			stood = true
		case fault.Is(err, fault.NotFound) && slices.Contains(left, n.Old[0]):
			// Somebody did what Alvao did not let Tandem do.
		case fault.Is(err, fault.NotFound):
			gone = true
		case fault.Is(err, fault.Denied), fault.Is(err, fault.Invalid):
			// It is left to a person.
			n.Left, stood = append(n.Left, n.Old[0]), true
		default:
			return gone, fmt.Errorf("removing webhook %d: %w", n.Old[0], err)
		}
		n.Old = n.Old[1:]
		if gone && !stood && len(n.Old) == 0 {
			n.Strays = 0
		}
		if err := k.write(ctx, *n); err != nil {
			return gone, err
		}
	}
	return gone, nil
}

func (k *Keeper) read(ctx context.Context) (noted, error) {
	text, err := k.Notes.Note(ctx, k.Connector, noteName)
	if err != nil {
		return noted{}, fmt.Errorf("reading what is noted of Alvao's webhooks: %w", err)
	}
	var n noted
	if text != "" && json.Unmarshal([]byte(text), &n) != nil {
		n = noted{}
	}
	if n.Tenant != k.Tenant {
		// The numbers are those of another tenant, whose password is not at hand any more.
		n = noted{Tenant: k.Tenant}
	}
	if n.Hooks == nil {
		n.Hooks = map[string]hook{}
	}
	return n, nil
}

func (k *Keeper) write(ctx context.Context, n noted) error {
	text, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("encoding what is noted of Alvao's webhooks: %w", err)
	}
	if err := k.Notes.SetNote(ctx, k.Connector, noteName, string(text)); err != nil {
		return fmt.Errorf("noting Alvao's webhooks: %w", err)
	}
	return nil
}

// fingerprint tells addresses apart. The token in them is a key of 256 bits, so that a
// hash tells nothing of it.
func fingerprint(address string) string {
	sum := sha256.Sum256([]byte("tandem/v1/desk-hook-print\n" + address))
	return hex.EncodeToString(sum[:12])
}
