package subscription_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	sandbox "github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	faults "github.com/tandem-sync/tandem/services/sandbox/fault"
)

// history is one random sequence of what people, the systems and misfortune do.
type history struct {
	*world

	random *rand.Rand
	// strangers are hooks that are none of Tandem's, as they are to stay.
	strangers map[string]sandbox.Subscription
	// planted are those that were there from the start.
	planted map[string]bool
	// resting are hooks that a person switched off.
	resting map[string]bool
	keys    int
	told    []string
}

// ours are the hooks that Tandem made or may take over.
func (h *history) ours() []sandbox.Subscription {
	return slices.DeleteFunc(h.boards.Subscriptions(), func(s sandbox.Subscription) bool { _, strange := h.strangers[s.ID]; return strange })
}

func (h *history) one() (sandbox.Subscription, bool) {
	all := h.ours()
	if len(all) == 0 {
		return sandbox.Subscription{}, false
	}
	return all[h.random.IntN(len(all))], true
}

// plant puts hooks there that must not be touched.
func (h *history) plant(t *testing.T) {
	t.Helper()
	other := h.boards.AddProject(sandbox.Project{Name: "Other"})
	inProject := func(id string) func(map[string]string, map[string]string) {
		return func(publisher, _ map[string]string) { publisher["projectId"] = id }
	}
	ids := []string{
		h.byHand(t, updated, h.public+"/hooks/azure-devops/sales"),
		h.byHand(t, updated, "https://test.example/hooks/azure-devops/development"),
		h.byHand(t, updated, h.public+"/AlvaoRestApi/Connectors/DevOpsCallback", func(publisher, consumer map[string]string) {
			publisher["changedFields"], consumer["resourceDetailsToSend"] = "System.State", "none"
		}),
		h.byHand(t, "workitem.created", h.address(), inProject(other)),
		h.byHand(t, "workitem.deleted", "https://ci.example/hook"),
		h.byHand(t, "workitem.restored", "https://ci.example/broken"),
	}
	h.status(t, ids[5], "disabledBySystem")
	for _, s := range h.boards.Subscriptions() {
		h.strangers[s.ID], h.planted[s.ID] = s, true
	}
}

// estrange makes strangers of hooks at another address that nothing is remembered of:
// nobody can tell whose they are. At the present address they are ours again.
func (h *history) estrange(t *testing.T) {
	t.Helper()
	note, err := h.origins.Note(t.Context(), connector, "hooks")
	if err != nil {
		t.Fatal(err)
	}
	var noted struct {
		Hooks map[string]any
		Begun map[string]string
	}
	if note != "" {
		if err := json.Unmarshal([]byte(note), &noted); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range h.boards.Subscriptions() {
		_, strange := h.strangers[s.ID]
		switch {
		case h.planted[s.ID]:
		case s.URL == h.address():
			delete(h.strangers, s.ID)
			if s.Status == "disabledByUser" {
				h.resting[s.ID] = true
			}
		case !strange && noted.Hooks[s.ID] == nil && noted.Begun[s.EventType] != s.URL:
			h.strangers[s.ID] = s
			delete(h.resting, s.ID)
		}
	}
}

// untouched checks that strangers are as they were.
func (h *history) untouched(t *testing.T) {
	t.Helper()
	for _, s := range h.boards.Subscriptions() {
		if was, strange := h.strangers[s.ID]; strange {
			if diff := cmp.Diff(was, s); diff != "" {
				t.Errorf("a stranger was changed: %s", diff)
			}
		}
	}
	present := len(h.boards.Subscriptions()) - len(h.ours())
	if present != len(h.strangers) {
		t.Errorf("%d of %d strangers are there", present, len(h.strangers))
	}
}

func (h *history) rule(t *testing.T, rule faults.Rule) {
	t.Helper()
	rule.Path = hooksPath
	h.disturb(t, rule)
}

// step is one event of the history.
func (h *history) step(t *testing.T) string {
	t.Helper()
	set := func(status string) string {
		s, ok := h.one()
		if !ok || s.Status == "disabledByUser" {
			return "nothing"
		}
		h.status(t, s.ID, status)
		return status + " " + s.EventType
	}
	switch h.random.IntN(15) {
	case 0:
		h.once(t)
		return "restart"
	case 1:
		h.forget(t)
		h.estrange(t)
		return "wiped"
	case 2:
		h.keys++
		h.set(func() { h.password = key(h.keys) })
		return "rotation"
	case 3:
		s, ok := h.one()
		if !ok {
			return "nothing"
		}
		h.status(t, s.ID, "disabledByUser")
		h.resting[s.ID] = true
		return "disabledByUser " + s.EventType
	case 4:
		for id := range h.resting {
			h.status(t, id, "enabled")
			delete(h.resting, id)
			return "switched on again"
		}
		return "nothing"
	case 5:
		return set("disabledBySystem")
	case 6:
		return set("onProbation")
	case 7:
		return set("disabledByInactiveIdentity")
	case 8:
		s, ok := h.one()
		if !ok {
			return "nothing"
		}
		if err := h.boards.As(jana).Unsubscribe(s.ID); err != nil {
			t.Fatal(err)
		}
		delete(h.resting, s.ID)
		return "removed " + s.EventType
	case 9:
		event := eventTypes()[h.random.IntN(5)]
		h.byHand(t, event, h.address(), func(publisher, _ map[string]string) {
			if h.random.IntN(2) == 0 {
				publisher["workItemType"] = "Task"
			}
		})
		return "doubled " + event
	case 10:
		kinds := []faults.Rule{
			{Kind: faults.KindUnavailable},
			{Kind: faults.KindCut},
			{Kind: faults.KindSignIn},
			{Kind: faults.KindStatus, Status: 403},
			{Kind: faults.KindStatus, Status: 200, Body: `{"count":0}`},
			{Kind: faults.KindStatus, Status: 200, Body: `{"count":9,"value":[]}`},
		}
		rule := kinds[h.random.IntN(len(kinds))]
		rule.Method = "GET"
		h.rule(t, rule)
		before := h.boards.Subscriptions()
		h.once(t)
		if diff := cmp.Diff(before, h.boards.Subscriptions()); diff != "" {
			t.Errorf("without a list: %s", diff)
		}
		h.faults.Clear()
		return "listing failure"
	case 11:
		method := []string{"POST", "PUT", "DELETE"}[h.random.IntN(3)]
		h.rule(t, faults.Rule{Method: method, Kind: faults.KindLostReply, Skip: h.random.IntN(3), Count: 1})
		h.once(t)
		h.faults.Clear()
		return "reply lost to " + method
	case 12:
		if h.random.IntN(2) == 0 {
			h.set(func() { h.token = "manual" })
		} else {
			h.rule(t, faults.Rule{Method: []string{"POST", "PUT", "DELETE"}[h.random.IntN(3)], Kind: faults.KindStatus, Status: 403})
		}
		h.once(t)
		h.set(func() { h.token = "all" })
		h.faults.Clear()
		return "no right"
	case 13:
		h.set(func() { h.public = fmt.Sprintf("https://tandem%d.example", h.random.IntN(3)) })
		h.estrange(t)
		return "moved to " + h.public
	default:
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() { h.once(t) })
		}
		both.Wait()
		h.noneDoubled(t)
		return "two replicas"
	}
}

