package alvao

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// setStatus moves the ticket as a caller asked, if the rules of its process allow (Alvao documentation: state change,
// status request, required items; .NET Ticket.ChangeState).
func (d *draft) setStatus(to *Status) error {
	t := d.t
	if err := d.mayChange(); err != nil {
		return err
	}
	switch {
	case !t.removed.IsZero():
		return refuse(RuleRemoved, "Ticket %s has been deleted.", t.tag())
	case t.inApproval:
		return refuse(RuleApproval, "The status of ticket %s can't be changed because its approval is in progress.", t.tag())
	case to == t.status:
		return refuse(RuleSame, "Ticket %s already is in the status %s.", t.tag(), d.statusName(to))
	case !permitted(t.status, to):
		return refuse(RulePermitted, "The transition of ticket %s from the status %s to %s is not permitted.",
			t.tag(), d.statusName(t.status), d.statusName(to))
	}
	if missing := t.missing(to); len(missing) > 0 {
		return refuse(RuleRequired, "Fill in the required fields: %s.", strings.Join(missing, ", "))
	}
	if t.closes(to) {
		if open := d.s.store.openChildren(t.id); len(open) > 0 {
			return refuse(RuleChildren, "Ticket %s can't be closed because it has open child tickets: %s.", t.tag(), ids(open))
		}
	}
	if err := d.mayResolve(to); err != nil {
		return err
	}
	d.enter(to)
	return nil
}

// mayChange asks for the right to change the ticket.
func (d *draft) mayChange() error {
	if a := d.who.account; a != nil && a.role(d.t.service) < RoleSolver {
		return forbid("You do not have permission to change ticket %s.", d.t.tag())
	}
	return nil
}

// mayResolve asks for the right to resolve a ticket without solver. A manager who does becomes its solver.
func (d *draft) mayResolve(to *Status) error {
	if to.Behavior != Resolved || d.t.solver != nil {
		return nil
	}
	if a := d.who.account; a != nil && a.role(d.t.service) < RoleManager {
		return refuse(RuleResolveRights, "You do not have sufficient rights to resolve ticket %s.", d.t.tag())
	}
	d.setSolver(d.who.person)
	return nil
}

func permitted(from, to *Status) bool {
	if to.Behavior == Removed {
		return false
	}
	return from.Next == nil || slices.ContainsFunc(from.Next, func(name string) bool { return sameName(name, to.Name) })
}

// missing lists the required fields of a status that are empty.
func (t *ticket) missing(to *Status) []string {
	var out []string
	for _, name := range to.Required {
		switch {
		case strings.EqualFold(name, "solverId"):
			if t.solver == nil {
				out = append(out, name)
			}
		case t.custom[name] == nil || t.custom[name] == "":
			out = append(out, name)
		}
	}
	return out
}

// closes tells whether entering the status ends in a closed ticket, also by passing on at once.
func (t *ticket) closes(to *Status) bool {
	for range t.process.Statuses {
		if to.Behavior == Closed {
			return true
		}
		if to.Then == "" {
			return false
		}
		if to = t.process.status(to.Then); to == nil {
			return false
		}
	}
	return false
}

// enter puts the ticket into a status and does what the status does by itself.
func (d *draft) enter(to *Status) {
	t := d.t
	// A process whose statuses pass on in a circle would not end; each is entered once.
	for range t.process.Statuses {
		from := t.status
		t.status = to
		t.datesFor(to, d.now)
		d.entered = append(d.entered, to)
		d.touched("tHdTicket.TicketStateId")
		d.wrote(OpTicketStatus, func(w *Write) { w.From, w.To = from.Name, to.Name })
		d.systemRecord(KindProcess, fmt.Sprintf("%s → %s", d.statusName(from), d.statusName(to)))
		if to.NotifiesRequester {
			d.systemRecord(KindNotification, fmt.Sprintf("%s: %s", t.tag(), d.statusName(to)))
		}
		if to.StartsApproval {
			t.inApproval = true
		}
		next := t.process.status(to.Then)
		if to.Then == "" || next == nil {
			return
		}
		to = next
	}
}

func (t *ticket) datesFor(to *Status, now time.Time) {
	switch to.Behavior {
	case Resolved:
		t.resolved, t.closed, t.removed = now, time.Time{}, time.Time{}
	case Closed:
		if t.resolved.IsZero() {
			t.resolved = now
		}
		t.closed = now
	case Removed:
		t.removed = now
	case Ordinary:
		t.resolved, t.closed, t.removed = time.Time{}, time.Time{}, time.Time{}
	}
}

func (d *draft) statusName(s *Status) string { return s.name(d.s.language(d.who.account)) }

// setApproval starts or ends an approval; its outcome may move the ticket by itself.
func (d *draft) setApproval(running, approved bool) error {
	t := d.t
	if t.inApproval == running {
		return refuse(RuleApproval, "The approval of ticket %s is in that state already.", t.tag())
	}
	t.inApproval = running
	d.touched("tHdTicket.InApproval")
	outcome := "started"
	if !running {
		outcome = "rejected"
		if approved {
			outcome = "approved"
		}
	}
	d.wrote(OpApproval, func(w *Write) { w.To = outcome })
	d.systemRecord(KindProcess, "Approval "+outcome)
	if running {
		return nil
	}
	next := t.status.Rejected
	if approved {
		next = t.status.Approved
	}
	if to := t.process.status(next); next != "" && to != nil {
		d.enter(to)
	}
	return nil
}

func (d *draft) setSolver(p *Person) {
	from := ""
	if d.t.solver != nil {
		from = d.t.solver.Name
	}
	d.t.solver = p
	to := ""
	if p != nil {
		to = p.Name
	}
	d.touched("tHdTicket.liHdTicketSolverPersonId")
	d.wrote(OpTicketSolver, func(w *Write) { w.From, w.To = from, to })
	d.systemRecord(KindProcess, "Solver: "+to)
}

// setService moves the ticket. A status that the other process does not have by name is replaced by its first one.
func (d *draft) setService(to *Service) error {
	t := d.t
	if t.inApproval {
		return refuse(RuleApproval, "Ticket %s can't be moved because its approval is in progress.", t.tag())
	}
	if to == t.service {
		return refuse(RuleSame, "Ticket %s already is in the service %s.", t.tag(), to.Name)
	}
	from := t.service
	t.service, t.slaID, t.slaName, t.team, t.teamID = to, to.SLAID, to.SLA, to.SolverTeam, to.SolverTeamID
	d.touched("tHdTicket.liHdTicketHdSectionId")
	d.wrote(OpTicketService, func(w *Write) { w.From, w.To = from.Name, to.Name })
	d.systemRecord(KindProcess, "Service: "+to.Name)
	process := d.s.dir.process(to)
	if process == t.process {
		return nil
	}
	old := t.status
	t.process = process
	next := process.status(old.Name)
	if next == nil {
		next = &process.Statuses[0]
	}
	d.enter(next)
	return nil
}

func (d *draft) touched(property string) {
	if !slices.Contains(d.changed, property) {
		d.changed = append(d.changed, property)
	}
}

func ids(list []int) string {
	out := make([]string, len(list))
	for i, id := range list {
		out[i] = fmt.Sprintf("T%dSD", id)
	}
	return strings.Join(out, ", ")
}
