package alvao

import (
	"encoding/base64"
	"fmt"
	"html"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/microcosm-cc/bluemonday"
)

// newRecord is what a caller wants to put into the log.
type newRecord struct {
	subject, html, plain        string
	kind                        Kind
	from                        string
	emailFrom, emailTo, emailCc string
	fromPerson, toPerson        *Person
	created                     time.Time
	showToRequester             bool
	mark                        Mark
	attachments                 []NewAttachment
}

// NewAttachment is a file to be attached.
type NewAttachment struct {
	Name, ContentType string
	Content           []byte
	// Zeros makes a file of that many zero bytes, which are not held, in place of Content.
	Zeros int64
}

// addRecord puts a record into the log of the ticket. Readers of the service may, too.
func (d *draft) addRecord(in newRecord) (*record, error) {
	t := d.t
	if a := d.who.account; a != nil && a.role(t.service) < RoleReader {
		return nil, forbid("You do not have permission to add records to ticket %s.", t.tag())
	}
	if p := in.fromPerson; p != nil && (p.NoRecords || p.IsDisabled || !p.RemovedDate.IsZero()) {
		return nil, refuse(RuleOnBehalf, "The user %s can't create records in ticket %s.", p.Name, t.tag())
	}
	r := &record{
		id: int(d.s.store.lastRecord.Add(1)), ticket: t.id, subject: in.subject, html: in.html, plain: in.plain, kind: in.kind,
		from: in.from, emailFrom: in.emailFrom, emailTo: in.emailTo, emailCc: in.emailCc, fromPerson: in.fromPerson,
		toPerson: in.toPerson, author: d.who.person, created: in.created, showToRequester: in.showToRequester, mark: in.mark,
	}
	if r.created.IsZero() {
		r.created = d.now
	}
	// Somebody always is the author: the caller, unless the record says otherwise.
	if r.fromPerson == nil && r.from == "" && r.emailFrom == "" {
		r.fromPerson = d.who.person
	}
	if r.fromPerson != nil && r.from == "" {
		r.from, r.emailFrom = r.fromPerson.Name, r.fromPerson.Email
	}
	r.bothContents()
	r.messageID = fmt.Sprintf("<%d.%d@alvao.invalid>", t.id, r.id)
	if err := d.attach(r, in.attachments); err != nil {
		return nil, err
	}
	t.records = append(t.records, r)
	d.records = append(d.records, recordEvent{"act.created", r})
	d.wrote(OpRecordCreate, func(w *Write) { w.RecordID, w.Kind, w.Detail = r.id, r.kind, r.subject })
	return r, nil
}

// bothContents fills the content that was not given from the other. Which of them Alvao stores is not documented.
func (r *record) bothContents() {
	switch {
	case r.plain == "" && r.html != "":
		r.plain = strings.TrimSpace(html.UnescapeString(bluemonday.StrictPolicy().Sanitize(r.html)))
	case r.html == "" && r.plain != "":
		r.html = strings.ReplaceAll(html.EscapeString(r.plain), "\n", "<br>")
	}
}

func (d *draft) attach(r *record, attachments []NewAttachment) error {
	for _, a := range attachments {
		if a.Name == "" {
			return refuseField("attachments", "The attachment has no name.")
		}
		ext := strings.ToLower(path.Ext(a.Name))
		if slices.Contains(d.s.opts.AttachmentBlacklist, ext) {
			return refuse(RuleAttachment, "Files of the type %s can't be attached.", ext)
		}
		doc := &document{
			id: int(d.s.store.lastDocument.Add(1)), ticket: d.t.id, record: r.id, name: a.Name, contentType: a.ContentType,
			content: d.s.store.intern(a.Content), zeros: a.Zeros, created: d.now,
		}
		if doc.contentType == "" {
			doc.contentType = "application/octet-stream"
		}
		r.documents = append(r.documents, doc)
		d.added = append(d.added, doc)
	}
	return nil
}

// systemRecord logs what the service desk did by itself. It does not count as a write of its own, and so stays out of
// the ledger: the write that caused it is there.
func (d *draft) systemRecord(kind Kind, subject string) {
	p := d.who.person
	d.t.records = append(d.t.records, &record{
		id: int(d.s.store.lastRecord.Add(1)), ticket: d.t.id, subject: subject, kind: kind, from: p.Name, fromPerson: p,
		author: p, created: d.now,
	})
	d.records = append(d.records, recordEvent{"act.created", d.t.records[len(d.t.records)-1]})
}

// attachmentJSON is Attachment of the OpenAPI document.
type attachmentJSON struct {
	ContentBytes string `json:"contentBytes"`
	ContentType  string `json:"contentType"`
	Name         string `json:"name"`
}

func decodeAttachments(in []attachmentJSON) ([]NewAttachment, error) {
	out := make([]NewAttachment, 0, len(in))
	for i, a := range in {
		content, err := base64.StdEncoding.DecodeString(a.ContentBytes)
		if err != nil {
			return nil, refuseField(fmt.Sprintf("attachments[%d].contentBytes", i), "The value is not a valid Base64 string.")
		}
		out = append(out, NewAttachment{Name: a.Name, ContentType: a.ContentType, Content: content})
	}
	return out, nil
}
