package subscription

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

const (
	project = "d54eda2e-82d5-4ec7-b6ea-bb444a5c6a70"
	address = "https://tandem.example/hooks/azure-devops/development"
	updated = "workitem.updated"
)

func wanted() want {
	return want{project: project, address: address, user: "tandem", key: "p1", deskHost: "contoso.onalvao.com"}
}

func noon() time.Time { return time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC) }

// hook is one of ours in order; change may alter it.
func hook(id, event string, change ...func(*item.Hook)) item.Hook {
	h := item.Hook{
		ID: id, Event: event, Status: item.HookEnabled, ProjectID: project, URL: address, User: "tandem", Plain: true, Created: noon().Add(-time.Hour),
	}
	for _, f := range change {
		f(&h)
	}
	return h
}

func status(s item.HookStatus) func(*item.Hook) { return func(h *item.Hook) { h.Status = s } }
func at(address string) func(*item.Hook)        { return func(h *item.Hook) { h.URL = address } }

// others are the hooks of all events but updated, in order and noted in k.
func others(k known) []item.Hook {
	var hooks []item.Hook
	for _, event := range events() {
		if event != updated {
			hooks = append(hooks, hook(event, event))
			k.Hooks[event] = written{Event: event, Key: "p1", At: noon().Add(-time.Hour)}
		}
	}
	return hooks
}

