package reconcile_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	standalvao "github.com/tandem-sync/tandem/services/sandbox/alvao"
	sandboxfault "github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
	"github.com/tandem-sync/tandem/services/synccore/internal/worker"
)

// withTesting changes the status Testing, which the work item's Done asks for, and its
// process.
func withTesting(change func(process *standalvao.Process, testing *standalvao.Status)) func(*options) {
	return func(o *options) {
		dir := standalvao.DefaultDirectory()
		process := &dir.Processes[0]
		for i := range process.Statuses {
			if process.Statuses[i].Name == "Testing" {
				change(process, &process.Statuses[i])
			}
		}
		o.desk.Directory = dir
	}
}

// TestEveryRefusalOfAStatus: whatever Alvao says to a change of status (alvao.md §2.3),
// the change ends in the right place, with one sentence that names the ticket and says
// what to do; and it is made once nothing stands against it, in whatever form of error
// body the tenant has.
func TestEveryRefusalOfAStatus(t *testing.T) {
	t.Parallel()
	const parked = "parked"
	nothing := func(*options) {}
	for name, tc := range map[string]struct {
		desk func(*options)
		// before is what stands against it, after takes that away; nil: nothing does.
		before, after func(t *testing.T, w *world, ticket int) error
		// ends is "parked" or the worker's verdict, counted tells that the attempt counts,
		// held that no hint shortens the wait.
		ends          string
		counted, held bool
		says          []string
		// waits is how long it waits at least.
		waits time.Duration
		// arrives is the status in the end.
		arrives string
	}{
		"an approval runs": {
			desk: nothing, ends: string(worker.Again), says: []string{"An approval runs on ticket", "Testing", "Tandem waits"}, arrives: "Testing",
			before: func(t *testing.T, w *world, ticket int) error {
				t.Helper()
				return w.desk.StartApproval(t.Context(), standalvao.Solver, ticket)
			},
			after: func(t *testing.T, w *world, ticket int) error {
				t.Helper()
				return w.desk.FinishApproval(t.Context(), standalvao.Solver, ticket, true)
			},
		},
		"a required field is empty": {
			desk: withTesting(func(_ *standalvao.Process, s *standalvao.Status) { s.Required = []string{"TestResult"} }),
			ends: parked, says: []string{"does not let ticket", "from Development to Testing", "required fields: TestResult", "mend"}, arrives: "Testing",
			after: func(t *testing.T, w *world, ticket int) error {
				t.Helper()
				return w.desk.SetField(t.Context(), standalvao.Solver, ticket, "TestResult", "passed")
			},
		},
		"the solver is required": {
			desk: withTesting(func(_ *standalvao.Process, s *standalvao.Status) { s.Required = []string{"solverId"} }),
			ends: parked, says: []string{"required fields: solverId"}, arrives: "Testing",
			after: func(t *testing.T, w *world, ticket int) error {
				t.Helper()
				return w.desk.SetSolver(t.Context(), standalvao.Solver, ticket, standalvao.Solver)
			},
		},
		"it is none of the permitted next statuses": {
			desk: withTesting(func(p *standalvao.Process, _ *standalvao.Status) {
				for i := range p.Statuses {
					if p.Statuses[i].Name == "Development" {
						p.Statuses[i].Next = []string{"Analysis", "Development pending"}
					}
				}
			}),
			ends: parked, says: []string{"from Development to Testing", "not permitted"}, arrives: "Testing",
			after: func(t *testing.T, w *world, ticket int) error {
				t.Helper()
				return w.desk.SetStatus(t.Context(), standalvao.Solver, ticket, "Analysis")
			},
		},
		"a child ticket is open": {
			desk: withTesting(func(_ *standalvao.Process, s *standalvao.Status) { s.Behavior = standalvao.Closed }),
			ends: parked, says: []string{"open child tickets", "mend"}, arrives: "Testing",
			before: func(t *testing.T, w *world, ticket int) error {
				t.Helper()
				_, err := w.desk.CreateTicket(t.Context(), standalvao.Requester, standalvao.NewTicket{Name: "child", Parent: ticket, Service: "Development"})
				return err
			},
			after: func(t *testing.T, w *world, ticket int) error {
				t.Helper()
				for _, one := range w.desk.Tickets() {
					if one.ID != ticket {
						if err := w.desk.SetStatus(t.Context(), standalvao.Solver, one.ID, "Closed"); err != nil {
							return err
						}
					}
				}
				return nil
			},
		},
		"it passes on by itself": {
			desk: withTesting(func(_ *standalvao.Process, s *standalvao.Status) { s.Behavior, s.Then = standalvao.Resolved, "Closed" }),
			ends: string(worker.Finish), arrives: "Closed",
		},
		"the account may not resolve": {
			desk: func(o *options) {
				withTesting(func(_ *standalvao.Process, s *standalvao.Status) { s.Behavior = standalvao.Resolved })(o)
				o.desk.Accounts = []standalvao.Account{{Login: "tandem", Password: "tandem", Role: standalvao.RoleSolver, ReadsContacts: true}}
			},
			ends: parked, says: []string{"sufficient rights to resolve", "mend"}, arrives: "Testing",
			after: func(t *testing.T, w *world, ticket int) error {
				t.Helper()
				return w.desk.SetSolver(t.Context(), standalvao.Solver, ticket, standalvao.Solver)
			},
		},
		"the account may not change tickets": {
			desk: func(o *options) {
				o.desk.Accounts = []standalvao.Account{{Login: "tandem", Password: "tandem", Role: standalvao.RoleReader, ReadsContacts: true}}
			},
			ends: string(worker.GiveUp), says: []string{"The account may not", "ticket", "role Manager on the service Development"},
		},
		"the account may not set statuses": {
			desk:   nothing,
			before: planted(sandboxfault.Rule{Method: "PUT", Path: "/AlvaoRestApi/**", Kind: sandboxfault.KindStatus, Status: http.StatusForbidden}),
			ends:   parked, says: []string{"The account may not", "ticket", "role Manager on the service Development"},
		},
		"there is no such status": {
			desk: func(o *options) { o.pairs[2].Status = "Tested" },
			ends: parked, says: []string{"to Tested", "mend"},
		},
		"the password is wrong": {
			desk:   nothing,
			before: planted(sandboxfault.Rule{Method: "PUT", Path: "/AlvaoRestApi/**", Kind: sandboxfault.KindStatus, Status: http.StatusUnauthorized}),
			after:  mended, ends: string(worker.Again), held: true, says: []string{"does not accept the user name and password", "correct them"}, arrives: "Testing",
		},
		"Alvao is out of order": {
			desk:   nothing,
			before: planted(sandboxfault.Rule{Method: "PUT", Path: "/AlvaoRestApi/**", Kind: sandboxfault.KindStatus, Status: http.StatusInternalServerError}),
			after:  mended, ends: string(worker.Again), counted: true, held: true, says: []string{"answers with an error (500)"}, arrives: "Testing",
		},
		"Alvao slows the account down": {
			desk: nothing,
			before: planted(sandboxfault.Rule{
				Method: "PUT", Path: "/AlvaoRestApi/**", Kind: sandboxfault.KindStatus, Status: http.StatusTooManyRequests, RetryAfter: sandboxfault.Duration(77 * time.Second),
			}),
			after: mended, ends: string(worker.Again), held: true, says: []string{"slows the account down", "ticket", "again by itself"}, waits: 77 * time.Second, arrives: "Testing",
		},
		"somebody was faster": {
			desk:   nothing,
			before: planted(sandboxfault.Rule{Method: "PUT", Path: "/AlvaoRestApi/**", Kind: sandboxfault.KindStatus, Status: http.StatusConflict}),
			after:  mended, ends: string(worker.Again), says: []string{"at the same moment", "reads it anew"}, arrives: "Testing",
		},
	} {
		for _, style := range []standalvao.ErrorStyle{standalvao.ErrorsMessage, standalvao.ErrorsOData, standalvao.ErrorsProblem} {
			t.Run(fmt.Sprintf("%s, told by %s", name, style), func(t *testing.T) {
				t.Parallel()
				faults := sandboxfault.NewSet(1)
				w := setup(t, tc.desk, func(o *options) {
					o.desk.Tenant.Errors, o.faults, o.conflict = style, faults, mapping.ConflictAzureDevOps
				})
				w.planted = faults
				ticket := w.ticket(t, "Development")
				if name == "the account may not change tickets" {
					// It may not write the number into the ticket either.
					_, err := w.engine.Handle(t.Context(), w.connector, hints(ticket))
					outcome := worker.Decide(err, inbox.Delivery{}, 0)
					judge(t, outcome, string(worker.GiveUp), tc.counted, tc.held, tc.says)
					return
				}
				w.handle(t, ticket)
				if tc.before != nil {
					if err := tc.before(t, w, int(ticket)); err != nil {
						t.Fatal(err)
					}
				}
				w.setState(t, w.link(t, ticket).WorkItem, "Done")
				report, err := w.engine.Handle(t.Context(), w.connector, hints(ticket))
				outcome := worker.Decide(err, inbox.Delivery{}, 0)
				ends := string(outcome.Verdict)
				if report.Parked {
					ends = parked
					outcome.Reason = w.link(t, ticket).Reason
				}
				if ends != tc.ends {
					t.Fatalf("it ends as %s (%v), want %s", ends, err, tc.ends)
				}
				judge(t, outcome, ends, tc.counted, tc.held, tc.says)
				if outcome.After < tc.waits {
					t.Errorf("it waits %v, and was told to wait %v", outcome.After, tc.waits)
				}
				if tc.waits > 0 {
					w.pass(tc.waits)
				}
				if tc.arrives == "" {
					return
				}
				if tc.after != nil {
					if err := tc.after(t, w, int(ticket)); err != nil {
						t.Fatal(err)
					}
					h := hints(ticket)
					h.Force = true
					if _, err := w.engine.Handle(t.Context(), w.connector, h); err != nil {
						t.Fatal(err)
					}
				}
				if got := w.status(t, ticket); got != tc.arrives {
					t.Errorf("status %q, want %q: %+v", got, tc.arrives, w.link(t, ticket))
				}
				if l := w.link(t, ticket); l.State != item.LinkActive {
					t.Errorf("link %+v", l)
				}
				// And there it stays.
				if r := w.handle(t, ticket); r.Writes != 0 {
					t.Errorf("once more: %v", r.Steps)
				}
			})
		}
	}
}

func planted(rule sandboxfault.Rule) func(t *testing.T, w *world, ticket int) error {
	return func(t *testing.T, w *world, _ int) error {
		t.Helper()
		_, err := w.planted.Add(rule)
		return err
	}
}

func mended(t *testing.T, w *world, _ int) error {
	t.Helper()
	w.planted.Clear()
	return nil
}

// judge checks an outcome and its sentence.
func judge(t *testing.T, outcome worker.Outcome, ends string, counted, held bool, says []string) {
	t.Helper()
	if outcome.Counted != counted || outcome.Held != held || ends == string(worker.Again) && outcome.After <= 0 {
		t.Errorf("%+v", outcome)
	}
	text := outcome.Reason
	if len(says) == 0 {
		if text != "" {
			t.Errorf("it says %q", text)
		}
		return
	}
	for _, part := range append(says, ".") {
		if !strings.Contains(text, part) {
			t.Errorf("%q does not say %q", text, part)
		}
	}
	if strings.Count(text, ". ") > 0 || strings.ContainsAny(text, "\n{}") || strings.Contains(text, "HTTP") || strings.Contains(text, "(400") || strings.Contains(text, " 400") {
		t.Errorf("%q is not one sentence for a person", text)
	}
}
