package subscription

import (
	"cmp"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// events are what Tandem wants to hear of, in the order of a work item's life.
func events() []string {
	return []string{"workitem.created", "workitem.updated", "workitem.commented", "workitem.deleted", "workitem.restored"}
}

const (
	// settling is how long a hook that was written may be missing in lists: the list may
	// be read from a copy that lags behind.
	settling = time.Minute
	// firstPause and longestPause bound how soon a hook is mended again. A gateway that
	// refuses deliveries must not be hammered with what each mending lets through.
	firstPause, longestPause = 4 * time.Minute, time.Hour
)

// want is how each of the hooks is to be.
type want struct {
	project, address, user string
	// key is the fingerprint of the password.
	key string
	// deskHost is the host of Alvao's REST API.
	deskHost string
}

// known is what is remembered of a connector's hooks.
type known struct {
	// Hooks are those that Tandem made or took over, by id.
	Hooks map[string]written `json:"hooks,omitempty"`
	// Begun are the addresses of hooks whose creation was begun and of which no list
	// told since, by event: the answer may have got lost, and the address may change
	// before the next list.
	Begun map[string]string `json:"begun,omitempty"`
}

// written is what is remembered of one hook.
type written struct {
	Event string `json:"event"`
	// Key is the fingerprint of the password that it has; empty: that is not known.
	Key string `json:"key,omitempty"`
	// At is when it was written last; zero: never by us.
	At time.Time `json:"at,omitzero"`
	// Tries is how often it was mended since it was last seen in order.
	Tries int `json:"tries,omitempty"`
}

// pause is how long after its last writing a hook may be mended again.
func (w written) pause() time.Duration {
	pause := firstPause
	for range w.Tries - 1 {
		pause = min(2*pause, longestPause)
	}
	return pause
}

// deed is a kind of change.
type deed string

const (
	create  deed = "create"
	replace deed = "replace"
	remove  deed = "remove"
)

// change is one call that brings the hooks nearer to what is wanted.
type change struct {
	deed  deed
	event string
	// id is the hook that is replaced or removed.
	id string
	// why says what was wrong, in a word or two.
	why string
	// mends tells that the hook was out of order, rather than in order with the password
	// of before.
	mends bool
}

// missing is the standing of an event that no hook tells of.
const missing item.HookStatus = "missing"

// standing is how one event fares.
type standing struct {
	event  string
	status item.HookStatus
	// byHand tells that a hook serves it that is none of ours.
	byHand bool
	// until is when it may be mended again; zero: now.
	until time.Time
}

// decision is what follows from a list.
type decision struct {
	standings []standing
	// changes are in the order in which they are to be made: what removes comes last, so
	// that there is no moment without a hook.
	changes []change
	// known is what is remembered from here on, before what was until now.
	known, before known
	// missed tells that events may not have been told.
	missed bool
}

// compare decides what to do about a whole list of hooks.
func compare(w want, listed []item.Hook, k known, now time.Time) decision {
	d := decision{known: known{Hooks: map[string]written{}}}
	own := map[string][]item.Hook{}
	for _, h := range listed {
		if w.owns(h, k) {
			own[h.Event] = append(own[h.Event], h)
			// One that is taken over has a password that is not known.
			d.known.Hooks[h.ID] = cmp.Or(k.Hooks[h.ID], written{Event: h.Event})
		}
	}
	for id, one := range k.Hooks {
		if _, there := d.known.Hooks[id]; !there && now.Sub(one.At).Abs() < settling && !slices.ContainsFunc(listed, func(h item.Hook) bool { return h.ID == id }) {
			d.known.Hooks[id] = one
		}
	}
	for _, event := range events() {
		d.judge(w, event, own[event], listed, now)
	}
	slices.SortStableFunc(d.changes, func(a, b change) int { return cmp.Compare(turn(a.deed), turn(b.deed)) })
	return d
}

func turn(d deed) int { return slices.Index([]deed{replace, create, remove}, d) }

// owns tells whether a hook is Tandem's to change: it is of the project, and it was
// noted as ours or posts to our address. Nothing else is.
func (w want) owns(h item.Hook, k known) bool {
	if !slices.Contains(events(), h.Event) || !strings.EqualFold(h.ProjectID, w.project) {
		return false
	}
	_, noted := k.Hooks[h.ID]
	return noted || h.URL == w.address || (h.URL != "" && h.URL == k.Begun[h.Event])
}

// judge decides about one event and the hooks of ours that tell of it.
func (d *decision) judge(w want, event string, own, listed []item.Hook, now time.Time) {
	var working, resting []item.Hook
	for _, h := range own {
		switch h.Status {
		case item.HookEnabled, item.HookOnProbation, item.HookDisabledBySystem, item.HookDisabledByInactiveIdentity:
			working = append(working, h)
		case item.HookDisabledByUser:
			resting = append(resting, h)
		default:
			// What a status means that nobody has told us of is not ours to guess.
			resting = append(resting, h)
		}
	}
	slices.SortFunc(working, func(a, b item.Hook) int { return w.prefer(a, b, d.known) })
	covered := slices.ContainsFunc(listed, func(h item.Hook) bool { return h.Event == event && w.covers(h, d.known) })
	switch {
	case len(working) > 0 && working[0].Status != item.HookDisabledByInactiveIdentity:
		d.keep(w, working[0], now)
		d.removeAll(working[1:], "a second one")
	case len(resting) > 0:
		// A person decided; a new hook beside it would undo that.
		d.stand(standing{event: event, status: resting[0].Status})
		d.missed = true
	case len(working) > 0 && !covered:
		// A hook acts with the rights of who created it, so another creator is needed.
		d.stand(standing{event: event, status: working[0].Status})
		d.changes = append(d.changes, change{deed: create, event: event, why: "its creator is not active any more", mends: true})
		d.removeAll(working, "its creator is not active any more")
		d.missed = true
	case d.settling(event, own):
		d.stand(standing{event: event, status: item.HookEnabled})
	case covered:
		d.stand(standing{event: event, status: item.HookEnabled, byHand: true})
		d.removeAll(working, "its creator is not active any more")
	default:
		// It is made again also after a person removed it: whoever wants none switches it
		// off, or manageHooks; a list does not tell a removal from a loss.
		d.stand(standing{event: event, status: missing})
		d.changes = append(d.changes, change{deed: create, event: event, why: "there is none", mends: true})
		d.missed = true
	}
}

func (d *decision) stand(s standing) { d.standings = append(d.standings, s) }

func (d *decision) removeAll(hooks []item.Hook, why string) {
	for _, h := range hooks {
		d.changes = append(d.changes, change{deed: remove, event: h.Event, id: h.ID, why: why})
	}
}

// settling tells whether a hook for the event was written just now and is not listed yet.
func (d *decision) settling(event string, own []item.Hook) bool {
	for id, one := range d.known.Hooks {
		if one.Event == event && !slices.ContainsFunc(own, func(h item.Hook) bool { return h.ID == id }) {
			return true
		}
	}
	return false
}

// keep decides what the one hook of an event lacks.
func (d *decision) keep(w want, h item.Hook, now time.Time) {
	note := d.known.Hooks[h.ID]
	s := standing{event: h.Event, status: h.Status}
	var why string
	pressing := false
	switch {
	case h.URL != w.address:
		why, pressing = "it leads to another address", true
	case note.Key == "":
		why, pressing = "its password is not known", true
	case h.Status != item.HookEnabled:
		why = "it is " + string(h.Status)
	case !w.fits(h):
		why = "it was changed"
	}
	mends := why != ""
	if !mends && note.Key != w.key {
		why = "the password is another one"
	}
	// The new password counts at once, whatever else is to wait.
	pressing = pressing || note.Key != w.key
	d.missed = d.missed || mends
	if !mends {
		note.Tries = 0
		d.known.Hooks[h.ID] = note
	}
	if mends && !pressing && !note.At.IsZero() && !note.At.After(now) {
		if until := note.At.Add(note.pause()); now.Before(until) {
			s.until = until
			why = ""
		}
	}
	d.stand(s)
	if why != "" {
		d.changes = append(d.changes, change{deed: replace, event: h.Event, id: h.ID, why: why, mends: mends})
	}
}

// fits tells whether a hook is what is wanted, as far as a list tells.
func (w want) fits(h item.Hook) bool {
	return h.URL == w.address && h.User == w.user && !h.Narrowed && h.Plain
}

// prefer orders hooks of one event by how well they serve: the healthiest first, then
// what needs no change, then the oldest.
func (w want) prefer(a, b item.Hook, k known) int {
	health := func(h item.Hook) int {
		return slices.Index([]item.HookStatus{
			item.HookEnabled, item.HookOnProbation, item.HookDisabledBySystem, item.HookDisabledByInactiveIdentity,
		}, h.Status)
	}
	effort := func(h item.Hook) int {
		if w.fits(h) && k.Hooks[h.ID].Key == w.key {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(health(a), health(b)), cmp.Compare(effort(a), effort(b)), a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
}

// covers tells whether a hook that a person made brings the connector every event of
// its kind by another address that the gateway serves, so that one of ours would only
// bring them twice. One on another host may lead to another Tandem.
func (w want) covers(h item.Hook, k known) bool {
	_, own := k.Hooks[h.ID]
	if own || h.Status != item.HookEnabled || h.Narrowed || h.Bare || (h.ProjectID != "" && !strings.EqualFold(h.ProjectID, w.project)) {
		return false
	}
	to, err := url.Parse(h.URL)
	if err != nil {
		return false
	}
	ours, err := url.Parse(w.address)
	if err != nil || !strings.EqualFold(to.Host, ours.Host) {
		return false
	}
	at, exact := strings.TrimRight(to.Path, "/"), ours.Path
	// At Alvao's own host the callback is that of Alvao's own connector.
	return strings.EqualFold(at, exact) || strings.EqualFold(at, path.Dir(exact)) ||
		(strings.HasSuffix(strings.ToLower(at), callbackPath) && !strings.EqualFold(to.Host, w.deskHost))
}

// callbackPath is where the gateway takes the hooks of Alvao's manual.
const callbackPath = "/connectors/devopscallback"
