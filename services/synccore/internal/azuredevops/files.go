package azuredevops

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lenient"
	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
)

const (
	relAttachment   = "AttachedFile"
	attachmentsPath = "/_apis/wit/attachments/"

	// simpleLimit is the largest file that may be sent in one piece (Azure DevOps:
	// attachments, upload; "130 MB").
	simpleLimit = 130_000_000
	// defaultChunk is how much one piece of a larger file holds.
	defaultChunk = 16 << 20
)

// place is an attachment's address taken apart.
type place struct {
	id, name string
	// project is the project named in the address, escaped; empty: none.
	project string
}

// AttachmentOfURL recognises the address of an attachment of this account, in any of
// the account's URL forms, such as the source of an inline image. The name may be
// empty. Whatever it does not recognise must not be called with the token.
func (c *Client) AttachmentOfURL(raw string) (string, string, bool) {
	p, ok := c.attachmentPlace(raw)
	return p.id, p.name, ok
}

func (c *Client) attachmentPlace(raw string) (place, bool) {
	u, err := url.Parse(strings.TrimSpace(raw))
	if err != nil || u.Host == "" || u.User != nil || (u.Scheme != "https" && u.Scheme != "http") {
		return place{}, false
	}
	escaped := u.EscapedPath()
	at := strings.Index(strings.ToLower(escaped), attachmentsPath)
	if at < 0 {
		return place{}, false
	}
	id := strings.TrimRight(escaped[at+len(attachmentsPath):], "/")
	above, plain := pathSegments(escaped[:at])
	own := c.accountDepth(u, above)
	if !isGUID(id) || !plain || len(above) < own || len(above) > own+1 {
		return place{}, false
	}
	if key, _ := accountKey(u.Scheme + "://" + u.Host + "/" + strings.Join(above[:own], "/")); key == "" || key != c.at.key {
		return place{}, false
	}
	p := place{id: strings.ToLower(id), name: u.Query().Get("fileName")}
	if len(above) > own {
		p.project = above[own]
	}
	return p, true
}

