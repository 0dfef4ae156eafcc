package connector_test

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	standazure "github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	standfault "github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/config"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
	"github.com/tandem-sync/tandem/services/synccore/internal/secret"
	"github.com/tandem-sync/tandem/services/synccore/internal/subscription"
)

// managed has Tandem see to the service hooks, with the hook secret in the file hook.
func (r *replica) managed(c *config.Connector, _ *mapping.Settings) {
	c.AzureDevOps.Hooks = config.Hooks{PublicURL: "https://tandem.example", Secret: secret.Ref{File: filepath.Join(r.dir, "hook")}}
}

// passwords are those of the service hooks, each once.
func (r *replica) passwords(t *testing.T) []string {
	t.Helper()
	found := map[string]bool{}
	for _, s := range r.boards.Subscriptions() {
		password, err := r.boards.SubscriptionPassword(s.ID)
		if err != nil {
			t.Fatal(err)
		}
		found[password] = true
	}
	return slices.Sorted(maps.Keys(found))
}

// TestHooksAreSeenTo: at the start of several replicas the service hooks are made once,
// a new secret is put into them, and a check tells how they fare and changes nothing.
func TestHooksAreSeenTo(t *testing.T) {
	t.Parallel()
	r := setup(t)
	write(t, r.dir, "hook", "first")
	another := newReplica(t, r.systems, r.store, r.dir)
	another.apply(t, another.settings(t, name, another.managed))
	r.apply(t, r.settings(t, name, r.managed))
	all := subscription.Statuses()
	all["enabled"] = 5
	for _, one := range []*replica{r, another} {
		eventually(t, "all hooks are on", func() bool {
			summary, _ := one.set.Get(name)
			return maps.Equal(summary.Hooks, all) && summary.Degraded == ""
		})
	}
	if subs := r.boards.Subscriptions(); len(subs) != 5 || subs[0].URL != "https://tandem.example/hooks/azure-devops/development" {
		t.Errorf("%+v", subs)
	}
	changes := len(r.log.lines(t, "hooks.changed")) + len(another.log.lines(t, "hooks.changed"))
	if changes != 5 {
		t.Errorf("%d changes are logged", changes)
	}

	write(t, r.dir, "hook", "second")
	r.apply(t, r.settings(t, name, r.managed))
	eventually(t, "the new password is there", func() bool { return slices.Equal(r.passwords(t), []string{"second"}) })

	// An hour later it may be mended again.
	r.ahead.Store(int64(time.Hour))
	id := r.boards.Subscriptions()[1].ID
	if err := r.boards.SetSubscriptionStatus(id, "disabledBySystem"); err != nil {
		t.Fatal(err)
	}
	found, err := r.set.Check(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(found, func(f item.Finding) bool {
		return f.Check == "azure-devops.hooks" && f.Severity == item.Warning && strings.Contains(f.Detail, "switched off by Azure DevOps")
	}) {
		t.Errorf("%+v", found)
	}
	// The look that gave the new password may still be telling what it saw before.
	eventually(t, "the check is told", func() bool {
		if _, err := r.set.Check(t.Context(), name); err != nil {
			t.Error(err)
		}
		summary, _ := r.set.Get(name)
		return strings.Contains(summary.Degraded, "switched off by Azure DevOps") && summary.Hooks["disabled_by_system"] == 1
	})
	if status := r.boards.Subscriptions()[1].Status; status != "disabledBySystem" {
		t.Errorf("a check made it %s", status)
	}
	for _, one := range []*replica{r, another} {
		if text := one.log.text.String(); strings.Contains(text, "first") || strings.Contains(text, "second\"") {
			t.Error("a password is logged")
		}
	}
}

// TestMissedEventsAreLookedFor: a hook that was switched off may have kept events back,
// so that work items are polled as soon as that is seen, although a poll is not due.
func TestMissedEventsAreLookedFor(t *testing.T) {
	t.Parallel()
	r := setup(t)
	write(t, r.dir, "hook", "first")
	r.apply(t, r.settings(t, name, r.managed))
	r.ready(t, name)
	ticket := r.ticket(t, "Development")
	r.hint(t, name, ticket)
	eventually(t, "the ticket is linked", r.linked(t, name, ticket))
	r.quiet(t)
	// Of the hooks at an address that nobody answers, one is off and tells nothing.
	for _, s := range r.boards.Subscriptions() {
		if err := r.boards.SetSubscriptionStatus(s.ID, "disabledBySystem"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.boards.As("jana.dvorakova@contoso.com").SetState(int(r.link(t, name, ticket).WorkItem), "Doing"); err != nil {
		t.Fatal(err)
	}
	before, err := r.origins.Cursor(t.Context(), name, "changes-at")
	if err != nil {
		t.Fatal(err)
	}
	write(t, r.dir, "hook", "second") // the look that follows is the signal
	r.apply(t, r.settings(t, name, r.managed))
	eventually(t, "the work items are polled", func() bool {
		at, err := r.origins.Cursor(t.Context(), name, "changes-at")
		return err == nil && at != before
	})
	eventually(t, "the change has arrived", func() bool { return r.link(t, name, ticket).Agreed.Status == "Development pending" })
}

// TestHooksWithoutRights: all else works, and the health tells what a person may do.
func TestHooksWithoutRights(t *testing.T) {
	t.Parallel()
	r := setup(t, func(o *standazure.Options) {
		o.Tokens = []standazure.Token{{Secret: "sandbox-pat", Owner: "tandem@contoso.com", Rights: standazure.WorkItems}}
	})
	write(t, r.dir, "hook", "first")
	r.apply(t, r.settings(t, name, r.managed))
	r.ready(t, name)
	ticket := r.ticket(t, "Development")
	r.hint(t, name, ticket)
	eventually(t, "the ticket is linked", r.linked(t, name, ticket))
	eventually(t, "the steps are told", func() bool {
		summary, _ := r.set.Get(name)
		return strings.Contains(summary.Degraded, "https://tandem.example/hooks/azure-devops/development") && len(summary.Refusals) == 0
	})
	if n := len(r.boards.Subscriptions()); n != 0 {
		t.Errorf("%d hooks", n)
	}
}

// TestHooksUnlisted: without a list nothing is made, and what was known stays known.
func TestHooksUnlisted(t *testing.T) {
	t.Parallel()
	r := setup(t)
	write(t, r.dir, "hook", "first")
	r.disturb(t, standfault.Rule{Path: "/azuredevops/contoso/_apis/hooks/**", Kind: standfault.KindStatus, Status: 500})
	r.apply(t, r.settings(t, name, r.managed))
	r.ready(t, name)
	found, err := r.set.Check(t.Context(), name)
	if err != nil || !slices.ContainsFunc(found, func(f item.Finding) bool {
		return f.Severity == item.Error && strings.Contains(f.Detail, "none is created")
	}) {
		t.Errorf("%+v, %v", found, err)
	}
	if summary, _ := r.set.Get(name); summary.Degraded != "" || summary.Hooks != nil || len(r.boards.Subscriptions()) != 0 {
		t.Error(fmt.Sprint(summary.Degraded, summary.Hooks))
	}
}

// deskManaged has Tandem see to the webhooks at Alvao, with their token in the file hook.
func (r *replica) deskManaged(c *config.Connector, _ *mapping.Settings) {
	c.Alvao.Hooks = config.Hooks{PublicURL: "https://tandem.example", Secret: secret.Ref{File: filepath.Join(r.dir, "hook")}}
}

// deskHooks are the addresses that the webhooks at Alvao post to, each with the status
// that it tells of.
func (r *replica) deskHooks() []string {
	var all []string
	for _, h := range r.desk.Webhooks() {
		all = append(all, h.Status+" "+h.URL)
	}
	slices.Sort(all)
	return all
}

// TestDeskHooksAreSeenTo: the webhooks at Alvao are made once by several replicas, get a
// new token, are told of by a check, and go with the connector.
func TestDeskHooksAreSeenTo(t *testing.T) {
	t.Parallel()
	r := setup(t)
	write(t, r.dir, "hook", "first")
	another := newReplica(t, r.systems, r.store, r.dir)
	another.apply(t, another.settings(t, name, another.deskManaged))
	r.apply(t, r.settings(t, name, r.deskManaged))
	with := func(token string) []string {
		at := " https://tandem.example/hooks/alvao/development/" + token
		return []string{"Development" + at, "Development pending" + at, "Testing" + at}
	}
	eventually(t, "the webhooks are made", func() bool { return slices.Equal(r.deskHooks(), with("first")) })
	// Whoever has the turn at the moment sees to them, and the others look minutes later.
	another.leave()
	write(t, r.dir, "hook", "second")
	r.apply(t, r.settings(t, name, r.deskManaged))
	eventually(t, "the new token is there", func() bool { return slices.Equal(r.deskHooks(), with("second")) })
	found, err := r.set.Check(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(found, func(f item.Finding) bool { return f.Check == "alvao.webhooks" && f.Severity == item.OK }) {
		t.Errorf("%+v", found)
	}
	if summary, _ := r.set.Get(name); strings.Contains(summary.Degraded, "Alvao takes") {
		t.Errorf("degraded: %s", summary.Degraded)
	}
	// A status that Alvao does not know is told, and the rest works.
	wrong := func(c *config.Connector, s *mapping.Settings) {
		r.deskManaged(c, s)
		s.StatusMap[2].Status = "Tseting"
	}
	r.apply(t, r.settings(t, name, wrong))
	eventually(t, "it is degraded", func() bool {
		summary, _ := r.set.Get(name)
		return strings.Contains(summary.Degraded, `"Tseting"`)
	})
	r.apply(t)
	eventually(t, "none is left", func() bool { return len(r.deskHooks()) == 0 })
}
