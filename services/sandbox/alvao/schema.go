package alvao

import (
	"strings"
	"time"

	"github.com/tandem-sync/tandem/services/sandbox/odata"
)

// ticketSchema tells how tickets are filtered and sorted. Names are found without regard to letter case, as the OpenAPI
// document's own example (`Email eq …`) needs.
func (s *Server) ticketSchema(lang string) odata.Schema[*ticket] {
	return func(name string) (odata.Property[*ticket], error) {
		text := func(get func(*ticket) string) (odata.Property[*ticket], error) {
			return odata.Property[*ticket]{Kind: odata.String, Get: func(t *ticket) odata.Value { return textOrNull(get(t)) }}, nil
		}
		number := func(get func(*ticket) int) (odata.Property[*ticket], error) {
			return odata.Property[*ticket]{Kind: odata.Int, Get: func(t *ticket) odata.Value { return idOrNull(get(t)) }}, nil
		}
		date := func(get func(*ticket) time.Time) (odata.Property[*ticket], error) {
			return odata.Property[*ticket]{Kind: odata.Date, Get: func(t *ticket) odata.Value { return dateOrNull(get(t)) }}, nil
		}
		switch strings.ToLower(name) {
		case "id":
			return number(func(t *ticket) int { return t.id })
		case "name":
			return text(func(t *ticket) string { return t.name })
		case "messagetag":
			return text((*ticket).tag)
		case "slaid":
			return number(func(t *ticket) int { return t.slaID })
		case "slaname":
			return text(func(t *ticket) string { return t.slaName })
		case "priority":
			return text(func(t *ticket) string { return t.priority })
		case "impact":
			return text(func(t *ticket) string { return t.impact })
		case "urgency":
			return text(func(t *ticket) string { return t.urgency })
		case "devicenumber":
			return text(func(t *ticket) string { return t.deviceNumber })
		case "relatedorganization":
			return text(func(t *ticket) string { return t.organization })
		case "requesterid":
			return number(func(t *ticket) int { return t.requester.id() })
		case "requestername":
			return text(func(t *ticket) string {
				if t.requester == nil {
					return t.requesterName
				}
				return t.requester.Name
			})
		case "requestedforid":
			return number(func(t *ticket) int { return t.requestedFor.id() })
		case "requestedforname":
			return text(func(t *ticket) string { return t.requestedFor.name() })
		case "solverid":
			return number(func(t *ticket) int { return t.solver.id() })
		case "solvername":
			return text(func(t *ticket) string { return t.solver.name() })
		case "solverteamid":
			return number(func(t *ticket) int { return t.teamID })
		case "solverteamname":
			return text(func(t *ticket) string { return t.team })
		case "serviceid":
			return number(func(t *ticket) int { return t.service.ID })
		case "servicename":
			return text(func(t *ticket) string { return t.service.Name })
		case "processname":
			return text(func(t *ticket) string { return t.process.name(lang) })
		case "stateid":
			return number(func(t *ticket) int { return t.status.ID })
		case "statename":
			return text(func(t *ticket) string { return t.status.name(lang) })
		case "createddate":
			return date(func(t *ticket) time.Time { return t.created })
		case "resolveddate":
			return date(func(t *ticket) time.Time { return t.resolved })
		case "closeddate":
			return date(func(t *ticket) time.Time { return t.closed })
		case "removeddate":
			return date(func(t *ticket) time.Time { return t.removed })
		case "duedate":
			return date(func(t *ticket) time.Time { return t.due })
		case "lastactivitydate":
			return date(func(t *ticket) time.Time { return t.activity })
		case "inapproval":
			return odata.Property[*ticket]{Kind: odata.Bool, Get: func(t *ticket) odata.Value { return odata.Flag(t.inApproval) }}, nil
		case "initialactid":
			return number(func(t *ticket) int { return t.initialRecord })
		}
		return odata.Property[*ticket]{}, unknownProperty(name, "Alvao.Rest.Api.Models.SD.Ticket")
	}
}

func unknownProperty(name, of string) error {
	return refuseOData(RuleInput, "Could not find a property named '%s' on type '%s'.", name, of)
}

