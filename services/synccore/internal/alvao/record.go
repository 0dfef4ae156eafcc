package alvao

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
)

// defaultMaxUpload bounds the files of one record. Alvao documents no limit; its
// server refuses bodies above 30 MB by default, and files grow by a third on their
// way (alvao.md §1.3).
const defaultMaxUpload = 20 << 20

// AddRecord writes a record into the log of a ticket. The files are streamed. It is
// sent once: where the reply is lost, the fault is Unavailable and the caller looks
// for its mark among the Records before it writes again. Files that Alvao does not
// take, by size or by type, are Refused, and then nothing was written.
func (c *Client) AddRecord(ctx context.Context, ticketID int64, r item.NewRecord) (item.Record, error) {
	q := call{
		method: http.MethodPost, path: ticketPath(ticketID) + "/log",
		subject: "a message to " + ticketName(ticketID), deed: "add",
	}
	if err := c.checkRecord(q, r); err != nil {
		return item.Record{}, err
	}
	head, err := json.Marshal(outgoing(r))
	if err != nil {
		return item.Record{}, err
	}
	if q.content, q.length, err = withFiles(head, r.Files); err != nil {
		return item.Record{}, err
	}
	var w wireRecord
	if answer, err := c.do(ctx, q, &w); err != nil {
		return item.Record{}, refusedRecord(err, answer, q, r.Files)
	}
	if w.ID <= 0 {
		return item.Record{}, fault.New(fault.Unavailable, "%s", c.words().OutOfReach(q.told(), "sent an answer that is no record"))
	}
	made := c.record(w)
	// The answer does not tell it (OpenAPI: CreateRecordInTicketLog).
	made.ShowToRequester = r.ShowToRequester
	return made, nil
}

func (c *Client) checkRecord(q call, r item.NewRecord) error {
	var total int64
	for _, f := range r.Files {
		if strings.TrimSpace(f.Name) == "" || f.Content == nil || f.Size < 0 {
			return fault.New(fault.Invalid, "A file without name, content or size can't be attached with %s.", q.subject)
		}
		total += f.Size
	}
	switch {
	case strings.TrimSpace(r.Subject) == "" || r.Kind == "":
		return fault.New(fault.Invalid, "Alvao takes no message without subject and kind, so Tandem does not %s %s.", q.deed, q.subject)
	case total > c.maxUpload:
		return fault.New(fault.Refused, "The files with %s hold %d bytes together, more than the %d that are sent to Alvao at once.", q.subject, total, c.maxUpload)
	}
	return nil
}

// wireNewRecord is the body of CreateRecordInTicketLog without its attachments.
type wireNewRecord struct {
	Subject         string `json:"subject"`
	ContentHTML     string `json:"contentHtml,omitempty"`
	Kind            string `json:"kind"`
	From            string `json:"from,omitempty"`
	ShowToRequester bool   `json:"showToRequester"`
}

func outgoing(r item.NewRecord) wireNewRecord {
	return wireNewRecord{
		Subject: r.Subject, ContentHTML: r.HTML, Kind: r.Kind, From: r.From, ShowToRequester: r.ShowToRequester,
	}
}

// withFiles puts files into a JSON object as its attachments, and tells the length of
// the whole. The contents are read while it is read.
func withFiles(head []byte, files []item.Upload) (io.Reader, int64, error) {
	var parts []io.Reader
	var length int64
	literal := func(text string) {
		parts, length = append(parts, strings.NewReader(text)), length+int64(len(text))
	}
	literal(string(head[:len(head)-1]))
	for n, f := range files {
		name, err := json.Marshal(strings.TrimSpace(f.Name))
		if err != nil {
			return nil, 0, err
		}
		kind, err := json.Marshal(f.ContentType)
		if err != nil {
			return nil, 0, err
		}
		opening := `,"attachments":[{`
		if n > 0 {
			opening = `,{`
		}
		literal(opening + `"name":` + string(name))
		if f.ContentType != "" {
			literal(`,"contentType":` + string(kind))
		}
		literal(`,"contentBytes":"`)
		parts = append(parts, &base64Reader{from: outbound.Exactly(f.Content, f.Size)})
		length += encodedLen(f.Size)
		literal(`"}`)
	}
	if len(files) > 0 {
		literal(`]`)
	}
	literal(`}`)
	return io.MultiReader(parts...), length, nil
}

