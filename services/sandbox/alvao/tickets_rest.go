package alvao

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/btree"

	"github.com/tandem-sync/tandem/services/sandbox/odata"
)

// query reads the OData options of the call.
func (c *call) query() (odata.Query, error) {
	q, err := c.s.parser.Parse(c.r.URL.Query())
	if err != nil {
		return q, refuseOData(RuleInput, "The query specified in the URI is not valid. %s.", firstUpper(err.Error()))
	}
	return q, nil
}

func firstUpper(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// asQueryError turns an error of binding a query to a schema into a refusal.
func asQueryError(err error) error {
	if _, ok := errors.AsType[*RefusedError](err); ok {
		return err
	}
	return refuseOData(RuleInput, "The query specified in the URI is not valid. %s.", firstUpper(err.Error()))
}

func (c *call) listTickets() error {
	q, err := c.query()
	if err != nil {
		return err
	}
	if err := c.checkActivity(q); err != nil {
		return err
	}
	if q.Search != "" {
		return refuseOData(RuleInput, "The query option '$search' is not supported for tickets.")
	}
	for _, e := range q.Expand {
		if !strings.EqualFold(e, "objects") {
			return unknownProperty(e, "Alvao.Rest.Api.Models.SD.Ticket")
		}
	}
	schema := c.s.ticketSchema(c.lang)
	for _, name := range q.Select {
		if _, err := schema(name); err != nil && !strings.EqualFold(name, "customItems") && !strings.EqualFold(name, "objects") {
			return err
		}
	}
	match, err := odata.Compile(q.Filter, schema)
	if err != nil {
		return asQueryError(err)
	}
	sorter, err := odata.Sorter(q.OrderBy, schema)
	if err != nil {
		return asQueryError(err)
	}
	take, skip, paged := c.s.window(q)
	found, total := c.s.find(q, func(t *ticket) bool { return c.sees(t) && match(t) }, sorter, skip, take)
	custom := c.s.opts.Tenant.ListCustomItems || slices.ContainsFunc(q.Select, func(n string) bool { return strings.EqualFold(n, "customItems") })
	values := make([]any, 0, min(len(found), take))
	for _, t := range found[:min(len(found), take)] {
		values = append(values, c.s.ticketJSON(t, c.lang, custom, len(q.Expand) > 0))
	}
	rows, err := c.s.rows(values, q.Select, nullableTicket())
	if err != nil {
		return err
	}
	next := ""
	if paged && len(found) > take {
		next = c.nextLink(skip + take)
	}
	var count *int
	if q.Count {
		count = &total
	}
	c.answerList(rows, count, next)
	return nil
}

// checkActivity refuses lastActivityDate for tenants that do not offer it.
func (c *call) checkActivity(q odata.Query) error {
	const name = "lastActivityDate"
	ordered := slices.ContainsFunc(q.OrderBy, func(o odata.Order) bool { return strings.EqualFold(o.Property, name) })
	if c.s.opts.Tenant.NoActivityFilter && q.Filter.Uses(name) || c.s.opts.Tenant.NoActivityOrder && ordered {
		return refuseOData(RuleInput, "The property '%s' cannot be used in the $filter or $orderby query option.", name)
	}
	return nil
}

// window tells how many rows are wanted, how many to skip before, and whether further pages are linked. Without $top a page is given, and a link to the next one.
func (s *Server) window(q odata.Query) (int, int, bool) {
	skip := 0
	if q.Skip != nil {
		skip = *q.Skip
	}
	if q.Top == nil {
		return s.opts.PageSize, skip, true
	}
	return min(*q.Top, s.opts.MaxTop), skip, false
}

// find lists tickets in the order asked for, past skip, and one more than take so that a further page can be seen. It
// walks an index where bounds or order allow, so that a poll of a large desk stays cheap.
func (s *Server) find(q odata.Query, match func(*ticket) bool, sorter func(a, b *ticket) int, skip, take int) ([]*ticket, int) {
	var found []*ticket
	total := 0
	index, desc, sorted := s.walk(q)
	var low, high *ticket
	if index == s.store.byActivity {
		b := q.Filter.BoundsOf("lastActivityDate", odata.Date)
		if b.Low.Kind != odata.Null {
			low = &ticket{activity: b.Low.Time, id: math.MinInt}
		}
		if b.High.Kind != odata.Null {
			high = &ticket{activity: b.High.Time, id: math.MaxInt}
		}
	} else {
		b := q.Filter.BoundsOf("id", odata.Int)
		if b.Low.Kind != odata.Null {
			low = &ticket{id: int(b.Low.Int)}
		}
		if b.High.Kind != odata.Null {
			high = &ticket{id: int(b.High.Int)}
		}
	}
	s.store.list(index, desc, low, high, func(t *ticket) bool {
		if !match(t) {
			return true
		}
		total++
		if !sorted || total > skip && len(found) <= take {
			found = append(found, t)
		}
		return !sorted || q.Count || len(found) <= take
	})
	if !sorted {
		slices.SortFunc(found, func(a, b *ticket) int {
			if n := sorter(a, b); n != 0 {
				return n
			}
			return a.id - b.id
		})
		found = found[min(skip, len(found)):]
	}
	return found, total
}

// walk chooses the index to go along, whether downwards, and tells whether its order is the one asked for.
func (s *Server) walk(q odata.Query) (*btree.BTreeG[*ticket], bool, bool) {
	var first odata.Order
	if len(q.OrderBy) > 0 {
		first = q.OrderBy[0]
	}
	byActivity := strings.EqualFold(first.Property, "lastActivityDate")
	byID := first.Property == "" || strings.EqualFold(first.Property, "id")
	// The index of activity breaks ties by id in the same direction.
	tie := len(q.OrderBy) == 1 || len(q.OrderBy) == 2 && strings.EqualFold(q.OrderBy[1].Property, "id") && q.OrderBy[1].Desc == first.Desc
	bounds := q.Filter.BoundsOf("lastActivityDate", odata.Date)
	bounded := bounds.Low.Kind != odata.Null || bounds.High.Kind != odata.Null
	switch {
	case byActivity:
		return s.store.byActivity, first.Desc && tie, tie
	case byID && !bounded:
		return s.store.byID, first.Desc, true
	case bounded:
		return s.store.byActivity, false, false
	}
	return s.store.byID, false, false
}

func (c *call) getTicket() error {
	t, err := c.ticket()
	if err != nil {
		return err
	}
	q, err := c.query()
	if err != nil {
		return err
	}
	objects := slices.ContainsFunc(q.Expand, func(e string) bool { return strings.EqualFold(e, "objects") })
	rows, err := c.s.rows([]any{c.s.ticketJSON(t, c.lang, true, objects)}, q.Select, nullableTicket())
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, rows[0])
	return nil
}

