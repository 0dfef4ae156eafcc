package plan_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
)

func atRest(m mapping.StatusMap) item.Link {
	return item.Link{
		Connector: "development", Ticket: ticketID, WorkItem: workItemID, State: item.LinkActive, Version: 3, Map: m.Print(),
		Agreed: item.Pair{Status: "Development", State: "To Do"}, TalkRev: 5, Created: start(),
	}
}

func TestWhatARoundWouldWriteIsForeseen(t *testing.T) {
	t.Parallel()
	usual := statusMap(t, "To Do", "Development", "Doing", "Development pending", "Done", "Testing")
	swapped := statusMap(t, "Doing", "Development", "To Do", "Development pending", "Done", "Testing")
	row := func(status string) item.Ticket { return item.Ticket{ID: ticketID, Status: status} }
	work := func(state string) *item.WorkItem { return &item.WorkItem{ID: workItemID, Rev: 9, State: state} }
	parked := atRest(usual)
	parked.State, parked.Parked = item.LinkParked, &item.Standstill{Status: "Testing", State: "To Do", ExternalID: strconv.Itoa(workItemID)}
	gone := atRest(usual)
	gone.State = item.LinkGone
	fresh := atRest(usual)
	fresh.Agreed = item.Pair{State: "To Do"}
	for _, tc := range []struct {
		name string
		got  plan.Foreseen
		kind string
		told string
	}{
		{"nothing changed", plan.ForeseeWorkItem(atRest(usual), work("To Do"), plan.Rules{Map: usual}), "", ""},
		{"the state changed", plan.ForeseeWorkItem(atRest(usual), work("Done"), plan.Rules{Map: usual}), string(plan.SetStatus), `from "Development" to "Testing"`},
		{"to one that is not mapped", plan.ForeseeWorkItem(atRest(usual), work("Removed"), plan.Rules{Map: usual}), "", ""},
		{"the map changed, Azure DevOps wins", plan.ForeseeWorkItem(atRest(usual), work("To Do"), plan.Rules{Map: swapped, Conflict: mapping.ConflictAzureDevOps}), string(plan.SetStatus), `to "Development pending"`},
		{"the map changed, Alvao wins", plan.ForeseeWorkItem(atRest(usual), work("To Do"), plan.Rules{Map: swapped, Conflict: mapping.ConflictAlvao}), string(plan.SetState), `from "To Do" to "Doing"`},
		{"the map changed, the newest wins", plan.ForeseeWorkItem(atRest(usual), work("To Do"), plan.Rules{Map: swapped, Conflict: mapping.ConflictNewest}), plan.Either, `"Development" and "To Do"`},
		{"the state changed under another map, the newest wins", plan.ForeseeWorkItem(atRest(usual), work("Done"), plan.Rules{Map: swapped, Conflict: mapping.ConflictNewest}), string(plan.SetStatus), `to "Testing"`},
		{"the map's order changed", plan.ForeseeWorkItem(atRest(usual), work("To Do"), plan.Rules{Map: statusMap(t, "Done", "Testing", "To Do", "Development")}), "", ""},
		{"it can't be read", plan.ForeseeWorkItem(atRest(usual), nil, plan.Rules{Map: usual}), "", ""},
		{"it is parked and still", plan.ForeseeWorkItem(parked, work("To Do"), plan.Rules{Map: usual}), "", ""},
		{"it is parked and moved", plan.ForeseeWorkItem(parked, work("Doing"), plan.Rules{Map: usual, Conflict: mapping.ConflictAlvao}), string(plan.SetState), `to "Done"`},
		{"it is gone", plan.ForeseeWorkItem(gone, work("Done"), plan.Rules{Map: usual}), "", ""},
		{"it never came to rest", plan.ForeseeWorkItem(fresh, work("Done"), plan.Rules{Map: usual}), "", ""},

		{"the status is as it was", plan.ForeseeTicket(atRest(usual), row("Development"), plan.Listed{}, plan.Rules{Map: usual}), "", ""},
		{"the status changed", plan.ForeseeTicket(atRest(usual), row("Testing"), plan.Listed{}, plan.Rules{Map: usual}), string(plan.SetState), `from "To Do" to "Done"`},
		{"the number is missing", plan.ForeseeTicket(atRest(usual), item.Ticket{ID: ticketID, Status: "Development", Custom: map[string]string{"a": "b"}}, plan.Listed{}, plan.Rules{Map: usual}), string(plan.WriteExternalID), "external id"},
		{"it was removed", plan.ForeseeTicket(atRest(usual), item.Ticket{ID: ticketID, Status: "Testing", Removed: true}, plan.Listed{}, plan.Rules{Map: usual}), "", ""},
		{"it is new", plan.ForeseeTicket(item.Link{}, row("Development"), plan.Listed{}, plan.Rules{Map: usual, Service: "Development"}), string(plan.Create), `in "Development"`},
		{"it is new and not mapped", plan.ForeseeTicket(item.Link{}, row("New"), plan.Listed{}, plan.Rules{Map: usual}), "", ""},
		{"it is an old one", plan.ForeseeTicket(item.Link{}, row("Development"), plan.Listed{Existing: true}, plan.Rules{Map: usual}), "", ""},
		{"it carries a number", plan.ForeseeTicket(item.Link{}, item.Ticket{ID: ticketID, Status: "New", ExternalID: "77"}, plan.Listed{}, plan.Rules{Map: usual}), plan.Adopt, "work item 77"},
		{"its creation is under way", plan.ForeseeTicket(item.Link{State: item.LinkCreating, Version: 1}, row("Development"), plan.Listed{}, plan.Rules{Map: usual}), "", ""},
	} {
		if tc.got.Kind != tc.kind || !strings.Contains(tc.got.Detail, tc.told) {
			t.Errorf("%s: %+v", tc.name, tc.got)
		}
	}
	silent := atRest(usual)
	silent.TalkRev = 0
	for _, tc := range []struct {
		link  item.Link
		rules plan.Rules
		kind  string
	}{
		{silent, plan.Rules{Messages: true}, string(plan.Post)}, {silent, plan.Rules{}, ""}, {atRest(usual), plan.Rules{Messages: true}, ""}, {gone, plan.Rules{Messages: true}, ""},
	} {
		if got := plan.ForeseeMessages(tc.link, tc.rules); got.Kind != tc.kind {
			t.Errorf("messages of %+v: %+v", tc.link, got)
		}
	}
}

