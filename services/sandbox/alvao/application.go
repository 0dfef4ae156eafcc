package alvao

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// applicationBody is what the companion application posts (alvao.md §3.3; modelled, the format is Tandem's own:
// deploy/alvao/README.md).
type applicationBody struct {
	Event string `json:"event"`
	// Nonce makes two hints of one second differ, because a signature is good only once.
	Nonce      string             `json:"nonce"`
	TicketID   int                `json:"ticketId"`
	ActID      int                `json:"actId,omitempty"`
	PersonID   int                `json:"personId"`
	Properties string             `json:"properties,omitempty"`
	Record     *applicationRecord `json:"record,omitempty"`
	Round      *applicationRound  `json:"round,omitempty"`
}

// applicationRound says that all records were told again, and taken.
type applicationRound struct {
	TookMS int64 `json:"tookMs"`
}

// applicationRecord is a record as the application reads it from the database. With Removed or Bare the contents are
// left out.
type applicationRecord struct {
	AsOf            string            `json:"asOf"`
	Own             bool              `json:"own,omitempty"`
	Again           bool              `json:"again,omitempty"`
	Removed         bool              `json:"removed,omitempty"`
	Bare            bool              `json:"bare,omitempty"`
	Mark            string            `json:"mark,omitempty"`
	ShowToRequester bool              `json:"showToRequester,omitempty"`
	Subject         string            `json:"subject,omitempty"`
	ContentHTML     string            `json:"contentHtml,omitempty"`
	ContentPlain    string            `json:"contentPlain,omitempty"`
	Kind            Kind              `json:"kind,omitempty"`
	From            string            `json:"from,omitempty"`
	Created         string            `json:"created,omitempty"`
	Attachments     []applicationFile `json:"attachments,omitempty"`
}

type applicationFile struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
	Size int64  `json:"size"`
	Link string `json:"link,omitempty"`
}

// times gives each reading of a record a time of its own, as the database's clock of 100 ns does.
type times struct{ last atomic.Int64 }

func (t *times) next(now time.Time) string {
	for {
		last := t.last.Load()
		next := max(now.UnixMicro(), last+1)
		if t.last.CompareAndSwap(last, next) {
			return time.UnixMicro(next).UTC().Format("2006-01-02T15:04:05.000000Z")
		}
	}
}

// skips tells whether the changes of a person are Tandem's own.
func (a *Application) skips(p *Person) bool {
	return p != nil && slices.ContainsFunc(a.Skip, func(login string) bool { return strings.EqualFold(login, p.Login) })
}

// applicationHints are the hints of the companion application. Of changes by Tandem's own account it tells the records
// alone, and those as its own, so that Tandem finds what it wrote where the log can't be read.
func (s *Server) applicationHints(d *draft) []hint {
	app := s.application.Load()
	if app == nil {
		return nil
	}
	own := app.skips(d.who.person)
	var bodies []applicationBody
	base := applicationBody{TicketID: d.t.id, PersonID: d.who.person.ID}
	switch {
	case own:
	case d.old == nil:
		b := base
		b.Event = "ticket.created"
		bodies = append(bodies, b)
	case len(d.changed) > 0:
		b := base
		b.Event, b.Properties = "ticket.changed", strings.Join(d.changed, ",")
		bodies = append(bodies, b)
	}
	for _, e := range d.records {
		b := base
		b.Event, b.ActID = e.event, e.r.id
		b.Record = s.applicationRecord(app, e.r)
		b.Record.Own = own
		if e.event == "act.removed" {
			b.Record = &applicationRecord{AsOf: b.Record.AsOf, Own: own, Removed: true}
		}
		bodies = append(bodies, b)
	}
	return app.hints(bodies)
}

func (a *Application) hints(bodies []applicationBody) []hint {
	out := make([]hint, 0, len(bodies))
	for _, b := range bodies {
		b.Nonce = rand.Text()
		raw, err := json.Marshal(b)
		if err != nil {
			continue // strings, numbers and booleans always marshal
		}
		out = append(out, hint{url: a.URL, body: raw, application: true})
	}
	return out
}

func (s *Server) applicationRecord(app *Application, r *record) *applicationRecord {
	out := &applicationRecord{AsOf: s.applicationTimes.next(s.opts.Now()), Mark: r.mark.String(), ShowToRequester: r.showToRequester}
	if !app.Bodies {
		out.Bare = true
		return out
	}
	out.Subject, out.ContentHTML, out.ContentPlain, out.Kind, out.From = r.subject, r.html, r.plain, r.kind, r.from
	out.Created = r.created.UTC().Format(time.RFC3339Nano)
	for _, d := range r.documents {
		f := applicationFile{ID: d.id, Name: d.name, Size: int64(len(d.content)) + d.zeros}
		if !app.NoLinks {
			f.Link = fmt.Sprintf("v1/attachments/%d", d.id)
		}
		out.Attachments = append(out.Attachments, f)
	}
	return out
}

// RunApplication runs what the companion application does every hour: it tells all records again, in case a hint was
// lost, one after the other, and then that this was all. It ends with the first that is not taken. It does not wait for
// the end, and does nothing where the application is off.
func (s *Server) RunApplication() {
	app := s.application.Load()
	if app == nil {
		return
	}
	began := s.opts.Now()
	var bodies []applicationBody
	for _, id := range s.store.ids() {
		bodies = append(bodies, s.sweptTicket(app, id)...)
	}
	s.hooks.inTurn(app.hints(bodies), func() []hint {
		return app.hints([]applicationBody{{Event: "round.finished", Round: &applicationRound{TookMS: s.opts.Now().Sub(began).Milliseconds()}}})
	})
}

// sweptTicket tells all records of a ticket. It waits for who changes the ticket, as the application waits for locks of
// the database: what it tells is not older than it says.
func (s *Server) sweptTicket(app *Application, id int) []applicationBody {
	defer s.store.lock(id)()
	t := s.store.ticket(id)
	if t == nil {
		return nil
	}
	var bodies []applicationBody
	for _, r := range t.records {
		record := s.applicationRecord(app, r)
		record.Own, record.Again = app.skips(r.author), true
		bodies = append(bodies, applicationBody{Event: "act.swept", TicketID: t.id, ActID: r.id, PersonID: r.author.id(), Record: record})
	}
	for _, removed := range t.removedRecords {
		record := &applicationRecord{AsOf: s.applicationTimes.next(s.opts.Now()), Removed: true, Again: true}
		bodies = append(bodies, applicationBody{Event: "act.swept", TicketID: t.id, ActID: removed, Record: record})
	}
	return bodies
}

// String names the mark as the application does.
func (m Mark) String() string {
	switch m {
	case MarkImportant:
		return "important"
	case MarkSolution:
		return "solution"
	case MarkNone:
	}
	return ""
}
