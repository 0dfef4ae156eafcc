package alvao

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Topic is what a webhook is told about.
type Topic string

// The ticket topics.
const (
	TopicStatus Topic = "tickettransitionstostatus"
	TopicField  Topic = "ticketfieldchanged"
)

// Subscription is what a webhook wants to hear. Names are the default ones, not those of the tenant's language.
type Subscription struct {
	URL   string
	Topic Topic
	// Process and Status select transitions; Process is optional for fields. Service narrows either.
	Process, Status, Service string
	// FieldID is the column of TopicField, from the suggested columns.
	FieldID int
}

// Webhook is a subscription and how it fared. There is no retry: ErrorMessage is all that remains of a failed call.
type Webhook struct {
	Subscription
	ID           int
	Created      time.Time
	LastInvoked  time.Time
	ErrorMessage string
	Calls        int
	Failures     int
}

// webhooks is the table Webhook.
type webhooks struct {
	mu     sync.RWMutex
	byID   map[int]*Webhook
	lastID int
}

func (h *webhooks) add(sub Subscription, now time.Time) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lastID++
	h.byID[h.lastID] = &Webhook{Subscription: sub, ID: h.lastID, Created: now}
	return h.lastID
}

func (h *webhooks) remove(id int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := h.byID[id]
	delete(h.byID, id)
	return ok
}

func (h *webhooks) list() []Webhook {
	h.mu.RLock()
	defer h.mu.RUnlock()
	out := make([]Webhook, 0, len(h.byID))
	for _, w := range h.byID {
		out = append(out, *w)
	}
	slices.SortFunc(out, func(a, b Webhook) int { return a.ID - b.ID })
	return out
}

func (h *webhooks) invoked(id int, at time.Time, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w := h.byID[id]
	if w == nil {
		return
	}
	w.LastInvoked, w.ErrorMessage = at, ""
	w.Calls++
	if err != nil {
		w.ErrorMessage = err.Error()
		w.Failures++
	}
}

// checkSubscription finds what a subscription names, in a language, and returns it in default names.
func (s *Server) checkSubscription(sub Subscription, language string) (Subscription, error) {
	u, err := url.Parse(sub.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return sub, refuseField("webhookUrl", "The webhook URL is not valid.")
	}
	var process *Process
	if sub.Process != "" || sub.Topic == TopicStatus {
		if process = s.dir.processNamed(sub.Process, language); process == nil {
			return sub, refuse(RuleInput, "The process %q does not exist.", sub.Process)
		}
		sub.Process = process.Name
	}
	if sub.Topic == TopicStatus {
		status := process.statusIn(sub.Status, language)
		if status == nil {
			return sub, refuse(RuleUnknownStatus, "The process %q has no status %q.", process.name(language), sub.Status)
		}
		sub.Status = status.Name
	}
	if sub.Service != "" {
		service := s.dir.serviceNamed(sub.Service)
		if service == nil {
			return sub, refuse(RuleInput, "The service %q does not exist.", sub.Service)
		}
		sub.Service = service.Name
	}
	if sub.Topic == TopicField && s.fieldProperty(sub.FieldID) == "" {
		return sub, refuseField("fieldId", "There is no ticket field with the ID %d.", sub.FieldID)
	}
	return sub, nil
}

// fieldProperty gives `table.column` for the id of a suggested column, empty if it is none.
func (s *Server) fieldProperty(id int) string {
	if id == columnStatus && s.opts.Tenant.NoStatusColumn {
		return ""
	}
	if p := columnProperty(id); p != "" {
		return p
	}
	for _, c := range s.dir.columns {
		if c.ID == id {
			return "tHdTicketCust." + c.Name
		}
	}
	return ""
}

// wants tells whether the change is one the subscription asked for.
func (s *Server) wants(sub *Subscription, d *draft) bool {
	if sub.Process != "" && sub.Process != d.t.process.Name || sub.Service != "" && sub.Service != d.t.service.Name {
		return false
	}
	if sub.Topic == TopicField {
		return d.old != nil && slices.Contains(d.changed, s.fieldProperty(sub.FieldID))
	}
	return slices.ContainsFunc(d.entered, func(st *Status) bool { return st.Name == sub.Status })
}

// hint is one call to be made.
type hint struct {
	webhookID   int // zero: the application's
	url         string
	body        []byte
	application bool
}

// hintsOf lists the calls a change causes: built-in webhooks first, then the application's.
func (s *Server) hintsOf(d *draft) []hint {
	var out []hint
	if !s.opts.Tenant.NoWebhooks {
		s.webhooks.mu.RLock()
		for _, w := range s.webhooks.byID {
			if s.wants(&w.Subscription, d) {
				// The whole body: nothing else is sent (OpenAPI document: Webhook.UpdatedTicket).
				body := fmt.Appendf(nil, `{"requestId":%d,"personId":%d}`, d.t.id, d.who.person.ID)
				out = append(out, hint{webhookID: w.ID, url: w.URL, body: body})
			}
		}
		s.webhooks.mu.RUnlock()
		slices.SortFunc(out, func(a, b hint) int { return a.webhookID - b.webhookID })
	}
	return append(out, s.applicationHints(d)...)
}

func webhookID(text string) int {
	id, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return id
}
