package alvao

import (
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/tandem-sync/tandem/services/sandbox/odata"
)

// recordJSON is a log record as the OpenAPI document has it for the answer to POST.
type recordJSON struct {
	ID           int            `json:"id"`
	Subject      string         `json:"subject"`
	ContentHTML  string         `json:"contentHtml"`
	ContentPlain string         `json:"contentPlain"`
	Created      string         `json:"created"`
	Kind         Kind           `json:"kind"`
	From         string         `json:"from,omitempty"`
	EmailFrom    string         `json:"emailFrom,omitempty"`
	EmailTo      string         `json:"emailTo,omitempty"`
	EmailCc      string         `json:"emailCc,omitempty"`
	FromPersonID int            `json:"fromPersonId,omitempty"`
	ToPersonID   int            `json:"toPersonId,omitempty"`
	MessageID    string         `json:"messageId,omitempty"`
	Attachments  []documentJSON `json:"attachments"`
	// ShowToRequester is there only for tenants with LogShowsVisibility.
	ShowToRequester *bool `json:"showToRequester,omitempty"`
}

type documentJSON struct {
	Name string `json:"name"`
	ID   int    `json:"id"`
	Link string `json:"link"`
}

func nullableRecord() []string {
	return []string{"from", "emailFrom", "emailTo", "emailCc", "fromPersonId", "toPersonId", "messageId"}
}

func (s *Server) recordJSON(r *record, base string) recordJSON {
	out := recordJSON{
		ID: r.id, Subject: r.subject, ContentHTML: r.html, ContentPlain: r.plain, Created: s.date(r.created), Kind: r.kind,
		From: r.from, EmailFrom: r.emailFrom, EmailTo: r.emailTo, EmailCc: r.emailCc, FromPersonID: r.fromPerson.id(),
		ToPersonID: r.toPerson.id(), MessageID: r.messageID, Attachments: []documentJSON{},
	}
	if s.opts.Tenant.RelativeLinks {
		base = ""
	}
	for _, d := range r.documents {
		link := fmt.Sprintf("%s%s/v1/attachments/%d", base, s.opts.BasePath, d.id)
		out.Attachments = append(out.Attachments, documentJSON{Name: d.name, ID: d.id, Link: link})
	}
	return out
}

// listLog reads the log (modelled after the answer to POST; the resource itself is an assumption).
func (c *call) listLog() error {
	if c.s.opts.Tenant.LogUnreadable {
		return ErrNotFound
	}
	t, err := c.ticket()
	if err != nil {
		return err
	}
	q, err := c.query()
	if err != nil {
		return err
	}
	match, err := odata.Compile(q.Filter, c.s.recordSchema)
	if err != nil {
		return asQueryError(err)
	}
	sorter, err := odata.Sorter(q.OrderBy, c.s.recordSchema)
	if err != nil {
		return asQueryError(err)
	}
	var found []*record
	for _, r := range t.records {
		if match(r) {
			found = append(found, r)
		}
	}
	slices.SortStableFunc(found, sorter)
	total := len(found)
	take, skip, paged := c.s.window(q)
	found = found[min(skip, len(found)):]
	values := make([]any, 0, min(len(found), take))
	for _, r := range found[:min(len(found), take)] {
		v := c.s.recordJSON(r, c.baseURL())
		if c.s.opts.Tenant.LogShowsVisibility {
			v.ShowToRequester = &r.showToRequester
		}
		values = append(values, v)
	}
	rows, err := c.s.rows(values, q.Select, nullableRecord())
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

// postLog adds a record (OpenAPI document: CreateRecordInTicketLog).
func (c *call) postLog() error {
	var in struct {
		Subject         string           `json:"subject"`
		ContentHTML     string           `json:"contentHtml"`
		ContentPlain    string           `json:"contentPlain"`
		Kind            Kind             `json:"kind"`
		From            string           `json:"from"`
		EmailFrom       string           `json:"emailFrom"`
		EmailTo         string           `json:"emailTo"`
		EmailCc         string           `json:"emailCc"`
		FromPersonID    *int             `json:"fromPersonId"`
		ToPersonID      *int             `json:"toPersonId"`
		Created         *string          `json:"created"`
		ShowToRequester bool             `json:"showToRequester"`
		Attachments     []attachmentJSON `json:"attachments"`
	}
	if err := c.body(&in); err != nil {
		return err
	}
	if in.Subject == "" {
		return refuseField("subject", "The subject field is required.")
	}
	if !in.Kind.known() {
		return refuseField("kind", "The value %s is invalid.", in.Kind)
	}
	req := newRecord{
		subject: in.Subject, html: in.ContentHTML, plain: in.ContentPlain, kind: in.Kind, from: in.From, emailFrom: in.EmailFrom,
		emailTo: in.EmailTo, emailCc: in.EmailCc, showToRequester: in.ShowToRequester,
	}
	var err error
	if req.fromPerson, err = c.person("fromPersonId", in.FromPersonID); err != nil {
		return err
	}
	if req.toPerson, err = c.person("toPersonId", in.ToPersonID); err != nil {
		return err
	}
	if in.Created != nil && *in.Created != "" {
		if req.created, err = time.Parse(time.RFC3339, *in.Created); err != nil {
			return refuseField("created", "The value %s is not a date.", *in.Created)
		}
	}
	if req.attachments, err = decodeAttachments(in.Attachments); err != nil {
		return err
	}
	var r *record
	if _, err = c.change(func(d *draft) error {
		var err error
		if r, err = d.addRecord(req); err == nil {
			d.keepActivity(r.kind)
		}
		return err
	}); err != nil {
		return err
	}
	c.answer(http.StatusCreated, c.s.recordJSON(r, c.baseURL()))
	return nil
}

// getAttachment downloads an attachment, for an account that may read its ticket.
func (c *call) getAttachment() error {
	id, err := strconv.Atoi(c.r.PathValue("id"))
	if err != nil {
		return ErrNotFound
	}
	doc := c.s.store.document(id)
	if doc == nil {
		return ErrNotFound
	}
	if t := c.s.store.ticket(doc.ticket); t == nil || !c.sees(t) {
		return forbid("You do not have permission to read the attachment.")
	}
	c.w.Header().Set("Content-Type", doc.contentType)
	c.w.Header().Set("X-Content-Type-Options", "nosniff")
	c.w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": doc.name}))
	if c.s.opts.Tenant.NoFileLengths {
		_ = http.NewResponseController(c.w).Flush() // what follows comes in chunks
		_, _ = io.Copy(c.w, doc.open())             // a reader that goes away is no failure of ours
		return nil
	}
	http.ServeContent(c.w, c.r, "", doc.created, doc.open())
	return nil
}