// requesterJSON is the requester of a create or patch.
type requesterJSON struct {
	ID            int    `json:"id"`
	Name          string `json:"name"`
	Email         string `json:"email"`
	Email2        string `json:"email2"`
	Phone         string `json:"phone"`
	Phone2        string `json:"phone2"`
	MobilePhone   string `json:"mobilePhone"`
	Department    string `json:"department"`
	Office        string `json:"office"`
	WorkPosition  string `json:"workPosition"`
	Organization  string `json:"organization"`
	OtherContacts string `json:"otherContacts"`
}

// find looks the requester up: by id, else by e-mail. A name alone stays a name.
func (r *requesterJSON) find(c *call) (*Person, string, error) {
	if r.ID != 0 {
		p, err := c.person("requester.id", &r.ID)
		return p, r.Name, err
	}
	if r.Email != "" {
		for _, p := range c.s.dir.allPersons() {
			if strings.EqualFold(p.Email, r.Email) && p.RemovedDate.IsZero() {
				return p, p.Name, nil
			}
		}
	}
	if r.Name == "" && r.Email != "" {
		return nil, r.Email, nil
	}
	return nil, r.Name, nil
}

type ticketIn struct {
	ServiceID            *int                       `json:"serviceId"`
	Name                 *string                    `json:"name"`
	DescriptionHTML      string                     `json:"descriptionHtml"`
	SLAID                *int                       `json:"slaId"`
	SLAName              *string                    `json:"slaName"`
	Priority             *string                    `json:"priority"`
	Impact               *string                    `json:"impact"`
	Urgency              *string                    `json:"urgency"`
	DeviceNumber         *string                    `json:"deviceNumber"`
	RelatedOrganization  *string                    `json:"relatedOrganization"`
	InternalTargetDate   *string                    `json:"internalTargetDate"`
	InternalTarget       *string                    `json:"internalTarget"`
	RequestedForPersonID *int                       `json:"requestedForPersonId"`
	Requester            *requesterJSON             `json:"requester"`
	Objects              []int                      `json:"objects"`
	Attachments          []attachmentJSON           `json:"attachments"`
	CustomItems          map[string]json.RawMessage `json:"customItems"`
}