// A pair that agreed under another map is brought in step once: then it rests, also
// where the vendor moves it back.
func TestChangedMapBringsPairsInStepOnce(t *testing.T) {
	t.Parallel()
	names := []string{"To Do", "Doing", "Done"}
	statuses := []string{"Development", "Development pending", "Testing"}
	rapid.Check(t, func(t *rapid.T) {
		before, after := rapid.Permutation(statuses).Draw(t, "before"), rapid.Permutation(statuses).Draw(t, "after")
		maps := func(list []string) mapping.StatusMap {
			return statusMap(t, names[0], list[0], names[1], list[1], names[2], list[2])
		}
		at := rapid.IntRange(0, 2).Draw(t, "at")
		link := atRest(maps(before))
		link.Agreed = item.Pair{State: names[at], Status: before[at]}
		rules := plan.Rules{Service: service, Map: maps(after), Conflict: rapid.SampledFrom([]mapping.Conflict{mapping.ConflictAlvao, mapping.ConflictAzureDevOps, mapping.ConflictNewest}).Draw(t, "policy")}
		stubborn := rapid.Bool().Draw(t, "the vendor moves it back")
		sides := plan.Sides{
			Now: start(), TicketChanged: start(),
			Ticket:   item.Ticket{ID: ticketID, Service: service, Status: before[at], URL: ticketURL, ExternalID: strconv.Itoa(workItemID)},
			WorkItem: &item.WorkItem{ID: workItemID, Rev: 5, Type: "Task", State: names[at], StateChanged: start().Add(-time.Hour), Hyperlinks: []string{ticketURL}},
			Type:     &item.WorkItemType{Name: "Task", States: []item.State{{Name: names[0]}, {Name: names[1]}, {Name: names[2]}}},
		}
		foreseen := plan.ForeseeWorkItem(link, sides.WorkItem, rules)
		doubted := plan.WorkItemDoubt(link, sides.WorkItem, rules)
		writes := 0
		for range 20 {
			step := plan.Next(link, sides, rules)
			switch step.Kind {
			case plan.Rest:
				if agrees := before[at] == after[at]; agrees != (writes == 0) || agrees != (foreseen.Kind == "") || agrees != (doubted == plan.None) || writes > 1 {
					t.Fatalf("%d writes, foreseen %+v, doubt %d", writes, foreseen, doubted)
				}
				if !stubborn && !rules.Map.Agree(sides.WorkItem.State, sides.Ticket.Status) {
					t.Fatalf("rests in %q and %q", sides.WorkItem.State, sides.Ticket.Status)
				}
				return
			case plan.SetState:
				writes++
				moved := *sides.WorkItem
				if !stubborn {
					moved.State = step.State
				}
				moved.Rev++
				sides.WorkItem = &moved
			case plan.SetStatus:
				writes++
				sides.Ticket.Status = step.Status
			case plan.Remember:
			default:
				t.Fatalf("step %+v", step)
			}
			link, _ = plan.Applied(link, step, sides)
		}
		t.Fatal("it never rests")
	})
}
