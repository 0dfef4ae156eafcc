package connector_test

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	standazure "github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	standfault "github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/config"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
)

// A token that is refused, in either of the ways in which Azure DevOps says so: few
// calls, nothing given up, the other connectors go on, and a new token heals it.
func TestRefusedToken(t *testing.T) {
	t.Parallel()
	for _, way := range []struct {
		name    string
		options standazure.Options
	}{{"203 and a sign-in page", standazure.Options{}}, {"401", standazure.Options{Refuse401: true}}} {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, dir, "pat", "old-pat")
			write(t, dir, "other-pat", "sandbox-pat")
			write(t, dir, "password", "tandem")
			r := newReplica(t, startSystems(t, way.options), redistest.Embedded(t), dir)
			r.boards.AddToken(standazure.Token{Secret: "old-pat", Owner: "tandem@contoso.com", Rights: standazure.AllRights})
			r.boards.AddToken(standazure.Token{Secret: "sandbox-pat", Owner: "tandem@contoso.com", Rights: standazure.AllRights})
			well := func(c *config.Connector, s *mapping.Settings) {
				c.Token.File, s.URL = filepath.Join(dir, "other-pat"), r.url+"/azuredevops/contoso/Other"
			}
			r.boards.AddProject(standazure.Project{Name: "Other"})
			r.apply(t, r.settings(t, name), r.settings(t, "support", well))
			r.ready(t, name)
			r.ready(t, "support")
			r.quiet(t)
			r.boards.RevokeToken("old-pat")

			before := r.calls.of("azuredevops")
			var waiting []int64
			for range 20 {
				waiting = append(waiting, r.ticket(t, "Development"))
			}
			r.hint(t, name, waiting[0])
			eventually(t, "the connector is unhealthy", func() bool { return slices.Equal(r.refused(name), []item.System{item.AzureDevOps}) })
			r.quiet(t)
			desk := r.calls.of("AlvaoRestApi")
			for _, ticket := range waiting {
				r.hint(t, name, ticket)
			}
			eventually(t, "everything waits", func() bool { return r.stats(t).Waiting == int64(len(waiting)) })
			r.quiet(t)
			if n := r.calls.of("azuredevops") - before; n > 3 {
				t.Errorf("%d calls with a token that is refused", n)
			}
			if n := r.calls.of("AlvaoRestApi") - desk; n > 0 {
				t.Errorf("%d calls of the other system for work that can't be done", n)
			}
			if stats := r.stats(t); stats.Dead != 0 {
				t.Errorf("%+v", stats)
			}
			summary, _ := r.set.Get(name)
			if text, since := summary.Unhealthy(); !strings.Contains(text, "access token") || since.IsZero() || strings.Contains(text, "old-pat") {
				t.Errorf("reason %q since %s", text, since)
			}
			held, _, err := r.inbox.List(t.Context(), name, inbox.Waiting, 100, "")
			if err != nil || len(held) != len(waiting) || !held[0].Held || held[0].Failures != 0 {
				t.Errorf("waiting %+v, %v", held, err)
			}
			// Another connector is none the worse.
			theirs := r.ticket(t, "Development")
			r.hint(t, "support", theirs)
			eventually(t, "the other connector works", r.linked(t, "support", theirs))
			if len(r.refused("support")) != 0 {
				t.Error("the other connector is called unhealthy")
			}

			// Reading the configuration again with the same bad token changes nothing.
			r.apply(t, r.settings(t, name), r.settings(t, "support", well))
			write(t, dir, "pat", "sandbox-pat")
			began := time.Now()
			r.apply(t, r.settings(t, name), r.settings(t, "support", well))
			eventually(t, "the connector is healthy", func() bool { return len(r.refused(name)) == 0 })
			for _, ticket := range waiting {
				eventually(t, "a ticket that waited has a work item", r.linked(t, name, ticket))
			}
			// By themselves held items come after 15 s at the earliest.
			if took := time.Since(began); took > 12*time.Second {
				t.Errorf("what was held was let go after %s", took)
			}
			if stats := r.stats(t); stats.Dead != 0 {
				t.Errorf("%+v", stats)
			}
			if n := len(r.log.lines(t, "connector.unhealthy")); n != 1 {
				t.Errorf("told %d times that it is unhealthy", n)
			}
		})
	}
}

// Each system stands for itself: that one answers does not clear the other.
func TestBothTokensRefused(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.apply(t, r.settings(t, name))
	r.ready(t, name)
	ticket := r.ticket(t, "Development")
	r.hint(t, name, ticket)
	eventually(t, "the ticket has a work item", r.linked(t, name, ticket))
	r.quiet(t)
	write(t, r.dir, "pat", "wrong")
	write(t, r.dir, "password", "wrong")
	r.hint(t, name, ticket)
	both := []item.System{item.Alvao, item.AzureDevOps}
	// Which is noticed first is a matter of chance, and what is noticed first ends the
	// round; a look finds the other.
	eventually(t, "one is refused", func() bool { return len(r.refused(name)) > 0 })
	if r.refused(name)[0] == item.Alvao && len(r.refused(name)) == 1 {
		write(t, r.dir, "password", "tandem")
		r.apply(t, r.settings(t, name))
		eventually(t, "the other is refused", func() bool { return slices.Contains(r.refused(name), item.AzureDevOps) })
		write(t, r.dir, "password", "wrong")
	}
	if !slices.Contains(r.refused(name), item.AzureDevOps) {
		t.Fatalf("refused %v of %v", r.refused(name), both)
	}
	write(t, r.dir, "password", "tandem")
	r.apply(t, r.settings(t, name))
	eventually(t, "Alvao accepts it", func() bool { return slices.Equal(r.refused(name), []item.System{item.AzureDevOps}) })
	eventually(t, "the work waits", func() bool { return r.stats(t).Waiting == 1 })
	write(t, r.dir, "pat", "sandbox-pat")
	r.apply(t, r.settings(t, name))
	eventually(t, "the work is done", func() bool { return r.stats(t).Items() == 0 })
}