// TestCompare: what follows for one event; the hooks of the others are in order.
func TestCompare(t *testing.T) {
	t.Parallel()
	noted := func(key string, ago time.Duration, tries int) written {
		return written{Event: updated, Key: key, At: noon().Add(-ago), Tries: tries}
	}
	const byHand, callback = "https://tandem.example/hooks/azure-devops", "https://TANDEM.example/AlvaoRestApi/Connectors/DevOpsCallback/"
	for name, tc := range map[string]struct {
		listed []item.Hook
		noted  map[string]written
		begun  string
		want   []string
		missed bool
		status item.HookStatus
	}{
		"in order":                 {[]item.Hook{hook("a", updated)}, map[string]written{"a": noted("p1", time.Hour, 0)}, "", nil, false, item.HookEnabled},
		"none":                     {nil, nil, "", []string{"create"}, true, missing},
		"removed by a person":      {nil, map[string]written{"a": noted("p1", time.Hour, 0)}, "", []string{"create"}, true, missing},
		"not listed yet":           {nil, map[string]written{"a": noted("p1", 30*time.Second, 0)}, "", nil, false, item.HookEnabled},
		"taken over":               {[]item.Hook{hook("a", updated)}, nil, "", []string{"replace a"}, true, item.HookEnabled},
		"another password":         {[]item.Hook{hook("a", updated)}, map[string]written{"a": noted("p0", time.Second, 3)}, "", []string{"replace a"}, false, item.HookEnabled},
		"on probation":             {[]item.Hook{hook("a", updated, status(item.HookOnProbation))}, map[string]written{"a": noted("p1", time.Hour, 0)}, "", []string{"replace a"}, true, item.HookOnProbation},
		"on probation again":       {[]item.Hook{hook("a", updated, status(item.HookOnProbation))}, map[string]written{"a": noted("p1", 3*time.Minute, 1)}, "", nil, true, item.HookOnProbation},
		"off after three tries":    {[]item.Hook{hook("a", updated, status(item.HookDisabledBySystem))}, map[string]written{"a": noted("p1", 15*time.Minute, 3)}, "", nil, true, item.HookDisabledBySystem},
		"off after twenty":         {[]item.Hook{hook("a", updated, status(item.HookDisabledBySystem))}, map[string]written{"a": noted("p1", 61*time.Minute, 20)}, "", []string{"replace a"}, true, item.HookDisabledBySystem},
		"off, another password":    {[]item.Hook{hook("a", updated, status(item.HookDisabledBySystem))}, map[string]written{"a": noted("p0", time.Second, 3)}, "", []string{"replace a"}, true, item.HookDisabledBySystem},
		"off, a clock set back":    {[]item.Hook{hook("a", updated, status(item.HookDisabledBySystem))}, map[string]written{"a": noted("p1", -time.Hour, 1)}, "", []string{"replace a"}, true, item.HookDisabledBySystem},
		"creator left":             {[]item.Hook{hook("a", updated, status(item.HookDisabledByInactiveIdentity))}, map[string]written{"a": noted("p1", time.Hour, 0)}, "", []string{"create", "remove a"}, true, item.HookDisabledByInactiveIdentity},
		"off by a person":          {[]item.Hook{hook("a", updated, status(item.HookDisabledByUser))}, map[string]written{"a": noted("p0", time.Hour, 0)}, "", nil, true, item.HookDisabledByUser},
		"off by a person, moved":   {[]item.Hook{hook("a", updated, status(item.HookDisabledByUser), at("https://before.example"))}, map[string]written{"a": noted("p1", time.Hour, 0)}, "", nil, true, item.HookDisabledByUser},
		"off by one, creator left": {[]item.Hook{hook("a", updated, status(item.HookDisabledByUser)), hook("b", updated, status(item.HookDisabledByInactiveIdentity))}, nil, "", nil, true, item.HookDisabledByUser},
		"a status of tomorrow":     {[]item.Hook{hook("a", updated, status("resting"))}, nil, "", nil, true, "resting"},
		"twice":                    {[]item.Hook{hook("a", updated), hook("b", updated)}, map[string]written{"b": noted("p1", time.Hour, 0)}, "", []string{"remove a"}, false, item.HookEnabled},
		"twice, the healthy one":   {[]item.Hook{hook("a", updated, status(item.HookOnProbation)), hook("b", updated)}, map[string]written{"a": noted("p1", time.Hour, 0)}, "", []string{"replace b", "remove a"}, true, item.HookEnabled},
		"twice, the older one":     {[]item.Hook{hook("a", updated, func(h *item.Hook) { h.Created = noon() }), hook("b", updated)}, nil, "", []string{"replace b", "remove a"}, true, item.HookEnabled},
		"twice, one off":           {[]item.Hook{hook("a", updated), hook("b", updated, status(item.HookDisabledByUser))}, map[string]written{"a": noted("p1", time.Hour, 0)}, "", nil, false, item.HookEnabled},
		"a filter":                 {[]item.Hook{hook("a", updated, func(h *item.Hook) { h.Narrowed = true })}, map[string]written{"a": noted("p1", time.Hour, 0)}, "", []string{"replace a"}, true, item.HookEnabled},
		"another user":             {[]item.Hook{hook("a", updated, func(h *item.Hook) { h.User = "x" })}, map[string]written{"a": noted("p1", time.Hour, 0)}, "", []string{"replace a"}, true, item.HookEnabled},
		"odd":                      {[]item.Hook{hook("a", updated, func(h *item.Hook) { h.Plain = false })}, map[string]written{"a": noted("p1", time.Minute, 1)}, "", nil, true, item.HookEnabled},
		"moved":                    {[]item.Hook{hook("a", updated, at("https://before.example"))}, map[string]written{"a": noted("p1", time.Second, 1)}, "", []string{"replace a"}, true, item.HookEnabled},
		"begun and moved":          {[]item.Hook{hook("a", updated, at("https://before.example"))}, nil, "https://before.example", []string{"replace a"}, true, item.HookEnabled},
		"of another address":       {[]item.Hook{hook("a", updated, at("https://before.example"))}, nil, "", []string{"create"}, true, missing},
		"of another project":       {[]item.Hook{hook("a", updated, func(h *item.Hook) { h.ProjectID = "x" })}, map[string]written{"a": noted("p1", time.Hour, 0)}, "", []string{"create"}, true, missing},
		"of another connector":     {[]item.Hook{hook("a", updated, at("https://tandem.example/hooks/azure-devops/sales"))}, nil, "", []string{"create"}, true, missing},
		"by hand":                  {[]item.Hook{hook("a", updated, at(byHand))}, nil, "", nil, false, item.HookEnabled},
		"by hand, all projects":    {[]item.Hook{hook("a", updated, func(h *item.Hook) { h.ProjectID = "" })}, nil, "", nil, false, item.HookEnabled},
		"by hand, as Alvao":        {[]item.Hook{hook("a", updated, at(callback))}, nil, "", nil, false, item.HookEnabled},
		"by hand, state alone":     {[]item.Hook{hook("a", updated, at(callback), func(h *item.Hook) { h.Narrowed = true })}, nil, "", []string{"create"}, true, missing},
		"by hand, telling nothing": {[]item.Hook{hook("a", updated, at(callback), func(h *item.Hook) { h.Bare = true })}, nil, "", []string{"create"}, true, missing},
		"by hand, off":             {[]item.Hook{hook("a", updated, at(byHand), status(item.HookDisabledBySystem))}, nil, "", []string{"create"}, true, missing},
		"by hand, elsewhere":       {[]item.Hook{hook("a", updated, at("https://test.example/hooks/azure-devops"))}, nil, "", []string{"create"}, true, missing},
		"by hand, another project": {[]item.Hook{hook("a", updated, at(byHand), func(h *item.Hook) { h.ProjectID = "x" })}, nil, "", []string{"create"}, true, missing},
		"ours beside one by hand":  {[]item.Hook{hook("a", updated, at(byHand)), hook("b", updated)}, map[string]written{"b": noted("p1", time.Hour, 0)}, "", nil, false, item.HookEnabled},
		"creator left, by hand":    {[]item.Hook{hook("a", updated, at(byHand)), hook("b", updated, status(item.HookDisabledByInactiveIdentity))}, nil, "", []string{"remove b"}, false, item.HookEnabled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := known{Hooks: map[string]written{}}
			maps.Copy(k.Hooks, tc.noted)
			if tc.begun != "" {
				k.Begun = map[string]string{updated: tc.begun}
			}
			d := compare(wanted(), append(others(k), tc.listed...), k, noon())
			var got []string
			for _, c := range d.changes {
				if c.event != updated || c.why == "" {
					t.Errorf("%+v", c)
				}
				text := string(c.deed)
				if c.id != "" {
					text += " " + c.id
				}
				got = append(got, text)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			if d.missed != tc.missed {
				t.Errorf("missed %v", d.missed)
			}
			at := slices.IndexFunc(d.standings, func(s standing) bool { return s.event == updated })
			if len(d.standings) != 5 || d.standings[at].status != tc.status {
				t.Errorf("%+v", d.standings)
			}
		})
	}
}

