package reconcile_test

import (
	"bytes"
	"strings"
	"testing"

	standalvao "github.com/tandem-sync/tandem/services/sandbox/alvao"
	standazure "github.com/tandem-sync/tandem/services/sandbox/azuredevops"
)

const developer = "jana.dvorakova@contoso.com"

// chat is a linked pair whose people talk.
type chat struct {
	*world

	ticket, workItem int64
}

func chatting(t *testing.T, change ...func(*options)) *chat {
	t.Helper()
	w := setup(t, append([]func(*options){talking}, change...)...)
	c := &chat{world: w, ticket: w.ticket(t, "Development")}
	w.handle(t, c.ticket)
	c.workItem = w.link(t, c.ticket).WorkItem
	return c
}

// write lets the requester write into the log.
func (c *chat) write(t *testing.T, html string, files ...standalvao.NewAttachment) standalvao.Record {
	t.Helper()
	r, err := c.desk.AddMessage(t.Context(), standalvao.Requester, int(c.ticket), standalvao.Message{
		Subject: "About the printer", HTML: html, Attachments: files,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// comment lets a developer comment.
func (c *chat) comment(t *testing.T, html string) standazure.Comment {
	t.Helper()
	made, err := c.boards.As(developer).Comment(int(c.workItem), html, "html")
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func (c *chat) attach(t *testing.T, name string, content []byte) standazure.Attachment {
	t.Helper()
	made, err := c.boards.As(developer).Attach(int(c.workItem), name, bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// comments are the texts of the comments of the work item that hold a text and are
// not deleted.
func (c *chat) comments(holding string) []string {
	var texts []string
	for _, one := range c.boards.Comments(int(c.workItem)) {
		if !one.Deleted && strings.Contains(one.Text, holding) {
			texts = append(texts, one.Text)
		}
	}
	return texts
}

// records are the records that Tandem wrote into the log and that hold a text.
func (c *chat) records(holding string) []standalvao.Record {
	var found []standalvao.Record
	for _, r := range c.desk.Records(int(c.ticket)) {
		if r.ByApplication && (strings.Contains(r.HTML, holding) || strings.Contains(r.Subject, holding)) {
			found = append(found, r)
		}
	}
	return found
}

// attached are the files of the work item of that name.
func (c *chat) attached(name string) []standazure.Relation {
	shown, _ := c.boards.WorkItem(int(c.workItem))
	var found []standazure.Relation
	for _, r := range shown.Relations {
		if r.Attachment != nil && r.Attachment.Name == name {
			found = append(found, r)
		}
	}
	return found
}

// files are the files of that name in records of Tandem.
func (c *chat) files(name string) []standalvao.Attachment {
	var found []standalvao.Attachment
	for _, r := range c.records("") {
		for _, a := range r.Attachments {
			if a.Name == name {
				found = append(found, a)
			}
		}
	}
	return found
}

func (c *chat) round(t *testing.T) { t.Helper(); c.handle(t, c.ticket) }

// quiet checks that further rounds write nothing.
func (c *chat) quiet(t *testing.T) {
	t.Helper()
	before := c.writes()
	for range 2 {
		r := c.handle(t, c.ticket)
		if r.Writes != 0 || c.writes() != before {
			t.Errorf("another round wrote %d times: %v", r.Writes, r.Steps)
		}
	}
}
