package alvao

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/tandem-sync/tandem/services/sandbox/odata"
)

// personJSON is Common.Person of the OpenAPI document.
type personJSON struct {
	ID              int    `json:"id"`
	Name            string `json:"name"`
	FirstName       string `json:"firstName,omitempty"`
	LastName        string `json:"lastName,omitempty"`
	Login           string `json:"login,omitempty"`
	SAMAccountName  string `json:"sAMAccountName,omitempty"`
	Email           string `json:"email,omitempty"`
	Email2          string `json:"email2,omitempty"`
	Phone           string `json:"phone,omitempty"`
	Phone2          string `json:"phone2,omitempty"`
	MobilePhone     string `json:"mobilePhone,omitempty"`
	Department      string `json:"department,omitempty"`
	Office          string `json:"office,omitempty"`
	WorkPosition    string `json:"workPosition,omitempty"`
	Organization    string `json:"organization,omitempty"`
	OtherContacts   string `json:"otherContacts,omitempty"`
	PersonalNumber  string `json:"personalNumber,omitempty"`
	CreatedDate     string `json:"createdDate,omitempty"`
	RemovedDate     string `json:"removedDate,omitempty"`
	IsSystem        bool   `json:"isSystem"`
	IsHidden        bool   `json:"isHidden"`
	IsShared        bool   `json:"isShared"`
	IsDisabled      bool   `json:"isDisabled"`
	IsGuest         bool   `json:"isGuest"`
	IsApp           bool   `json:"isApp"`
	ManagerID       int    `json:"managerId,omitempty"`
	SubstituteID    int    `json:"substituteId,omitempty"`
	LocaleID        int    `json:"localeId,omitempty"`
	Timezone        string `json:"timezone,omitempty"`
	AzureADObjectID string `json:"azureAdObjectId,omitempty"`
}

func nullablePerson() []string {
	return []string{
		"firstName", "lastName", "login", "sAMAccountName", "email", "email2", "phone", "phone2", "mobilePhone", "department",
		"office", "workPosition", "organization", "otherContacts", "personalNumber", "removedDate", "managerId", "substituteId",
		"localeId", "timezone", "azureAdObjectId",
	}
}

func (s *Server) personJSON(p *Person) personJSON {
	return personJSON{
		ID: p.ID, Name: p.Name, FirstName: p.FirstName, LastName: p.LastName, Login: p.Login, SAMAccountName: p.SAMAccountName,
		Email: p.Email, Email2: p.Email2, Phone: p.Phone, Phone2: p.Phone2, MobilePhone: p.MobilePhone, Department: p.Department,
		Office: p.Office, WorkPosition: p.WorkPosition, Organization: p.Organization, OtherContacts: p.OtherContacts,
		PersonalNumber: p.PersonalNumber, CreatedDate: s.date(p.CreatedDate), RemovedDate: s.date(p.RemovedDate),
		IsSystem: p.IsSystem, IsHidden: p.IsHidden, IsShared: p.IsShared, IsDisabled: p.IsDisabled, IsGuest: p.IsGuest,
		IsApp: p.IsApp, ManagerID: p.ManagerID, SubstituteID: p.SubstituteID, LocaleID: p.LocaleID, Timezone: p.Timezone,
		AzureADObjectID: p.AzureADObjectID,
	}
}