// TestAtAlvaosHost: the callback there is that of Alvao's own connector.
func TestAtAlvaosHost(t *testing.T) {
	t.Parallel()
	w, k := wanted(), known{Hooks: map[string]written{}}
	w.deskHost = "tandem.example"
	listed := append(others(k), hook("a", updated, at("https://tandem.example/AlvaoRestApi/Connectors/DevOpsCallback")))
	if d := compare(w, listed, k, noon()); len(d.changes) != 1 || d.changes[0].deed != create {
		t.Errorf("%+v", d.changes)
	}
}

// drawn is any list of hooks, with what is remembered of them.
func drawn(t *rapid.T) ([]item.Hook, known) {
	k := known{Hooks: map[string]written{}, Begun: map[string]string{}}
	addresses := []string{
		address, address, address, "https://before.example/hooks/azure-devops/development", "https://tandem.example/hooks/azure-devops",
		"https://tandem.example/hooks/azure-devops/sales", "https://tandem.example/connectors/devopscallback", "https://elsewhere.example/",
	}
	statuses := []item.HookStatus{
		item.HookEnabled, item.HookEnabled, item.HookOnProbation, item.HookDisabledBySystem, item.HookDisabledByInactiveIdentity, item.HookDisabledByUser, "resting",
	}
	kinds := append(events(), "build.complete")
	var listed []item.Hook
	for n := range rapid.IntRange(0, 12).Draw(t, "hooks") {
		h := item.Hook{
			ID: fmt.Sprintf("h%02d", n), Event: rapid.SampledFrom(kinds).Draw(t, "event"), Status: rapid.SampledFrom(statuses).Draw(t, "status"),
			ProjectID: rapid.SampledFrom([]string{project, project, project, "", "other"}).Draw(t, "project"), URL: rapid.SampledFrom(addresses).Draw(t, "url"),
			User: rapid.SampledFrom([]string{"tandem", "tandem", ""}).Draw(t, "user"), Narrowed: rapid.Bool().Draw(t, "narrowed"), Bare: rapid.Bool().Draw(t, "bare"),
			Plain: rapid.Bool().Draw(t, "plain"), Created: noon().Add(-time.Duration(rapid.IntRange(0, 3).Draw(t, "age")) * time.Hour),
		}
		listed = append(listed, h)
		if rapid.Bool().Draw(t, "noted") {
			k.Hooks[h.ID] = written{
				Event: h.Event, Key: rapid.SampledFrom([]string{"", "p0", "p1"}).Draw(t, "print"),
				At: noon().Add(-time.Duration(rapid.IntRange(-10, 300).Draw(t, "ago")) * time.Minute), Tries: rapid.IntRange(0, 9).Draw(t, "tries"),
			}
		}
	}
	if rapid.Bool().Draw(t, "gone") {
		k.Hooks["gone"] = written{Event: rapid.SampledFrom(events()).Draw(t, "event"), Key: "p1", At: noon().Add(-2 * time.Hour)}
	}
	return listed, k
}

