package alvao

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ticketJSON is SD.Ticket of the OpenAPI document, and lastActivityDate, which the live list has as well.
type ticketJSON struct {
	ID                  int            `json:"id"`
	Name                string         `json:"name"`
	MessageTag          string         `json:"messageTag"`
	SLAID               int            `json:"slaId,omitempty"`
	SLAName             string         `json:"slaName,omitempty"`
	Priority            string         `json:"priority"`
	Impact              string         `json:"impact"`
	Urgency             string         `json:"urgency"`
	DeviceNumber        string         `json:"deviceNumber,omitempty"`
	RelatedOrganization string         `json:"relatedOrganization,omitempty"`
	InternalTargetDate  string         `json:"internalTargetDate,omitempty"`
	InternalTarget      string         `json:"internalTarget,omitempty"`
	RequesterID         int            `json:"requesterId,omitempty"`
	RequesterName       string         `json:"requesterName,omitempty"`
	RequestedForID      int            `json:"requestedForId,omitempty"`
	RequestedForName    string         `json:"requestedForName,omitempty"`
	SolverID            int            `json:"solverId,omitempty"`
	SolverName          string         `json:"solverName,omitempty"`
	SolverTeamID        int            `json:"solverTeamId,omitempty"`
	SolverTeamName      string         `json:"solverTeamName,omitempty"`
	ServiceID           int            `json:"serviceId"`
	ServiceName         string         `json:"serviceName"`
	ProcessName         string         `json:"processName"`
	StateID             int            `json:"stateId"`
	StateName           string         `json:"stateName"`
	CreatedDate         string         `json:"createdDate"`
	ResolvedDate        string         `json:"resolvedDate,omitempty"`
	ClosedDate          string         `json:"closedDate,omitempty"`
	RemovedDate         string         `json:"removedDate,omitempty"`
	DueDate             string         `json:"dueDate,omitempty"`
	LastActivityDate    string         `json:"lastActivityDate"`
	InitialActID        int            `json:"initialActId,omitempty"`
	InApproval          bool           `json:"inApproval"`
	Objects             []objectLink   `json:"objects,omitempty"`
	CustomItems         map[string]any `json:"customItems,omitempty"`
}

type objectLink struct {
	ObjectID int `json:"objectId"`
}

type customItemJSON struct {
	Type  string `json:"@odata.type"`
	Name  string `json:"name"`
	Value any    `json:"value"`
}

func (s *Server) ticketJSON(t *ticket, lang string, custom, objects bool) *ticketJSON {
	out := &ticketJSON{
		ID: t.id, Name: t.name, MessageTag: t.tag(), SLAID: t.slaID, SLAName: t.slaName, Priority: t.priority, Impact: t.impact,
		Urgency: t.urgency, DeviceNumber: t.deviceNumber, RelatedOrganization: t.organization,
		InternalTargetDate: s.date(t.internalTargetDate), InternalTarget: t.internalTarget, RequesterName: t.requesterName,
		SolverTeamID: t.teamID, SolverTeamName: t.team, ServiceID: t.service.ID, ServiceName: t.service.Name,
		ProcessName: t.process.name(lang), StateID: t.status.ID, StateName: t.status.name(lang), CreatedDate: s.date(t.created),
		ResolvedDate: s.date(t.resolved), ClosedDate: s.date(t.closed), RemovedDate: s.date(t.removed), DueDate: s.date(t.due),
		LastActivityDate: s.date(t.activity), InitialActID: t.initialRecord, InApproval: t.inApproval,
	}
	if p := t.requester; p != nil {
		out.RequesterID, out.RequesterName = p.ID, p.Name
	}
	if p := t.requestedFor; p != nil {
		out.RequestedForID, out.RequestedForName = p.ID, p.Name
	}
	if p := t.solver; p != nil {
		out.SolverID, out.SolverName = p.ID, p.Name
	}
	if objects {
		out.Objects = []objectLink{}
		for _, id := range t.objects {
			out.Objects = append(out.Objects, objectLink{id})
		}
	}
	if custom {
		out.CustomItems = make(map[string]any, len(s.dir.columns))
		for _, c := range s.dir.columns {
			out.CustomItems[c.Name] = customItemJSON{Type: customItemType, Name: c.Name, Value: t.custom[c.Name]}
		}
	}
	return out
}