// listUsers looks persons up (OpenAPI document: GetUsers), for members of "Contact readers".
func (c *call) listUsers() error {
	if !c.who.account.ReadsContacts {
		return forbid("You do not have permission to read users.")
	}
	q, err := c.query()
	if err != nil {
		return err
	}
	match, err := odata.Compile(q.Filter, personSchema)
	if err != nil {
		return asQueryError(err)
	}
	sorter, err := odata.Sorter(q.OrderBy, personSchema)
	if err != nil {
		return asQueryError(err)
	}
	search := strings.ToLower(q.Search)
	var found []*Person
	for _, p := range c.s.dir.allPersons() {
		hay := strings.ToLower(p.Name + "\n" + p.Login + "\n" + p.Email + "\n" + p.Email2)
		if match(p) && strings.Contains(hay, search) {
			found = append(found, p)
		}
	}
	slices.SortStableFunc(found, sorter)
	total := len(found)
	take, skip, paged := c.s.window(q)
	found = found[min(skip, len(found)):]
	values := make([]any, 0, min(len(found), take))
	for _, p := range found[:min(len(found), take)] {
		values = append(values, c.s.personJSON(p))
	}
	rows, err := c.s.rows(values, q.Select, nullablePerson())
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

// listServices lists the services the account has a role in (modelled; the resource is an assumption).
func (c *call) listServices() error {
	if c.s.opts.Tenant.NoServices {
		return ErrNotFound
	}
	list := []map[string]any{}
	for _, s := range c.s.dir.services {
		if c.who.account.role(s) < RoleReader {
			continue
		}
		items := map[string]any{}
		for name, value := range s.CustomItems {
			items[name] = customItemJSON{Type: customItemType, Name: name, Value: value}
		}
		list = append(list, map[string]any{
			"id": s.ID, "name": s.Name, "processName": c.s.dir.process(s).name(c.lang), "customItems": items,
		})
	}
	c.answer(http.StatusOK, map[string]any{"value": list})
	return nil
}

func (c *call) postStatusWebhook() error {
	var in struct {
		WebhookURL string `json:"webhookUrl"`
		Process    string `json:"process"`
		Status     string `json:"status"`
		Service    string `json:"service"`
	}
	return c.subscribe(&in, func() Subscription {
		return Subscription{URL: in.WebhookURL, Topic: TopicStatus, Process: in.Process, Status: in.Status, Service: in.Service}
	})
}

func (c *call) postFieldWebhook() error {
	var in struct {
		WebhookURL string `json:"webhookUrl"`
		FieldID    int    `json:"fieldId"`
		Process    string `json:"process"`
		Service    string `json:"service"`
	}
	return c.subscribe(&in, func() Subscription {
		return Subscription{URL: in.WebhookURL, Topic: TopicField, FieldID: in.FieldID, Process: in.Process, Service: in.Service}
	})
}

// subscribe makes a webhook of a body (OpenAPI document: WebhookCreated).
func (c *call) subscribe(body any, read func() Subscription) error {
	if c.s.opts.Tenant.NoWebhooks {
		return ErrNotFound
	}
	if err := c.body(body); err != nil {
		return err
	}
	sub, err := c.s.checkSubscription(read(), c.lang)
	if err != nil {
		return err
	}
	id := c.s.webhooks.add(sub, c.s.now())
	c.ledger(OpWebhookCreate, id, string(sub.Topic))
	c.w.Header().Set("Location", c.api("/webhooks/"+strconv.Itoa(id)))
	c.answer(http.StatusCreated, map[string]any{"id": id})
	return nil
}

// ledger notes a write that is not about a ticket.
func (c *call) ledger(op Op, id int, detail string) {
	p := c.who.person
	c.s.ledger.add([]Write{{
		Op: op, At: c.s.now(), WebhookID: id, PersonID: p.ID, Person: p.Name, Login: p.Login, Account: c.who.account.Login, Detail: detail,
	}})
}

func (c *call) deleteWebhook() error {
	id := webhookID(c.r.PathValue("id"))
	if c.s.opts.Tenant.NoWebhooks || !c.s.webhooks.remove(id) {
		return ErrNotFound
	}
	c.ledger(OpWebhookDelete, id, "")
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// suggestColumns lists the ticket columns that can be watched (OpenAPI document: GetTicketFields). System columns go by
// their title in the caller's language, custom ones by their database name; which of the two Alvao uses is not known.
func (c *call) suggestColumns() error {
	if c.s.opts.Tenant.NoWebhooks {
		return ErrNotFound
	}
	type column struct {
		ID   int    `json:"id"`
		Name string `json:"name"`
	}
	out := []column{}
	for _, s := range systemColumns() {
		if c.s.fieldProperty(s.id) == "" {
			continue
		}
		title := s.title
		if c.lang == "cs" {
			title = s.titleInC
		}
		out = append(out, column{s.id, title})
	}
	for _, s := range c.s.dir.columns {
		out = append(out, column{s.ID, s.Name})
	}
	c.answer(http.StatusOK, out)
	return nil
}