func (s *Server) recordSchema(name string) (odata.Property[*record], error) {
	text := func(get func(*record) string) (odata.Property[*record], error) {
		return odata.Property[*record]{Kind: odata.String, Get: func(r *record) odata.Value { return textOrNull(get(r)) }}, nil
	}
	switch strings.ToLower(name) {
	case "id":
		return odata.Property[*record]{Kind: odata.Int, Get: func(r *record) odata.Value { return odata.Number(int64(r.id)) }}, nil
	case "subject":
		return text(func(r *record) string { return r.subject })
	case "kind":
		return text(func(r *record) string { return string(r.kind) })
	case "from":
		return text(func(r *record) string { return r.from })
	case "emailfrom":
		return text(func(r *record) string { return r.emailFrom })
	case "messageid":
		return text(func(r *record) string { return r.messageID })
	case "created":
		return odata.Property[*record]{Kind: odata.Date, Get: func(r *record) odata.Value { return dateOrNull(r.created) }}, nil
	case "frompersonid":
		return odata.Property[*record]{Kind: odata.Int, Get: func(r *record) odata.Value { return idOrNull(r.fromPerson.id()) }}, nil
	}
	return odata.Property[*record]{}, unknownProperty(name, "Alvao.Rest.Api.Models.SD.LogRecord")
}

func personSchema(name string) (odata.Property[*Person], error) {
	text := func(get func(*Person) string) (odata.Property[*Person], error) {
		return odata.Property[*Person]{Kind: odata.String, Get: func(p *Person) odata.Value { return textOrNull(get(p)) }}, nil
	}
	flag := func(get func(*Person) bool) (odata.Property[*Person], error) {
		return odata.Property[*Person]{Kind: odata.Bool, Get: func(p *Person) odata.Value { return odata.Flag(get(p)) }}, nil
	}
	switch strings.ToLower(name) {
	case "id":
		return odata.Property[*Person]{Kind: odata.Int, Get: func(p *Person) odata.Value { return odata.Number(int64(p.ID)) }}, nil
	case "name":
		return text(func(p *Person) string { return p.Name })
	case "firstname":
		return text(func(p *Person) string { return p.FirstName })
	case "lastname":
		return text(func(p *Person) string { return p.LastName })
	case "login":
		return text(func(p *Person) string { return p.Login })
	case "samaccountname":
		return text(func(p *Person) string { return p.SAMAccountName })
	case "email":
		return text(func(p *Person) string { return p.Email })
	case "email2":
		return text(func(p *Person) string { return p.Email2 })
	case "personalnumber":
		return text(func(p *Person) string { return p.PersonalNumber })
	case "azureadobjectid":
		return text(func(p *Person) string { return p.AzureADObjectID })
	case "isdisabled":
		return flag(func(p *Person) bool { return p.IsDisabled })
	case "ishidden":
		return flag(func(p *Person) bool { return p.IsHidden })
	case "isguest":
		return flag(func(p *Person) bool { return p.IsGuest })
	case "issystem":
		return flag(func(p *Person) bool { return p.IsSystem })
	case "isapp":
		return flag(func(p *Person) bool { return p.IsApp })
	case "removeddate":
		return odata.Property[*Person]{Kind: odata.Date, Get: func(p *Person) odata.Value { return dateOrNull(p.RemovedDate) }}, nil
	}
	return odata.Property[*Person]{}, unknownProperty(name, "Alvao.Rest.Api.Models.Common.Person")
}

func (p *Person) id() int {
	if p == nil {
		return 0
	}
	return p.ID
}

func (p *Person) name() string {
	if p == nil {
		return ""
	}
	return p.Name
}

func textOrNull(s string) odata.Value {
	if s == "" {
		return odata.Value{}
	}
	return odata.Text(s)
}

func idOrNull(id int) odata.Value {
	if id == 0 {
		return odata.Value{}
	}
	return odata.Number(int64(id))
}

func dateOrNull(t time.Time) odata.Value {
	if t.IsZero() {
		return odata.Value{}
	}
	return odata.Moment(t)
}
