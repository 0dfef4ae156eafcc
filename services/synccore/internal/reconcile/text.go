package reconcile

import (
	"bytes"
	"context"
	"fmt"
	"html"
	"io"
	"strings"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/richtext"
)

const (
	// maxComment is the longest comment that Azure DevOps is said to take (azure-devops.md
	// §2.7), maxRecord the longest record that Alvao is given.
	maxComment = 150_000
	maxRecord  = 1 << 20
	// maxImage is the largest inline image that crosses, maxRecordImages how many are
	// attached to one record: all of them are opened before the first is sent.
	maxImage        = 10 << 20
	maxRecordImages = 20
)

// deskSource is where texts of Alvao's come from.
func (r *round) deskSource() richtext.Source {
	return richtext.Source{
		Format: richtext.HTML, Base: r.connector.Messages.Desk, Roots: []string{r.connector.Messages.Desk},
		Redact: r.connector.RedactToAzureDevOps,
	}
}

// recordSource is the text of a record.
func (r *round) recordSource(record item.Record) richtext.Source {
	source := r.deskSource()
	source.Title, source.Text = record.Subject, record.HTML
	if strings.TrimSpace(record.HTML) == "" {
		source.Text, source.Format = record.Plain, richtext.Plain
	}
	return source
}

func (r *round) commentSource(comment item.Comment) richtext.Source {
	source := richtext.Source{
		Text: comment.Text, Format: richtext.HTML, Base: r.connector.Messages.Boards, Roots: r.connector.Messages.boardsRoots(),
		Redact: r.connector.RedactToAlvao,
	}
	if comment.Format == item.Markdown {
		source.Format = richtext.Markdown
	}
	return source
}

// commentFormat is what comments are written in.
func (r *round) commentFormat() item.TextFormat {
	if r.connector.Messages.Format == item.Markdown && r.connector.WorkItems.SupportsMarkdown() {
		return item.Markdown
	}
	return item.HTML
}

// header says where a mirror comes from.
func (r *round) header(source, hash, author, kind string, at time.Time) richtext.Header {
	if location := r.connector.Location; location != nil {
		at = at.In(location)
	} else {
		at = at.UTC()
	}
	h := richtext.Header{Reference: r.reference(source, hash), Author: author, Time: at, Kind: kind}
	if h.System == item.Alvao {
		h.Label, h.URL = r.sides.Ticket.MessageTag, r.sides.Ticket.URL
	} else {
		h.URL = r.sides.WorkItem.URL
	}
	return h
}

// notice is a text of our own about a message, marked as what stands for it.
func (r *round) notice(source, hash, sentence string, format item.TextFormat) string {
	return r.ownWords(r.header(source, hash, "Tandem", "", r.engine.cfg.Now()), sentence, format)
}

// commentText writes a record as a comment. Its images are uploaded.
func (r *round) commentText(ctx context.Context, source, hash string, record item.Record) (string, error) {
	format := richtext.Format(r.commentFormat())
	result := r.engine.texts.Convert(r.recordSource(record), richtext.Target{Format: format, Max: maxComment})
	places := make([]richtext.Place, len(result.Images))
	for i, image := range result.Images {
		address, err := r.uploadImage(ctx, record, image)
		if passing(err) {
			return "", err
		}
		// One that can't be carried leaves a note in its place.
		places[i].Address = address
	}
	body := result.WithImages(places)
	if result.Truncated {
		address, err := r.upload(ctx, fullName(source), "text/plain", int64(len(result.Full)), strings.NewReader(result.Full))
		if err != nil {
			return "", err
		}
		body += linkTo(format, address)
	}
	return richtext.Mirror(r.header(source, hash, record.From, strings.ToLower(record.Kind), record.Created), body, format), nil
}

func fullName(source string) string { return strings.ReplaceAll(source, "/", "-") + ".txt" }

func linkTo(format richtext.Format, address string) string {
	const text = "The full text"
	if format == richtext.Markdown {
		return "\n\n[" + text + "](<" + address + ">)"
	}
	return `<p><a href="` + html.EscapeString(address) + `">` + text + `</a></p>`
}