// noneDoubled checks what two replicas at once must not do.
func (h *history) noneDoubled(t *testing.T) {
	t.Helper()
	count := map[string]int{}
	for _, s := range h.at(h.address()) {
		if _, strange := h.strangers[s.ID]; !strange && s.Status != "disabledByUser" {
			count[s.EventType]++
		}
	}
	for event, n := range count {
		if n > 1 {
			t.Errorf("%d hooks for %s", n, event)
		}
	}
}

// settled checks the end: exactly the desired set, strangers as they were, and what a
// person switched off still off, with nothing made beside it.
func (h *history) settled(t *testing.T) {
	t.Helper()
	h.untouched(t)
	working, off := map[string]int{}, map[string]int{}
	for _, s := range h.ours() {
		if h.resting[s.ID] {
			if s.Status != "disabledByUser" {
				t.Errorf("%s was switched on: %s", s.EventType, s.Status)
			}
			off[s.EventType]++
			continue
		}
		if why := h.right(s); why != "" {
			t.Errorf("%s: %s", s.EventType, why)
		}
		working[s.EventType]++
	}
	for _, event := range eventTypes() {
		if working[event] > 1 || working[event] == 0 && off[event] == 0 {
			t.Errorf("%s: %d work and %d are off", event, working[event], off[event])
		}
	}
	if len(h.resting) == 0 && len(h.ours()) != 5 {
		t.Errorf("there are %d", len(h.ours()))
	}
}

// TestFiftySequences: whatever happens, once it is quiet exactly the desired set stands.
func TestFiftySequences(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			h := &history{
				world: setup(t), random: rand.New(rand.NewPCG(seed, 7)), strangers: map[string]sandbox.Subscription{}, resting: map[string]bool{}, planted: map[string]bool{}, keys: 1,
			}
			h.plant(t)
			for range 25 {
				h.told = append(h.told, h.step(t))
				h.pass(time.Duration(h.random.IntN(600)) * time.Second)
				h.untouched(t)
			}
			if seed%2 == 0 {
				// In half of them nothing stays off.
				for id := range h.resting {
					h.status(t, id, "enabled")
				}
				clear(h.resting)
			}
			for range 3 {
				h.pass(2 * time.Hour)
				h.once(t)
			}
			h.settled(t)
			changed := h.writes()
			h.pass(2 * time.Hour)
			h.once(t)
			if n := changed(); n != 0 {
				t.Errorf("it does not come to rest: %d changes", n)
			}
			if t.Failed() {
				t.Log(strings.Join(h.told, ", "))
			}
		})
	}
}
