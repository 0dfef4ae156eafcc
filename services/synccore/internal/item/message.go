package item

import (
	"io"
	"time"
)

// TextFormat is how a text is written.
type TextFormat string

// The formats.
const (
	HTML     TextFormat = "html"
	Markdown TextFormat = "markdown"
)

// Comment is one comment of a work item (azure-devops.md §2.7).
type Comment struct {
	ID int64
	// Version counts edits from 1; 0 if not told.
	Version int64
	Text    string
	// Format is HTML where the server does not tell.
	Format TextFormat
	// Author is the display name, AuthorID the identity's GUID.
	Author, AuthorID  string
	Created, Modified time.Time
	Deleted           bool
}

// Attachment is a file at a work item or at a log record.
type Attachment struct {
	// ID is the GUID (Azure DevOps) or the number (Alvao) as text.
	ID   string
	Name string
	// Size is in bytes; -1 if not told.
	Size int64
	// URL is where the content is read. It is only ever asked at the configured host.
	URL string
	// Added is when it was attached; zero if not told.
	Added time.Time
	// Comment is what a work item says beside the file; empty elsewhere.
	Comment string
}

// Upload is a file to be attached. Content is read once.
type Upload struct {
	Name        string
	ContentType string
	// Size is in bytes; it must be right.
	Size    int64
	Content io.Reader
}

// NewRecord is a log entry to be made.
type NewRecord struct {
	Subject string
	HTML    string
	Kind    string
	// From is the name that the record shows as its author; empty: the account's.
	From            string
	ShowToRequester bool
	Files           []Upload
}

// Identity is a person of Azure DevOps (azure-devops.md §3.1).
type Identity struct {
	ID          string
	UniqueName  string
	DisplayName string
}

// Mirror remembers that a message or file of one side stands on the other.
type Mirror struct {
	// Target is what mirrors it: the number of a comment or record, or the GUID of a
	// file. Empty while it is being posted, and for good where it was left out.
	Target string `json:"t,omitempty"`
	// Hash is that of the content that was mirrored last, in normal form.
	Hash string `json:"h,omitempty"`
	// Posting is when posting it began, until its end is known.
	Posting time.Time `json:"p,omitzero"`
	// Changing is when writing began that the source was edited or deleted, until its end is
	// known. It is kept where what was written can't be read again at once.
	Changing time.Time `json:"e,omitzero"`
	// Gone tells that the source was deleted and the mirror says so.
	Gone bool `json:"g,omitempty"`
	// Notify is when a Notice was asked for, to be due once the mirror stands; zero: none.
	// The store of links makes it due in the step that stores such a mirror, and keeps the
	// wish no longer.
	Notify time.Time `json:"n,omitzero"`
	// Content is the hash of a file's content; empty for what is no file, and where
	// nobody has read it.
	Content string `json:"c,omitempty"`
}

// Memory is what is remembered of a ticket's messages and files.
type Memory struct {
	// Mirrors are those that have crossed or are about to, by the name of their source.
	Mirrors map[string]Mirror
	// Since is when the memory began, by the clock of Redis: what was posted before then may
	// not be among Mirrors. Zero: unknown.
	Since time.Time
}

// Stands tells that posting the mirror has come to its end and something stands there.
func (m Mirror) Stands() bool { return m.Posting.IsZero() && m.Target != "" }

// Notice is what is owed to a ticket's solver about one message, by channel. It is kept
// for as long as the mirror, so that nobody is told twice.
type Notice struct {
	// Due is when the message began to cross.
	Due time.Time `json:"d,omitzero"`
	// Email and Teams say how far each channel is.
	Email NoticeState `json:"e,omitempty"`
	Teams NoticeState `json:"t,omitempty"`
	// Done tells that nothing more is owed, whatever channels are wanted later.
	Done bool `json:"x,omitempty"`
}

// NoticeState is how far one channel of a notice is.
type NoticeState string

// The states of a channel.
const (
	// NoticeOwed: nothing was sent.
	NoticeOwed NoticeState = ""
	// NoticeSending: it is being sent; after a crash nobody knows whether it was.
	NoticeSending NoticeState = "sending"
	// NoticeTold: it was sent.
	NoticeTold NoticeState = "told"
	// NoticeDropped: it can't be sent, which the link's history tells.
	NoticeDropped NoticeState = "dropped"
)

// Settled tells that nothing more is to be done on the channel.
func (s NoticeState) Settled() bool { return s == NoticeTold || s == NoticeDropped }
