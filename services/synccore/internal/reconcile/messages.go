package reconcile

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tandem-sync/tandem/services/synccore/internal/crossing"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
)

// Messages says how messages and files cross.
type Messages struct {
	// SinceLinked leaves out what is older than the link.
	SinceLinked bool
	// ShowToRequester lets a ticket's requester see what comes from Azure DevOps.
	ShowToRequester bool
	// Format is what comments are written in; empty means HTML. Markdown is written only
	// where the server takes it.
	Format item.TextFormat
	// MaxFile is the largest file that crosses, in bytes; 0 means DefaultMaxFile.
	MaxFile int64
	// Rules says which of them cross.
	Rules crossing.Rules
	// Desk is the address of Alvao's REST API, Boards that of the project in Azure
	// DevOps; inline images are taken from below them alone.
	Desk, Boards string
}

// DefaultMaxFile is the largest file that Azure DevOps Services takes (azure-devops.md
// §2.8).
const DefaultMaxFile = 60 << 20

func (m Messages) maxFile() int64 {
	if m.MaxFile <= 0 {
		return DefaultMaxFile
	}
	return m.MaxFile
}

// boardsRoots are the addresses of inline images in comments: an organisation on
// Azure DevOps Services has two (azure-devops.md §2.8).
func (m Messages) boardsRoots() []string {
	u, err := url.Parse(m.Boards)
	if err != nil || u.Host == "" {
		return nil
	}
	u = u.JoinPath("..")
	roots := []string{strings.TrimRight(u.String(), "/") + "/"}
	if organization := strings.Trim(u.Path, "/"); strings.EqualFold(u.Host, "dev.azure.com") {
		roots = append(roots, "https://"+organization+".visualstudio.com/")
	}
	return roots
}

// said is what was read of one message.
type said struct {
	record  *item.Record
	comment *item.Comment
	file    *item.Attachment
}

// talk is what people wrote on both sides, as read in this round.
type talk struct {
	messages []plan.Message
	said     map[string]said
	// newest is the number of the latest mirror of a source that was heard.
	newest map[string]int
	// files are all files that stand on either side, ours included.
	files []attached
	// sums are the hashes of the contents of files that were read in this round, by
	// source.
	sums map[string]string
	// records are the numbers of all records of the ticket.
	records []int64
}

