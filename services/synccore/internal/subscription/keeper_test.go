package subscription_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	sandbox "github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	faults "github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/subscription"
)

const updated = "workitem.updated"

// writes counts the changes that were made to subscriptions since the last call.
func (w *world) writes() func() int {
	seen := w.boards.LastWrite()
	return func() int {
		n := 0
		for _, one := range w.boards.WritesSince(seen) {
			if one.Kind == sandbox.WriteSubscription {
				n++
			}
		}
		seen = w.boards.LastWrite()
		return n
	}
}

// wants checks a report.
func wants(t *testing.T, r subscription.Report, severity item.Severity, missed bool, words ...string) {
	t.Helper()
	if r.Missed != missed {
		t.Errorf("missed %v", r.Missed)
	}
	for _, f := range r.Findings {
		all := f.Severity == severity
		for _, part := range words {
			all = all && strings.Contains(f.Detail+" "+f.Remedy, part)
		}
		if all {
			return
		}
	}
	t.Errorf("nothing says %s %q: %+v", severity, words, r.Findings)
}

// TestOnceAndForAll: the hooks are made at the first look, and nothing is done after.
func TestOnceAndForAll(t *testing.T) {
	t.Parallel()
	w := setup(t)
	wants(t, w.once(t), item.OK, true, "All 5")
	w.exact(t)
	changed := w.writes()
	for range 3 {
		w.pass(5 * time.Minute)
		r := w.once(t)
		wants(t, r, item.OK, false, "All 5")
		want := subscription.Statuses()
		want["enabled"] = 5
		if diff := cmp.Diff(want, r.Statuses); diff != "" || len(want) != 7 {
			t.Error(diff)
		}
	}
	if n := changed(); n != 0 {
		t.Errorf("%d changes", n)
	}
}

// TestLookChangesNothing: a check only tells.
func TestLookChangesNothing(t *testing.T) {
	t.Parallel()
	w := setup(t)
	changed := w.writes()
	r := w.keeper().Look(t.Context())
	w.proper(t, r)
	wants(t, r, item.Warning, true, "no service hook", updated)
	if r.Statuses["missing"] != 5 || changed() != 0 {
		t.Errorf("%v", r.Statuses)
	}
	if note, err := w.origins.Note(t.Context(), connector, "hooks"); note != "" || err != nil {
		t.Errorf("noted %q, %v", note, err)
	}
	w.once(t)
	wants(t, w.keeper().Look(t.Context()), item.OK, false, "All 5")
}

// TestRotation: a new password is put into each hook exactly once, as it is where it is
// not known what password a hook has.
func TestRotation(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.once(t)
	ids := func() []string {
		var ids []string
		for _, s := range w.boards.Subscriptions() {
			ids = append(ids, s.ID)
		}
		return ids
	}
	before, changed := ids(), w.writes()
	w.set(func() { w.password = key(2) })
	wants(t, w.once(t), item.OK, false)
	w.exact(t)
	if n := changed(); n != 5 {
		t.Errorf("%d changes", n)
	}
	w.once(t)
	w.forget(t)
	w.once(t)
	w.exact(t)
	if n := changed(); n != 5 {
		t.Errorf("%d changes when nothing is remembered", n)
	}
	w.once(t)
	if n := changed(); n != 0 || !slices.Equal(before, ids()) {
		t.Errorf("%d changes, %v for %v", n, ids(), before)
	}
	if note, err := w.origins.Note(t.Context(), connector, "hooks"); err != nil || note == "" || strings.Contains(note, key(2)) {
		t.Errorf("noted %s, %v", note, err)
	}
}

// TestSickHooks: what deliveries that failed did is undone, at first at once and then
// less and less often.
func TestSickHooks(t *testing.T) {
	t.Parallel()
	for status, words := range map[string]string{"onProbation": "on probation", "disabledBySystem": "switched off by Azure DevOps"} {
		t.Run(status, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			w.once(t)
			w.pass(time.Hour)
			id := w.of(t, updated).ID
			changed, mended := w.writes(), 0
			for range 60 {
				w.status(t, id, status)
				w.pass(time.Minute)
				wants(t, w.once(t), item.Warning, true, updated, words, w.address(), "switche")
				if w.of(t, updated).Status == "enabled" {
					mended++
				}
			}
			// After 1, 5, 13 and 29 minutes.
			if n := changed(); n != mended || n != 4 {
				t.Errorf("%d changes, mended %d times in an hour", n, mended)
			}
			w.status(t, id, "enabled")
			wants(t, w.once(t), item.OK, false)
			w.status(t, id, status)
			w.pass(5 * time.Minute)
			w.once(t)
			w.pass(5 * time.Minute)
			w.once(t)
			w.exact(t)
			if w.of(t, updated).ID != id {
				t.Error("it was not mended but replaced")
			}
		})
	}
}