// createRequest is a ticket to be made, whoever asks.
type createRequest struct {
	service       *Service
	name, html    string
	priority      string
	parent        int
	requester     *Person
	requesterName string
	solver        *Person
	attachments   []NewAttachment
	created       time.Time
	more          func(*draft) error // what else is set before the ticket is seen
}

// create makes a ticket with its founding record.
func (s *Server) create(ctx context.Context, who actor, in createRequest) (*ticket, error) {
	if strings.TrimSpace(in.name) == "" {
		return nil, refuseField("name", "The name field is required.")
	}
	if in.requester != nil && in.requester.NoSLA {
		return nil, refuseOData(RuleSLA, "The requester %s has no SLA for the service %s.", in.requester.Name, in.service.Name)
	}
	if in.priority == "" {
		in.priority = "Medium"
	}
	if err := checkPriority(in.priority); err != nil {
		return nil, err
	}
	now := s.now()
	if in.created.IsZero() {
		in.created = now
	}
	process := s.dir.process(in.service)
	t := &ticket{
		id: int(s.store.lastTicket.Add(1)), name: in.name, service: in.service, process: process, status: &process.Statuses[0],
		requester: in.requester, requesterName: in.requesterName, solver: in.solver, team: in.service.SolverTeam,
		teamID: in.service.SolverTeamID, priority: in.priority, impact: "Medium", urgency: "Medium", slaID: in.service.SLAID,
		slaName: in.service.SLA, created: in.created.UTC().Truncate(time.Millisecond), due: in.created.Add(72 * time.Hour), parent: in.parent,
	}
	defer s.store.lock(t.id)()
	d := &draft{s: s, who: who, now: now, t: t}
	d.wrote(OpTicketCreate, func(w *Write) { w.To, w.Detail = t.status.Name, t.name })
	d.entered = append(d.entered, t.status)
	record, err := d.found(in)
	if err != nil {
		return nil, err
	}
	t.initialRecord = record.id
	if in.more != nil {
		if err := in.more(d); err != nil {
			return nil, err
		}
	}
	if err := s.commit(ctx, d); err != nil {
		return nil, err
	}
	return d.t, nil
}

// found logs the founding record, which carries the mark of importance (Alvao documentation: important communication).
func (d *draft) found(in createRequest) (*record, error) {
	r := newRecord{
		subject: in.name, html: in.html, kind: KindForm, fromPerson: in.requester, from: in.requesterName, mark: MarkImportant,
		showToRequester: true, attachments: in.attachments, created: d.t.created,
	}
	return d.addRecord(r)
}

