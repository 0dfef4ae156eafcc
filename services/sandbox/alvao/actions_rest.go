package alvao

import (
	"fmt"
	"net/http"
	"strings"
)

// putState changes the status (OpenAPI document: ChangeTicketState). What tells 201 from 204 is not explained; here 201
// means that a comment was logged.
func (c *call) putState() error {
	var in struct {
		StateID              *int             `json:"stateId"`
		StateName            string           `json:"stateName"`
		CommentHTML          string           `json:"commentHtml"`
		CommentForApprovers  string           `json:"commentForApprovers"`
		CommentForRequesters string           `json:"commentForRequesters"`
		Attachments          []attachmentJSON `json:"attachments"`
	}
	if err := c.body(&in); err != nil {
		return err
	}
	if in.StateID == nil && in.StateName == "" {
		return refuseField("stateId", "Either stateId or stateName is required.")
	}
	attachments, err := decodeAttachments(in.Attachments)
	if err != nil {
		return err
	}
	logged := in.CommentHTML != "" || in.CommentForRequesters != "" || in.CommentForApprovers != "" || len(attachments) > 0
	d, err := c.change(func(d *draft) error {
		to := d.t.process.statusIn(in.StateName, c.lang)
		if in.StateID != nil {
			to = d.t.process.statusID(*in.StateID)
		}
		if to == nil {
			return refuse(RuleUnknownStatus, "The status does not exist in the process %s.", d.t.process.name(c.lang))
		}
		if err := d.setStatus(to); err != nil || !logged {
			return err
		}
		html := []string{in.CommentHTML}
		for _, more := range []string{in.CommentForRequesters, in.CommentForApprovers} {
			if more != "" {
				html = append(html, "<div>"+more+"</div>")
			}
		}
		_, err := d.addRecord(newRecord{
			subject: d.statusName(to), html: strings.Join(html, ""), kind: KindProcess, showToRequester: in.CommentForRequesters != "", attachments: attachments,
		})
		return err
	})
	if err != nil {
		return err
	}
	if logged {
		c.answer(http.StatusCreated, d.t.tag())
		return nil
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// nextStates lists where the ticket may go (modelled; only the resource's name is known).
func (c *call) nextStates() error {
	if c.s.opts.Tenant.NoNextStates {
		return ErrNotFound
	}
	t, err := c.ticket()
	if err != nil {
		return err
	}
	type next struct {
		ID             int      `json:"id"`
		Name           string   `json:"name"`
		RequiredFields []string `json:"requiredFields"`
	}
	list := []next{}
	if !t.inApproval && t.removed.IsZero() {
		for i := range t.process.Statuses {
			to := &t.process.Statuses[i]
			if to == t.status || !permitted(t.status, to) {
				continue
			}
			n := next{ID: to.ID, Name: to.name(c.lang), RequiredFields: []string{}}
			n.RequiredFields = append(n.RequiredFields, to.Required...)
			list = append(list, n)
		}
	}
	c.answer(http.StatusOK, map[string]any{"value": list})
	return nil
}

// putSolver assigns the ticket (OpenAPI document: AssignTicketToSolverOrSolverTeam).
func (c *call) putSolver() error {
	var in struct {
		SolverID             *int             `json:"solverId"`
		SolverTeamID         *int             `json:"solverTeamId"`
		MessageForSolverHTML string           `json:"messageForSolverHtml"`
		Attachments          []attachmentJSON `json:"attachments"`
	}
	if err := c.body(&in); err != nil {
		return err
	}
	solver, err := c.person("solverId", in.SolverID)
	if err != nil {
		return err
	}
	attachments, err := decodeAttachments(in.Attachments)
	if err != nil {
		return err
	}
	d, err := c.change(func(d *draft) error {
		if err := d.mayChange(); err != nil {
			return err
		}
		if err := d.setTeam(in.SolverTeamID); err != nil {
			return err
		}
		if in.SolverID != nil && d.t.solver != solver {
			d.setSolver(solver)
		}
		if in.MessageForSolverHTML == "" && len(attachments) == 0 {
			return nil
		}
		_, err := d.addRecord(newRecord{
			subject: d.t.name, html: in.MessageForSolverHTML, kind: KindNotification, toPerson: solver, attachments: attachments,
		})
		return err
	})
	if err != nil {
		return err
	}
	c.answer(http.StatusCreated, d.t.tag())
	return nil
}

// setTeam assigns the solver team of one of the services.
func (d *draft) setTeam(id *int) error {
	if id == nil || *id == d.t.teamID {
		return nil
	}
	for _, s := range d.s.dir.services {
		if s.SolverTeamID == *id {
			d.t.team, d.t.teamID = s.SolverTeam, s.SolverTeamID
			d.wrote(OpTicketSolver, func(w *Write) { w.To = s.SolverTeam })
			return nil
		}
	}
	return refuseField("solverTeamId", "There is no solver team with the ID %d.", *id)
}

// putService moves the ticket (OpenAPI document: MoveTicketToAnotherService).
func (c *call) putService() error {
	var in struct {
		ServiceID       *int             `json:"serviceId"`
		ServiceName     string           `json:"serviceName"`
		NewSolverID     *int             `json:"newSolverId"`
		NewSolverTeamID *int             `json:"newSolverTeamId"`
		CommentHTML     string           `json:"commentHtml"`
		Attachments     []attachmentJSON `json:"attachments"`
	}
	if err := c.body(&in); err != nil {
		return err
	}
	to := c.s.dir.serviceNamed(in.ServiceName)
	if in.ServiceID != nil {
		to = c.s.dir.service(*in.ServiceID)
	}
	if to == nil {
		return refuse(RuleInput, "The service does not exist.")
	}
	solver, err := c.person("newSolverId", in.NewSolverID)
	if err != nil {
		return err
	}
	attachments, err := decodeAttachments(in.Attachments)
	if err != nil {
		return err
	}
	logged := in.CommentHTML != "" || len(attachments) > 0
	d, err := c.change(func(d *draft) error {
		if err := d.mayChange(); err != nil {
			return err
		}
		if err := d.setService(to); err != nil {
			return err
		}
		if err := d.setTeam(in.NewSolverTeamID); err != nil {
			return err
		}
		if solver != nil {
			d.setSolver(solver)
		}
		if !logged {
			return nil
		}
		_, err := d.addRecord(newRecord{
			subject: fmt.Sprintf("%s → %s", d.old.service.Name, to.Name), html: in.CommentHTML, kind: KindProcess, attachments: attachments,
		})
		return err
	})
	if err != nil {
		return err
	}
	if logged {
		c.answer(http.StatusCreated, d.t.tag())
		return nil
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