// TestInactiveCreator: a hook acts with the rights of its creator, so it is replaced.
func TestInactiveCreator(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, event := range eventTypes() {
		w.byHand(t, event, w.address())
	}
	before := w.of(t, updated)
	w.status(t, before.ID, "disabledByInactiveIdentity")
	wants(t, w.once(t), item.OK, true)
	w.exact(t)
	if after := w.of(t, updated); after.ID == before.ID || after.Creator != tandem {
		t.Errorf("%+v", after)
	}
}

// TestNothingGoesBeforeItsSuccessor: while one can't be made or mended, the one that it
// is to take the place of stays.
func TestNothingGoesBeforeItsSuccessor(t *testing.T) {
	t.Parallel()
	w := setup(t)
	sick := w.byHand(t, updated, w.address())
	w.status(t, sick, "disabledByInactiveIdentity")
	w.byHand(t, "workitem.created", w.address())
	w.byHand(t, "workitem.created", w.address())
	for _, method := range []string{"POST", "PUT"} {
		w.disturb(t, faults.Rule{Path: hooksPath, Method: method, Kind: faults.KindStatus, Status: 403})
	}
	w.once(t)
	if n := len(w.boards.Subscriptions()); n != 3 {
		t.Errorf("%d of 3 are left", n)
	}
	w.faults.Clear()
	w.once(t)
	w.exact(t)
}

// TestPersonsDecide: what a person switched off stays off, is told, and is not doubled;
// what a person removed is made again.
func TestPersonsDecide(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.once(t)
	w.pass(time.Hour)
	id := w.of(t, updated).ID
	w.status(t, id, "disabledByUser")
	changed := w.writes()
	for _, change := range []func(){
		func() {}, func() { w.pass(time.Hour) }, func() { w.forget(t) }, func() { w.pass(time.Hour) },
	} {
		change()
		wants(t, w.once(t), item.Warning, true, updated, "by a person", "/_settings/serviceHooks")
		if s := w.of(t, updated); s.ID != id || s.Status != "disabledByUser" {
			t.Fatalf("%+v", s)
		}
	}
	if n := changed(); n != 4 { // the four others, of which nothing was remembered
		t.Errorf("%d changes", n)
	}
	// A password that was replaced meanwhile counts when it is switched on again.
	w.set(func() { w.password = key(2) })
	w.once(t)
	w.status(t, id, "enabled")
	w.once(t)
	w.exact(t)
	w.pass(time.Hour)
	if err := w.boards.As(jana).Unsubscribe(id); err != nil {
		t.Fatal(err)
	}
	wants(t, w.once(t), item.OK, true)
	w.exact(t)
}

// TestListFailures: without a whole list nothing is created or removed.
func TestListFailures(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		rule     faults.Rule
		severity item.Severity
		words    string
	}{
		"away":        {faults.Rule{Kind: faults.KindUnavailable}, item.Error, "none is created"},
		"broken":      {faults.Rule{Kind: faults.KindStatus, Status: 500}, item.Error, "none is created"},
		"slowed down": {faults.Rule{Kind: faults.KindThrottle, RetryAfter: faults.Duration(time.Hour)}, item.Error, "none is created"},
		"cut":         {faults.Rule{Kind: faults.KindCut}, item.Error, "none is created"},
		"empty":       {faults.Rule{Kind: faults.KindStatus, Status: 200, Body: `{}`}, item.Error, "none is created"},
		"in part":     {faults.Rule{Kind: faults.KindStatus, Status: 200, Body: `{"count":5,"value":[]}`}, item.Error, "none is created"},
		"a page":      {faults.Rule{Kind: faults.KindSignIn}, item.Warning, "may not manage"},
		"no right":    {faults.Rule{Kind: faults.KindStatus, Status: 403}, item.Warning, "may not manage"},
		"no scope":    {faults.Rule{Kind: faults.KindStatus, Status: 401}, item.Warning, "may not manage"},
		"not there":   {faults.Rule{Kind: faults.KindStatus, Status: 404}, item.Warning, "may not manage"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			w.byHand(t, updated, w.address())
			w.byHand(t, updated, w.address())
			changed := w.writes()
			tc.rule.Path, tc.rule.Method = hooksPath, "GET"
			w.disturb(t, tc.rule)
			r := w.once(t)
			wants(t, r, tc.severity, false, tc.words)
			if r.Statuses != nil || changed() != 0 {
				t.Errorf("%+v", r)
			}
			w.faults.Clear()
		})
	}
}