// applied is the list after all changes of a decision were made.
func applied(w want, listed []item.Hook, d decision, now time.Time) ([]item.Hook, known) {
	after, k := slices.Clone(listed), d.known
	for n, c := range d.changes {
		fresh := item.Hook{ID: c.id, Event: c.event, Status: item.HookEnabled, ProjectID: w.project, URL: w.address, User: w.user, Plain: true, Created: now}
		switch c.deed {
		case create:
			fresh.ID = fmt.Sprintf("new%d", n)
			after = append(after, fresh)
			k.Hooks[fresh.ID] = written{Event: c.event, Key: w.key, At: now}
		case replace:
			at := slices.IndexFunc(after, func(h item.Hook) bool { return h.ID == c.id })
			fresh.Created = after[at].Created
			after[at] = fresh
			k.Hooks[c.id] = written{Event: c.event, Key: w.key, At: now, Tries: k.Hooks[c.id].Tries + 1}
		case remove:
			after = slices.DeleteFunc(after, func(h item.Hook) bool { return h.ID == c.id })
			delete(k.Hooks, c.id)
		}
	}
	return after, k
}

// TestCompareProperties: whatever is listed, only our own is touched, what a person
// switched off is not, nothing is made beside it, the changes lead to one hook an event,
// and there is nothing to do after them.
func TestCompareProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := wanted()
		listed, k := drawn(t)
		d := compare(w, listed, k, noon())
		removing := false
		for _, c := range d.changes {
			removing = removing || c.deed == remove
			if removing != (c.deed == remove) {
				t.Fatalf("something follows a removal: %+v", d.changes)
			}
			if c.deed == create {
				for _, h := range listed {
					_, noted := k.Hooks[h.ID]
					if (noted || h.URL == address) && h.ProjectID == project && h.Event == c.event && (h.Status == item.HookDisabledByUser || h.Status == item.HookEnabled) {
						t.Fatalf("%+v beside %+v", c, h)
					}
				}
				continue
			}
			h := listed[slices.IndexFunc(listed, func(h item.Hook) bool { return h.ID == c.id })]
			_, noted := k.Hooks[h.ID]
			if h.ProjectID != project || (h.URL != address && !noted) || h.Status == item.HookDisabledByUser || h.Status == "resting" || h.Event == "build.complete" {
				t.Fatalf("%+v touches %+v", c, h)
			}
		}
		if slices.ContainsFunc(d.changes, func(c change) bool { return c.mends }) && !d.missed {
			t.Fatal("nobody looks for what was missed")
		}
		// Two hours later every pause is over.
		later := noon().Add(2 * time.Hour)
		after, known := applied(w, listed, d, noon())
		second := compare(w, after, known, later)
		after, known = applied(w, after, second, later)
		if third := compare(w, after, known, later); len(third.changes) > 0 {
			t.Fatalf("it does not come to rest: %+v", third.changes)
		}
		for _, event := range events() {
			working, resting := 0, 0
			for _, h := range after {
				switch {
				case h.Event != event || !w.owns(h, known):
				case h.Status == item.HookDisabledByUser || h.Status == "resting":
					resting++
				case h.Status == item.HookEnabled && w.fits(h):
					working++
				case resting == 0 && h.Status != item.HookDisabledByInactiveIdentity:
					t.Fatalf("%+v is left", h)
				}
			}
			covered := slices.ContainsFunc(after, func(h item.Hook) bool { return h.Event == event && w.covers(h, known) })
			if working > 1 || working == 0 && resting == 0 && !covered {
				t.Fatalf("%d hooks of %s work, %d rest", working, event, resting)
			}
		}
	})
}