// readMessages reads all that people wrote on both sides and what is remembered of it.
// Where the log can't be read nothing crosses: without it nobody could tell what has
// crossed already.
func (r *round) readMessages(ctx context.Context) error {
	var log item.Log
	var comments []item.Comment
	var memory item.Memory
	// What was read before this is part of what is read now.
	rev, seen := r.sides.WorkItem.Rev, r.sides.Ticket.LastActivity
	if r.sides.Now.Sub(seen) < plan.SameMoment {
		// Somebody may write yet another message at the very same time, as it is told.
		seen = seen.Add(-time.Millisecond)
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		var err error
		log, err = r.connector.Tickets.Log(groupCtx, r.link.Ticket)
		if err != nil {
			return fmt.Errorf("reading the log of ticket %d: %w", r.link.Ticket, err)
		}
		return nil
	})
	group.Go(func() error {
		var err error
		comments, err = r.connector.WorkItems.Comments(groupCtx, r.sides.WorkItem.Project, r.link.WorkItem)
		if err != nil {
			return fmt.Errorf("reading the comments of work item %d: %w", r.link.WorkItem, err)
		}
		return nil
	})
	group.Go(func() error {
		var err error
		memory, err = r.engine.cfg.Links.Memory(groupCtx, r.connector.Name, r.link.Ticket)
		if err != nil {
			return fmt.Errorf("reading the mirrors of ticket %d: %w", r.link.Ticket, err)
		}
		return nil
	})
	owed := false
	group.Go(func() error {
		var err error
		owed, err = r.owed(groupCtx)
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	if err := r.weigh(ctx, log, memory); err != nil {
		return err
	}
	if owed {
		if err := r.announce(ctx); err != nil {
			return err
		}
	}
	r.talk = r.hear(log.Records, comments)
	r.talk.records = numbers(log.Records)
	r.sides.MessagesRead, r.sides.Messages, r.sides.Mirrors = true, r.talk.messages, memory.Mirrors
	r.sides.TalkRev, r.sides.TalkSeen = rev, seen
	return nil
}

// weigh notes how far a log and the memory of messages can be relied upon.
func (r *round) weigh(ctx context.Context, log item.Log, memory item.Memory) error {
	r.sides.LogPartial, r.sides.LogTold = log.Partial, log.Told
	if !log.Partial {
		return nil
	}
	if memory.Since.IsZero() {
		var err error
		if memory.Since, err = r.engine.cfg.Links.BeginMemory(ctx, r.held); err != nil {
			return fmt.Errorf("noting since when the messages of ticket %d are remembered: %w", r.link.Ticket, err)
		}
	}
	r.sides.MemorySince = memory.Since
	return nil
}

// hear makes of what was read what the planner needs.
func (r *round) hear(records []item.Record, comments []item.Comment) talk {
	t := talk{said: map[string]said{}, newest: map[string]int{}, sums: map[string]string{}}
	for i := range records {
		r.hearRecord(&t, &records[i])
	}
	// Before the comments, one of which may say that a file's source was deleted: the last
	// that is said of a source counts.
	for i := range r.sides.WorkItem.Attachments {
		file := &r.sides.WorkItem.Attachments[i]
		of, hash := r.fileMirrored(file.Comment)
		source := sourceOf(item.AzureDevOps, kindFile, fileNumber(file.ID))
		kept := r.keeps(crossing.Message{From: item.AzureDevOps, Text: file.Name})
		t.add(plan.Message{
			Source: source, Side: item.AzureDevOps, Shape: plan.File, Created: file.Added,
			Hash: contentHash(source), Crosses: kept == "", KeptBy: kept, MirrorOf: of, MirrorHash: hash, Target: file.ID,
		}, said{file: file})
		t.files = append(t.files, attached{side: item.AzureDevOps, source: source, mirrorOf: of, target: file.ID, file: file})
	}
	for i := range comments {
		comment := &comments[i]
		text := r.engine.texts.Read(r.commentSource(*comment))
		normal := text.Normal()
		of, hash := r.mirrored(item.AzureDevOps, text)
		if isNote(of) {
			continue
		}
		kept := ""
		if of == "" {
			kept = r.keeps(crossing.Message{From: item.AzureDevOps, Author: comment.Author, Text: normal})
		}
		empty := strings.TrimSpace(normal) == ""
		t.add(plan.Message{
			Source: sourceOf(item.AzureDevOps, kindComment, comment.ID), Side: item.AzureDevOps, Shape: plan.Text,
			Created: comment.Created, ID: comment.ID, Hash: contentHash(normal), Crosses: kept == "" && !empty, KeptBy: unless(empty, kept),
			Deleted: comment.Deleted, MirrorOf: of, MirrorHash: hash, Target: strconv.FormatInt(comment.ID, 10),
		}, said{comment: comment})
	}
	return t
}

// add takes a message up. Of several mirrors of one source the last one counts: each
// says that it replaces the one before.
func (t *talk) add(m plan.Message, s said) {
	if m.MirrorOf == "" {
		t.said[m.Source] = s
	} else if !m.Deleted {
		if at, again := t.newest[m.MirrorOf]; again {
			t.messages[at] = m
			return
		}
		t.newest[m.MirrorOf] = len(t.messages)
	}
	t.messages = append(t.messages, m)
}

func (r *round) hearRecord(t *talk, record *item.Record) {
	if record.Removed {
		hearRemoved(t, record)
		return
	}
	source := r.recordSource(*record)
	text := r.engine.texts.Read(source)
	of, hash := r.mirrored(item.Alvao, text)
	number := strconv.FormatInt(record.ID, 10)
	if isNote(of) {
		return
	}
	if of != "" {
		// The files of a mirror came over with it.
		t.add(plan.Message{
			Source: sourceOf(item.Alvao, kindRecord, record.ID), Side: item.Alvao, Shape: plan.Text, Created: record.Created,
			ID: record.ID, MirrorOf: of, MirrorHash: hash, Target: number,
		}, said{record: record})
		for i := range record.Attachments {
			t.files = append(t.files, attached{side: item.Alvao, mirrorOf: of, target: number, file: &record.Attachments[i]})
		}
		return
	}
	normal := text.Normal()
	kept := r.keeps(crossing.Message{From: item.Alvao, Kind: recordKind(*record), Visible: record.ShowToRequester, Author: record.From, Text: normal})
	empty := strings.TrimSpace(normal) == ""
	t.add(plan.Message{
		Source: sourceOf(item.Alvao, kindRecord, record.ID), Side: item.Alvao, Shape: plan.Text, Created: record.Created, ID: record.ID,
		Hash: contentHash(normal), Crosses: kept == "" && !empty, KeptBy: unless(empty, kept), Target: number,
	}, said{record: record})
	for _, id := range record.RemovedFiles {
		hearRemovedFile(t, record, id)
	}
	for i := range record.Attachments {
		file := &record.Attachments[i]
		id, err := strconv.ParseInt(file.ID, 10, 64)
		if err != nil || inline(source.Text, *file) {
			// What is part of the text crosses with it.
			continue
		}
		source := sourceOf(item.Alvao, kindFile, id)
		t.add(plan.Message{
			Source: source, Side: item.Alvao, Shape: plan.File, Created: record.Created, ID: record.ID,
			Hash: contentHash(source), Crosses: kept == "", KeptBy: kept, Target: file.ID,
		}, said{file: file, record: record})
		t.files = append(t.files, attached{side: item.Alvao, source: source, target: file.ID, file: file})
	}
}

// hearRemoved takes up that a record was deleted, and its files with it.
func hearRemoved(t *talk, record *item.Record) {
	t.add(plan.Message{
		Source: sourceOf(item.Alvao, kindRecord, record.ID), Side: item.Alvao, Shape: plan.Text, ID: record.ID, Deleted: true,
	}, said{record: record})
	for _, file := range record.Attachments {
		hearRemovedFile(t, record, file.ID)
	}
	for _, id := range record.RemovedFiles {
		hearRemovedFile(t, record, id)
	}
}

func hearRemovedFile(t *talk, record *item.Record, file string) {
	id, err := strconv.ParseInt(file, 10, 64)
	if err != nil {
		return
	}
	t.add(plan.Message{
		Source: sourceOf(item.Alvao, kindFile, id), Side: item.Alvao, Shape: plan.File, ID: record.ID, Deleted: true, Target: file,
	}, said{record: record})
}

// standing are the records that were not deleted.
func standing(records []item.Record) []item.Record {
	return slices.DeleteFunc(slices.Clone(records), func(record item.Record) bool { return record.Removed })
}

// keeps names the setting that keeps a message back; empty: it crosses.
func (r *round) keeps(m crossing.Message) string { return r.connector.Messages.Rules.Keeps(m) }

// forFields leaves out the records that the fields of a new work item must not show
// either. Which kinds they show is the template's matter, and a direction that is off
// is about messages.
func (r *round) forFields(records []item.Record) []item.Record {
	rules := r.connector.Messages.Rules
	rules.OffToAzureDevOps, rules.Kinds = false, recordKindsOf(records)
	return slices.DeleteFunc(records, func(record item.Record) bool {
		text := ""
		if len(rules.List) > 0 {
			text = r.engine.texts.Read(r.recordSource(record)).Normal()
		}
		return rules.Keeps(crossing.Message{
			From: item.Alvao, Kind: recordKind(record), Visible: record.ShowToRequester, Author: record.From, Text: text,
		}) != ""
	})
}

func recordKindsOf(records []item.Record) []string {
	kinds := make([]string, 0, len(records))
	for _, record := range records {
		kinds = append(kinds, recordKind(record))
	}
	return kinds
}

// recordKind is a record's kind; one that tells none is told apart from a comment.
func recordKind(record item.Record) string {
	if record.Kind == "" {
		return "Other"
	}
	return record.Kind
}

func unless(is bool, text string) string {
	if is {
		return ""
	}
	return text
}

// inline tells whether a record's text shows a file of its own as an image.
func inline(text string, file item.Attachment) bool {
	if file.Name != "" && strings.Contains(text, "cid:"+file.Name) {
		return true
	}
	u, err := url.Parse(file.URL)
	if err != nil || u.Path == "" {
		return false
	}
	for {
		at := strings.Index(text, u.Path)
		if at < 0 {
			return false
		}
		text = text[at+len(u.Path):]
		if text == "" || text[0] < '0' || text[0] > '9' {
			return true
		}
	}
}