// TestWithoutRights: the steps by hand are told, with the real address.
func TestWithoutRights(t *testing.T) {
	t.Parallel()
	steps := []string{
		"https://dev.azure.com/contoso/Alvaoproject/_settings/serviceHooks", "https://tandem.example/hooks/azure-devops/development",
		"user name tandem", "synccore hooks", "manageHooks", "commented on",
	}
	w := setup(t)
	w.set(func() { w.token = "manual" })
	wants(t, w.once(t), item.Warning, false, steps...)
	if len(w.boards.Subscriptions()) != 0 {
		t.Error("hooks were made")
	}
	// It may be allowed to see them and not to make them.
	w.set(func() { w.token = "all" })
	w.disturb(t, faults.Rule{Path: hooksPath, Method: "POST", Kind: faults.KindStatus, Status: 403})
	r := w.once(t)
	wants(t, r, item.Warning, true, steps...)
	if len(r.Findings) != 1 || r.Statuses["missing"] != 5 {
		t.Errorf("%+v", r)
	}
	w.faults.Clear()
	w.once(t)
	w.exact(t)
}

// TestLostReply: a hook whose creation was not answered is found by the next list, also
// when the address has changed since.
func TestLostReply(t *testing.T) {
	t.Parallel()
	for _, moved := range []bool{false, true} {
		w := setup(t)
		w.disturb(t, faults.Rule{Path: hooksPath, Method: "POST", Kind: faults.KindLostReply, Skip: 1, Count: 1})
		wants(t, w.once(t), item.Warning, true, "could not be put in order")
		if n := len(w.boards.Subscriptions()); n != 2 {
			t.Fatalf("%d were made after an answer got lost", n)
		}
		if moved {
			w.set(func() { w.public = "https://elsewhere.example" })
		}
		w.once(t)
		w.exact(t)
		if n := len(w.boards.Subscriptions()); n != 5 {
			t.Errorf("moved %v: %d", moved, n)
		}
	}
}

// TestMoved: when the address changes, the hooks go along.
func TestMoved(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.once(t)
	w.set(func() { w.public = "https://elsewhere.example" })
	changed := w.writes()
	w.once(t)
	w.exact(t)
	if n := changed(); n != 5 || len(w.boards.Subscriptions()) != 5 {
		t.Errorf("%d changes, %+v", n, w.boards.Subscriptions())
	}
}

// TestByHand: what a person set up at our address is taken over, at another one that
// leads here it is left alone and not doubled.
func TestByHand(t *testing.T) {
	t.Parallel()
	w := setup(t)
	filtered := w.byHand(t, updated, w.address(), func(publisher, consumer map[string]string) {
		publisher["changedFields"] = "System.State"
		consumer["messagesToSend"] = "all"
	})
	w.byHand(t, "workitem.created", w.address())
	w.byHand(t, "workitem.created", w.address())
	other := w.byHand(t, "workitem.deleted", w.public+"/hooks/azure-devops")
	before := w.boards.Subscriptions()
	wants(t, w.once(t), item.OK, true, "a person set 1")
	if w.of(t, updated).ID != filtered {
		t.Error("it was replaced")
	}
	if n := len(w.at(w.address())); n != 4 {
		t.Errorf("%d at our address", n)
	}
	at := func(all []sandbox.Subscription) sandbox.Subscription {
		return all[slices.IndexFunc(all, func(s sandbox.Subscription) bool { return s.ID == other })]
	}
	if diff := cmp.Diff(at(before), at(w.boards.Subscriptions())); diff != "" {
		t.Error(diff)
	}
	w.status(t, other, "disabledBySystem")
	w.once(t)
	w.exact(t)
}

// TestReplicas: several at once make no more than one does.
func TestReplicas(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.disturb(t, faults.Rule{Path: hooksPath, Kind: faults.KindPass, ReplyDelay: faults.Duration(5 * time.Millisecond)})
	changed := w.writes()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if r := w.once(t); r.Findings[0].Severity != item.OK {
				t.Errorf("%+v", r)
			}
		})
	}
	all.Wait()
	w.exact(t)
	if n := changed(); n != 5 {
		t.Errorf("%d changes", n)
	}
}

// TestBadSecret: a secret that can't be used is told, and nothing is done.
func TestBadSecret(t *testing.T) {
	t.Parallel()
	w := setup(t)
	k := w.keeper()
	k.Password = func() (string, error) { return "", errors.New("no secret") }
	r := k.Once(t.Context())
	w.proper(t, r)
	wants(t, r, item.Warning, false, "hook secret")
	if len(w.boards.Subscriptions()) != 0 {
		t.Error("hooks were made")
	}
}