// passing tells whether what failed may go well later, so that nothing is given up.
func passing(err error) bool {
	switch fault.KindOf(err) {
	case fault.Refused, fault.Invalid, fault.NotFound, fault.Denied, fault.Misconfigured:
		return false
	default:
		return err != nil
	}
}

func (r *round) uploadImage(ctx context.Context, record item.Record, image richtext.Image) (string, error) {
	if content, kind, ok := image.Inlined(); ok {
		if r.connector.Messages.Rules.Files.Refuses(image.Name, kind) {
			return "", otherType(image.Name)
		}
		return r.upload(ctx, image.Name, kind, int64(len(content)), bytes.NewReader(content))
	}
	file := item.Attachment{Name: image.Name, URL: image.URL}
	if name, embedded := strings.CutPrefix(image.Src, "cid:"); embedded {
		for _, a := range record.Attachments {
			if a.Name != "" && strings.HasPrefix(name, a.Name) {
				file.URL = a.URL
			}
		}
	}
	content, err := r.open(ctx, r.connector.Tickets.OpenFile, file, min(maxImage, r.connector.Messages.maxFile()))
	if err != nil {
		return "", err
	}
	defer content.close()
	return r.upload(ctx, image.Name, content.ContentType, content.Size, content.Content)
}

func (r *round) upload(ctx context.Context, name, kind string, size int64, content io.Reader) (string, error) {
	address, err := r.connector.WorkItems.UploadFile(ctx, r.sides.WorkItem.Project, item.Upload{Name: name, ContentType: kind, Size: size, Content: content})
	if err != nil {
		return "", fmt.Errorf("uploading the file %q: %w", name, err)
	}
	return address, nil
}

// letter is a record to be written, with the files it needs.
type letter struct {
	html  string
	files []item.Upload
	close func()
}

// recordText writes a comment as a record. Its images are attached, since where Alvao
// will show them is not known before.
func (r *round) recordText(ctx context.Context, source, hash, kind string, comment item.Comment, withFiles bool) (letter, error) {
	text := r.commentSource(comment)
	if mentioned := richtext.Mentioned(text); len(mentioned) > 0 {
		text.Mentions = r.connector.WorkItems.Names(ctx, mentioned)
	}
	result := r.engine.texts.Convert(text, richtext.Target{Format: richtext.HTML, Max: maxRecord})
	var files []item.Upload
	var closers []func()
	closeAll := func() {
		for _, f := range closers {
			f()
		}
	}
	places := make([]richtext.Place, len(result.Images))
	for i, image := range result.Images {
		if !withFiles || i >= maxRecordImages {
			break
		}
		content, err := r.openImage(ctx, image)
		if passing(err) {
			closeAll()
			return letter{}, err
		}
		if err != nil {
			continue
		}
		closers = append(closers, content.close)
		files = append(files, content.Upload)
		places[i].Attached = true
	}
	if result.Truncated && withFiles {
		files = append(files, item.Upload{
			Name: fullName(source), ContentType: "text/plain", Size: int64(len(result.Full)), Content: strings.NewReader(result.Full),
		})
	}
	mirror := richtext.Mirror(r.header(source, hash, comment.Author, kind, comment.Created), result.WithImages(places), richtext.HTML)
	return letter{html: mirror, files: files, close: closeAll}, nil
}

func (r *round) openImage(ctx context.Context, image richtext.Image) (opened, error) {
	if content, kind, ok := image.Inlined(); ok {
		if r.connector.Messages.Rules.Files.Refuses(image.Name, kind) {
			return opened{}, otherType(image.Name)
		}
		return opened{
			Upload: item.Upload{Name: image.Name, ContentType: kind, Size: int64(len(content)), Content: bytes.NewReader(content)},
			close:  func() {},
		}, nil
	}
	if _, _, ours := r.connector.WorkItems.AttachmentOfURL(image.URL); !ours {
		return opened{}, fault.New(fault.Refused, "The image %q is not in Azure DevOps.", image.Name)
	}
	return r.open(ctx, r.connector.WorkItems.OpenFile, item.Attachment{Name: image.Name, URL: image.URL, Size: -1}, min(maxImage, r.connector.Messages.maxFile()))
}