// pathSegments takes a path apart, leaving the segments escaped; false: it holds
// segments that a server may resolve to another path.
func pathSegments(escaped string) ([]string, bool) {
	if escaped == "" {
		return nil, true
	}
	segments := strings.Split(strings.TrimPrefix(escaped, "/"), "/")
	for _, s := range segments {
		plain, err := url.PathUnescape(s)
		if err != nil || plain == "" || plain == "." || plain == ".." || strings.ContainsAny(plain, `/\`) {
			return nil, false
		}
	}
	return segments, true
}

// accountDepth is how many of the segments name the account rather than a project:
// the organisation on dev.azure.com, none on visualstudio.com but for the collection
// that old addresses may still name, and on a Server as many as the own account has.
func (c *Client) accountDepth(u *url.URL, segments []string) int {
	switch host := strings.ToLower(u.Hostname()); {
	case host == servicesHost:
		return 1
	case strings.HasSuffix(host, legacySuffix):
		if len(segments) > 0 && strings.EqualFold(segments[0], "DefaultCollection") {
			return 1
		}
		return 0
	default:
		own, err := url.Parse(c.at.account)
		if err != nil {
			return 0
		}
		segments, _ := pathSegments(strings.TrimRight(own.EscapedPath(), "/"))
		return len(segments)
	}
}

// attachment is a file of a relation; false: it has no address of this account.
func (c *Client) attachment(r wireRelation) (item.Attachment, bool) {
	p, ok := c.attachmentPlace(string(r.URL))
	if !ok {
		return item.Attachment{}, false
	}
	a := item.Attachment{
		ID: p.id, Name: r.Attributes.Text("name"), Size: -1, URL: string(r.URL),
		Added:   lenient.Time(r.Attributes.Text("authorizedDate"), nil),
		Comment: r.Attributes.Text("comment"),
	}
	if a.Name == "" {
		a.Name = p.name
	}
	if a.Added.IsZero() {
		a.Added = lenient.Time(r.Attributes.Text("resourceCreatedDate"), nil)
	}
	if size := r.Attributes.Int("resourceSize"); size > 0 {
		a.Size = size
	}
	return a, true
}

// UploadFile stores a file without attaching it anywhere, and gives its address for
// AttachFile or for an inline image. The content is streamed: in one piece up to
// Options.ChunkAbove, in several beyond. It is never repeated, since the content can
// be read only once; a file that was stored and never attached stays invisible and
// can't be removed (azure-devops.md §2.8). A file beyond the limits of Azure DevOps
// is Refused.
func (c *Client) UploadFile(ctx context.Context, project string, f item.Upload) (string, error) {
	name := strings.TrimSpace(f.Name)
	q := call{
		method: http.MethodPost, path: c.below(project, "/wit/attachments"),
		subject: "the file " + outbound.OneLine(name), deed: "upload",
	}
	switch {
	case name == "" || f.Content == nil || f.Size < 0:
		return "", fault.New(fault.Invalid, "A file without name, content or size can't be uploaded to Azure DevOps.")
	case f.Size > c.chunkAbove:
		return c.uploadChunks(ctx, q, project, f)
	}
	q.query = "uploadType=simple&fileName=" + url.QueryEscape(name)
	q.content, q.length = f.Content, f.Size
	return c.upload(ctx, q)
}

type wireUpload struct {
	ID  lenient.Text `json:"id"`
	URL lenient.Text `json:"url"`
}

func (c *Client) upload(ctx context.Context, q call) (string, error) {
	var w wireUpload
	if _, err := c.do(ctx, q, &w); err != nil {
		return "", err
	}
	if w.URL == "" || !isGUID(string(w.ID)) {
		return "", fault.New(fault.Unavailable, "%s", c.words().OutOfReach(q.told(), "sent an answer that is no attachment"))
	}
	return string(w.URL), nil
}

// uploadChunks announces the file and sends it piece by piece.
func (c *Client) uploadChunks(ctx context.Context, q call, project string, f item.Upload) (string, error) {
	name := url.QueryEscape(strings.TrimSpace(f.Name))
	q.query = "uploadType=chunked&fileName=" + name
	var w wireUpload
	if _, err := c.do(ctx, q, &w); err != nil {
		return "", err
	}
	if w.URL == "" || !isGUID(string(w.ID)) {
		return "", fault.New(fault.Unavailable, "%s", c.words().OutOfReach(q.told(), "sent an answer that is no attachment"))
	}
	// One reader over all pieces, so that a content of the wrong size is seen at its end.
	content := outbound.Exactly(f.Content, f.Size)
	q.method, q.path = http.MethodPut, c.below(project, "/wit/attachments/"+string(w.ID))
	for start := int64(0); start < f.Size; start += c.chunk {
		size := min(c.chunk, f.Size-start)
		q.content, q.length = io.LimitReader(content, size), size
		q.header = http.Header{"Content-Range": {fmt.Sprintf("bytes %d-%d/%d", start, start+size-1, f.Size)}}
		if _, err := c.do(ctx, q, nil); err != nil {
			return "", err
		}
	}
	if _, err := content.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		return "", c.words().Unsent(q.told(), err)
	}
	return string(w.URL), nil
}

// AttachFile attaches an uploaded file to a work item, provided the item still has
// revision rev; 0 skips that proof. A changed item is a Conflict. A file that is
// attached already is a success.
func (c *Client) AttachFile(ctx context.Context, workItem, rev int64, address, comment string) (item.WorkItem, error) {
	if _, ok := c.attachmentPlace(address); !ok {
		return item.WorkItem{}, fault.New(fault.Invalid, "The address is none of a file in %s, so nothing was attached to %s.", c.at.account, workItemName(workItem))
	}
	operations := make([]operation, 0, 2)
	if rev > 0 {
		operations = append(operations, testRev(rev))
	}
	r := relation{Rel: relAttachment, URL: address}
	if comment != "" {
		r.Attributes = map[string]string{"comment": comment}
	}
	operations = append(operations, operation{Op: "add", Path: "/relations/-", Value: r})
	changed, err := c.patch(ctx, workItem, operations, "attach a file to")
	if relationExists(err) {
		return c.WorkItem(ctx, workItem)
	}
	return changed, err
}

// OpenFile opens a file for reading; the caller closes it. The size is in bytes, -1
// if not told, the media type empty if not told. Only files of this account are
// asked for, whatever the attachment's address says; others are Refused, and so is a
// web page in place of the file (azure-devops.md §2.8).
func (c *Client) OpenFile(ctx context.Context, a item.Attachment) (io.ReadCloser, int64, string, error) {
	subject := "the file " + outbound.OneLine(a.Name)
	p := place{id: a.ID}
	if a.URL != "" {
		var ours bool
		if p, ours = c.attachmentPlace(a.URL); !ours {
			return nil, 0, "", fault.New(fault.Refused, "The address of %s lies outside %s and was not called.", subject, c.at.account)
		}
	}
	if !isGUID(p.id) {
		return nil, 0, "", fault.New(fault.Refused, "Azure DevOps does not tell where %s can be read.", subject)
	}
	q := call{method: http.MethodGet, path: attachmentsPath + p.id, query: "download=true", subject: subject, deed: "read"}
	if p.project != "" {
		q.path = "/" + p.project + q.path
	}
	if a.Name != "" {
		q.query += "&fileName=" + url.QueryEscape(a.Name)
	}
	request := outbound.Request{Method: q.method, URL: c.target(q), Header: http.Header{"Accept": {"*/*"}}}
	s, err := c.http.Open(ctx, request)
	if err != nil {
		return nil, 0, "", c.words().Unsent(q.told(), err)
	}
	return c.words().File(s, q.told(), a.Name, func(a outbound.Answer) error { return c.refusal(q, a) }, func() error {
		_, err := c.readIdentity(ctx)
		return err
	})
}