// With a token that is refused from the start, a connector never becomes ready, and
// does not knock.
func TestRefusedFromTheStart(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		file, right string
		system      item.System
	}{{"pat", "sandbox-pat", item.AzureDevOps}, {"password", "tandem", item.Alvao}} {
		t.Run(string(tc.system), func(t *testing.T) {
			t.Parallel()
			r := setup(t)
			write(t, r.dir, tc.file, "wrong")
			away := func(_ *config.Connector, s *mapping.Settings) { s.URL = r.url + "/azuredevops/away/Alvaoproject" }
			r.disturb(t, standfault.Rule{Path: "/azuredevops/away/**", Kind: standfault.KindUnavailable})
			r.apply(t, r.settings(t, name), r.settings(t, "away", away))
			eventually(t, "it is unhealthy", func() bool { return slices.Equal(r.refused(name), []item.System{tc.system}) })
			ticket := r.ticket(t, "New")
			r.hint(t, name, ticket)
			eventually(t, "the hint waits", func() bool { return r.stats(t).Waiting == 1 })
			// One whose system is merely away is tried again and again meanwhile.
			tries := func(connector string) int {
				n := 0
				for _, line := range r.log.lines(t, "connector.prepare") {
					if line["connector"] == connector {
						n++
					}
				}
				return n
			}
			eventually(t, "the other one was tried often", func() bool { return tries("away") >= 4 })
			if tries(name) != 1 {
				t.Errorf("tried %d times with a token that is refused", tries(name))
			}
			write(t, r.dir, tc.file, tc.right)
			r.apply(t, r.settings(t, name))
			r.ready(t, name)
			eventually(t, "the hint is served", func() bool { return r.stats(t).Items() == 0 })
			if len(r.refused(name)) != 0 {
				t.Errorf("refused %v", r.refused(name))
			}
		})
	}
}

// TestServiceHookOnProbationDegrades: a service hook on probation or switched off makes
// the connector degraded, though it is healthy, until the hook works again
// (azure-devops.md §8, 22).
func TestServiceHookOnProbationDegrades(t *testing.T) {
	t.Parallel()
	// The first retry of a hook on probation comes after 1.2 s in place of 20 minutes.
	r := setup(t, func(o *standazure.Options) { o.Hooks.RetryScale = 0.001 })
	var status atomic.Int64
	status.Store(http.StatusOK)
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(status.Load())) }))
	t.Cleanup(gateway.Close)
	const developer = "jana.dvorakova@contoso.com"
	if _, err := r.boards.As(developer).Subscribe("workitem.created", nil, map[string]string{"url": gateway.URL + "/hooks/azure-devops/" + name}); err != nil {
		t.Fatal(err)
	}
	r.apply(t, r.settings(t, name))
	shows := func(when string, want ...string) {
		t.Helper()
		eventually(t, when, func() bool {
			if _, err := r.set.Check(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			summary, _ := r.set.Get(name)
			if reason, _ := summary.Unhealthy(); reason != "" {
				t.Fatalf("%s it is unhealthy: %s", when, reason)
			}
			all := (summary.Degraded == "") == (len(want) == 0)
			for _, part := range want {
				all = all && strings.Contains(summary.Degraded, part)
			}
			return all
		})
	}
	create := func() {
		t.Helper()
		if _, err := r.boards.As(developer).Create("Alvaoproject", "Task", "x"); err != nil {
			t.Fatal(err)
		}
	}
	shows("while the hook is on")
	status.Store(http.StatusInternalServerError)
	create()
	shows("while the hook is on probation", "workitem.created", "on probation")
	status.Store(http.StatusOK)
	shows("when a retry succeeded")
	status.Store(http.StatusGone)
	create()
	shows("when the hook is switched off", "workitem.created", "switched off")
}

// TestNobodyIsHealthyUnasked: before both systems have answered, a connector does not count
// as checked, so that one with a refused token is at no moment called healthy.
func TestNobodyIsHealthyUnasked(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"good-pat", "bad-pat"} {
		t.Run(token, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, dir, "pat", token)
			write(t, dir, "password", "tandem")
			r := newReplica(t, startSystems(t, standazure.Options{}), redistest.Embedded(t), dir)
			r.boards.AddToken(standazure.Token{Secret: "good-pat", Owner: "tandem@contoso.com", Rights: standazure.AllRights})
			r.apply(t, r.settings(t, "development"))
			eventually(t, "the connector was asked about", func() bool {
				summary, ok := r.set.Get("development")
				refused := len(summary.Refusals) > 0
				if summary.Checked && !refused && token == "bad-pat" {
					t.Error("it is called healthy with a token that is refused")
				}
				if refused && token == "good-pat" {
					t.Error("its token is called refused")
				}
				return ok && (summary.Checked || refused)
			})
		})
	}
}