func encodedLen(size int64) int64 { return (size + 2) / 3 * 4 }

// base64Reader gives what it reads in base64. It holds one block at a time.
type base64Reader struct {
	from io.Reader
	raw  [3 << 12]byte
	text [4 << 12]byte
	left []byte
	err  error
}

// Read implements io.Reader.
func (b *base64Reader) Read(p []byte) (int, error) {
	for len(b.left) == 0 {
		if b.err != nil {
			return 0, b.err
		}
		n, err := io.ReadFull(b.from, b.raw[:])
		if err == io.ErrUnexpectedEOF { // ReadFull's own, of a short last block
			err = io.EOF
		}
		b.err = err
		base64.StdEncoding.Encode(b.text[:], b.raw[:n])
		b.left = b.text[:base64.StdEncoding.EncodedLen(n)]
	}
	n := copy(p, b.left)
	b.left = b.left[n:]
	return n, nil
}

// refusedRecord says what it is about a record's files that is refused: by IIS's
// limit on requests, which it answers with 413 or with 404.13 and a page of its own
// (Microsoft: IIS request limits), or by the tenant's lists of extensions.
func refusedRecord(err error, answer outbound.Answer, q call, files []item.Upload) error {
	cause := fault.KindOf(err)
	switch {
	case len(files) == 0 && answer.Status != http.StatusRequestEntityTooLarge:
		return err
	case answer.Status == http.StatusRequestEntityTooLarge,
		answer.Status == http.StatusNotFound && (answer.LooksHTML() || answer.Media() == "text/plain"):
		return fault.Wrap(err, fault.Refused, "Alvao does not take %s, because it is larger than its server allows with the files.", q.subject)
	case cause == fault.Invalid:
		return fault.Wrap(err, fault.Refused, "Alvao does not take %s with the files %s%s.", q.subject, names(files), toldBy(err))
	default:
		return err
	}
}

func names(files []item.Upload) string {
	list := make([]string, len(files))
	for i, f := range files {
		list[i] = outbound.OneLine(f.Name)
	}
	return outbound.OneLine(strings.Join(list, ", "))
}

// OpenFile opens a file for reading; the caller closes it. The size is in bytes, -1
// if not told, the media type empty if not told. A file that lies outside Alvao is
// Refused, and so is a web page in place of the file: an attachment may be a link to
// anywhere (alvao.md §2.5), and the account's password goes nowhere but to Alvao.
func (c *Client) OpenFile(ctx context.Context, a item.Attachment) (io.ReadCloser, int64, string, error) {
	subject := "the file " + outbound.OneLine(a.Name)
	target := c.resolve(a.URL)
	if target == "" {
		return nil, 0, "", fault.New(fault.Refused, "Alvao does not tell where %s can be read.", subject)
	}
	q := call{method: http.MethodGet, subject: subject, deed: "read"}
	s, err := c.http.Open(ctx, outbound.Request{
		Method: q.method, URL: target, Header: http.Header{"Accept": {"*/*"}},
	})
	if err != nil {
		err = c.words().Unsent(q.told(), err)
		if fault.Is(err, fault.Invalid) {
			err = fault.Wrap(err, fault.Refused, "The address of %s lies outside %s and was not called.", subject, c.base)
		}
		return nil, 0, "", err
	}
	return c.words().File(s, q.told(), a.Name, func(a outbound.Answer) error { return c.refusal(q, a) }, func() error { return c.signIn(ctx) })
}

// signIn tells whether the account's credentials are accepted.
func (c *Client) signIn(ctx context.Context) error {
	_, err := c.do(ctx, call{
		method: http.MethodGet, path: "/v1/tickets?" + c.query(Query{Service: c.service, Top: 1}, way{}, 0),
		subject: "the tickets of service " + c.service, deed: "list",
	}, nil)
	return err
}

// resolve makes a link absolute: relative ones lie below the REST API. Empty: it is
// no link.
func (c *Client) resolve(link string) string {
	if link = strings.TrimSpace(link); link == "" {
		return ""
	}
	base, err := url.Parse(c.base + "/")
	if err != nil {
		return ""
	}
	u, err := base.Parse(link)
	if err != nil {
		return ""
	}
	return u.String()
}