func (c *call) createTicket() error {
	var in ticketIn
	if err := c.body(&in); err != nil {
		return err
	}
	if in.ServiceID == nil {
		return refuseField("serviceId", "The serviceId field is required.")
	}
	req := createRequest{service: c.s.dir.service(*in.ServiceID), html: in.DescriptionHTML, requester: c.who.person}
	if req.service == nil {
		return refuse(RuleInput, "The service with ID %d does not exist.", *in.ServiceID)
	}
	if c.who.account.role(req.service) < RoleReader {
		return forbid("You do not have permission to create tickets in the service %s.", req.service.Name)
	}
	if in.Name != nil {
		req.name = *in.Name
	}
	if in.Priority != nil {
		req.priority = *in.Priority
	}
	var err error
	if in.Requester != nil {
		if req.requester, req.requesterName, err = in.Requester.find(c); err != nil {
			return err
		}
	}
	requestedFor, err := c.person("requestedForPersonId", in.RequestedForPersonID)
	if err != nil {
		return err
	}
	if req.attachments, err = decodeAttachments(in.Attachments); err != nil {
		return err
	}
	req.more = func(d *draft) error {
		d.t.requestedFor, d.t.objects = requestedFor, in.Objects
		in.Name, in.Priority = nil, nil
		if err := d.fieldsIn(&in); err != nil {
			return err
		}
		return d.customItemsIn(in.CustomItems)
	}
	t, err := c.s.create(c.r.Context(), c.who, req)
	if err != nil {
		return err
	}
	c.w.Header().Set("Location", c.api("/v1/tickets/"+strconv.Itoa(t.id)))
	c.answer(http.StatusCreated, c.s.ticketJSON(t, c.lang, true, false))
	return nil
}

func (c *call) patchTicket() error {
	var in ticketIn
	if err := c.body(&in); err != nil {
		return err
	}
	if in.ServiceID != nil || in.DescriptionHTML != "" || in.RequestedForPersonID != nil || in.Objects != nil || in.Attachments != nil {
		return refuseField("$", "serviceId, descriptionHtml, requestedForPersonId, objects and attachments can't be updated.")
	}
	_, err := c.change(func(d *draft) error {
		if err := d.mayChange(); err != nil {
			return err
		}
		if in.Requester != nil {
			p, name, err := in.Requester.find(c)
			if err != nil {
				return err
			}
			if p != d.t.requester || name != d.t.requesterName {
				d.t.requester, d.t.requesterName = p, name
				d.touched(columnProperty(columnRequester))
				d.updated("requester")
			}
		}
		if err := d.fieldsIn(&in); err != nil {
			return err
		}
		return d.customItemsIn(in.CustomItems)
	})
	if err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// fieldsIn applies the plain fields of a request that are there.
func (d *draft) fieldsIn(in *ticketIn) error {
	if in.Name != nil && strings.TrimSpace(*in.Name) == "" {
		return refuseField("name", "The name field is required.")
	}
	for _, f := range []struct {
		in             *string
		into           *string
		name, property string
		check          func(string) error
	}{
		{in.Name, &d.t.name, "name", columnProperty(columnName), nil},
		{in.Priority, &d.t.priority, "priority", columnProperty(columnPriority), checkPriority},
		{in.Impact, &d.t.impact, "impact", "tHdTicket.Impact", func(v string) error { return checkLevel("impact", v) }},
		{in.Urgency, &d.t.urgency, "urgency", "tHdTicket.Urgency", func(v string) error { return checkLevel("urgency", v) }},
		{in.DeviceNumber, &d.t.deviceNumber, "deviceNumber", "tHdTicket.sHdTicketDeviceCode", nil},
		{in.RelatedOrganization, &d.t.organization, "relatedOrganization", "tHdTicket.RelatedAccountId", nil},
		{in.InternalTarget, &d.t.internalTarget, "internalTarget", "tHdTicket.InternalTarget", nil},
		{in.SLAName, &d.t.slaName, "slaName", "tHdTicket.liHdTicketSlaId", nil},
	} {
		if f.in == nil {
			continue
		}
		if f.check != nil {
			if err := f.check(*f.in); err != nil {
				return err
			}
		}
		d.setText(f.into, f.name, f.property, *f.in)
	}
	if in.SLAID != nil && *in.SLAID != d.t.slaID {
		d.t.slaID = *in.SLAID
		d.touched("tHdTicket.liHdTicketSlaId")
		d.updated("slaId")
	}
	if in.InternalTargetDate != nil {
		t, err := time.Parse(time.RFC3339, *in.InternalTargetDate)
		if err != nil {
			return refuseField("internalTargetDate", "The value %s is not a date.", *in.InternalTargetDate)
		}
		d.t.internalTargetDate = t
		d.updated("internalTargetDate")
	}
	return nil
}