// nullable are the properties that a tenant with Nulls writes when they have no value.
func nullableTicket() []string {
	return []string{
		"slaId", "slaName", "deviceNumber", "relatedOrganization", "internalTargetDate", "internalTarget", "requesterId",
		"requesterName", "requestedForId", "requestedForName", "solverId", "solverName", "solverTeamId", "solverTeamName",
		"resolvedDate", "closedDate", "removedDate", "dueDate", "initialActId",
	}
}

// rows marshals values and takes from each what $select asks for.
func (s *Server) rows(values []any, selected, nullable []string) ([]json.RawMessage, error) {
	out := make([]json.RawMessage, 0, len(values))
	for _, v := range values {
		raw, err := json.Marshal(v)
		if err != nil {
			return nil, err //nolint:wrapcheck // only plain data is marshalled
		}
		if len(selected) > 0 || s.opts.Tenant.Nulls {
			if raw, err = s.reshape(raw, selected, nullable); err != nil {
				return nil, err
			}
		}
		out = append(out, raw)
	}
	return out, nil
}

// reshape adds nulls and drops what was not selected.
func (s *Server) reshape(raw []byte, selected, nullable []string) ([]byte, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, err //nolint:wrapcheck // it was marshalled a moment ago
	}
	if s.opts.Tenant.Nulls {
		for _, name := range nullable {
			if _, ok := all[name]; !ok {
				all[name] = json.RawMessage("null")
			}
		}
	}
	if len(selected) > 0 {
		kept := map[string]json.RawMessage{}
		for name, v := range all {
			for _, want := range selected {
				if strings.EqualFold(name, want) {
					kept[name] = v
				}
			}
		}
		all = kept
	}
	return json.Marshal(all) //nolint:wrapcheck // only plain data is marshalled
}

// answer writes a JSON body in the tenant's manner.
func (c *call) answer(status int, v any) {
	raw, err := json.Marshal(v)
	if err == nil {
		raw, err = c.s.manner(raw)
	}
	if err != nil {
		c.w.WriteHeader(http.StatusInternalServerError)
		return
	}
	c.w.Header().Set("Content-Type", "application/json; charset=utf-8")
	c.w.WriteHeader(status)
	_, _ = c.w.Write(raw)
}

// manner rewrites a body for tenants with string ids or capitalised names.
func (s *Server) manner(raw []byte) ([]byte, error) {
	if !s.opts.Tenant.StringIDs && !s.opts.Tenant.CapitalKeys {
		return raw, nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err //nolint:wrapcheck // it was marshalled a moment ago
	}
	return json.Marshal(s.rewrite(v, "", true)) //nolint:wrapcheck // only plain data is marshalled
}

func (s *Server) rewrite(v any, key string, top bool) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, inner := range v {
			out[s.key(name, inner, top)] = s.rewrite(inner, name, false)
		}
		return out
	case []any:
		for i := range v {
			v[i] = s.rewrite(v[i], key, false)
		}
		return v
	case json.Number:
		if s.opts.Tenant.StringIDs && isID(key) {
			return v.String()
		}
	}
	return v
}

// key capitalises a property name. Names that belong to OData itself stay, and so do those that have a capital already.
func (s *Server) key(name string, inner any, top bool) string {
	if !s.opts.Tenant.CapitalKeys || strings.HasPrefix(name, "@") {
		return name
	}
	if _, list := inner.([]any); top && name == "value" && list {
		return name
	}
	r, size := utf8.DecodeRuneInString(name)
	return string(unicode.ToUpper(r)) + name[size:]
}

func isID(key string) bool { return key == "id" || strings.HasSuffix(key, "Id") }

// answerList writes a collection.
func (c *call) answerList(rows []json.RawMessage, count *int, next string) {
	body := map[string]any{"value": rows}
	if count != nil {
		body["@odata.count"] = *count
	}
	if next != "" {
		body["@odata.nextLink"] = next
	}
	c.answer(http.StatusOK, body)
}

// nextLink is this request again, further on.
func (c *call) nextLink(skip int) string {
	q := c.r.URL.Query()
	for name := range q {
		if strings.EqualFold(strings.TrimPrefix(name, "$"), "skip") {
			q.Del(name)
		}
	}
	q.Set("$skip", strconv.Itoa(skip))
	return c.api(c.r.URL.Path[len(c.s.opts.BasePath):]) + "?" + q.Encode()
}
