package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
)

// source names a message for ever: system/kind/id.
func source(side item.System, kind, id string) string { return string(side) + "/" + kind + "/" + id }

const (
	kindRecord  = "record"
	kindComment = "comment"
	kindFile    = "file"
)

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
}

// readMessages reads all that people wrote on both sides and what is remembered of it.
// Where the log can't be read nothing crosses: without it nobody could tell what has
// crossed already.
func (r *round) readMessages(ctx context.Context) error {
	var records []item.Record
	var comments []item.Comment
	var mirrors map[string]item.Mirror
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		var err error
		records, err = r.connector.Tickets.Records(groupCtx, r.link.Ticket, 0)
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
		mirrors, err = r.engine.cfg.Links.Mirrors(groupCtx, r.connector.Name, r.link.Ticket)
		if err != nil {
			return fmt.Errorf("reading the mirrors of ticket %d: %w", r.link.Ticket, err)
		}
		return nil
	})
	err := group.Wait()
	if fault.Is(err, fault.NotFound) {
		r.mute = true
		return nil
	}
	if err != nil {
		return err
	}
	r.talk = r.hear(records, comments)
	r.sides.MessagesRead = true
	r.sides.Messages = r.talk.messages
	r.sides.Mirrors = mirrors
	return nil
}

// hear makes of what was read what the planner needs.
func (r *round) hear(records []item.Record, comments []item.Comment) talk {
	t := talk{said: map[string]said{}}
	for i := range records {
		r.hearRecord(&t, &records[i])
	}
	for i := range comments {
		comment := &comments[i]
		name := source(item.AzureDevOps, kindComment, strconv.FormatInt(comment.ID, 10))
		of, hash := mirrored(comment.Text, comment.Format)
		t.add(plan.Message{
			Source: name, Side: item.AzureDevOps, Shape: plan.Text, Created: comment.Created, ID: comment.ID,
			Hash: hashOf(comment.Text, comment.Format), Crosses: !comment.Deleted, Deleted: comment.Deleted,
			MirrorOf: of, MirrorHash: hash, Target: strconv.FormatInt(comment.ID, 10),
		}, said{comment: comment})
	}
	for i := range r.sides.WorkItem.Attachments {
		file := &r.sides.WorkItem.Attachments[i]
		of, hash := fileMirrored(file.Comment)
		t.add(plan.Message{
			Source: source(item.AzureDevOps, kindFile, strings.ToLower(file.ID)), Side: item.AzureDevOps, Shape: plan.File,
			Created: file.Added, Hash: file.ID, Crosses: true, MirrorOf: of, MirrorHash: hash, Target: file.ID,
		}, said{file: file})
	}
	return t
}

func (t *talk) add(m plan.Message, s said) {
	t.messages = append(t.messages, m)
	t.said[m.Source] = s
}

func (r *round) hearRecord(t *talk, record *item.Record) {
	body, format := recordBody(*record)
	of, hash := mirrored(body, format)
	human := !slices.ContainsFunc(noise, func(kind string) bool { return strings.EqualFold(kind, record.Kind) })
	t.add(plan.Message{
		Source: source(item.Alvao, kindRecord, strconv.FormatInt(record.ID, 10)), Side: item.Alvao, Shape: plan.Text,
		Created: record.Created, ID: record.ID, Hash: hashOf(body, format),
		Crosses:  human && (strings.TrimSpace(body) != "" || record.Subject != ""),
		MirrorOf: of, MirrorHash: hash, Target: strconv.FormatInt(record.ID, 10),
	}, said{record: record})
	if of != "" {
		// The files of a mirror came over with it.
		return
	}
	for i := range record.Attachments {
		file := &record.Attachments[i]
		if strings.Contains(body, file.URL) && file.URL != "" {
			// It is part of the text and crosses with it.
			continue
		}
		t.add(plan.Message{
			Source: source(item.Alvao, kindFile, file.ID), Side: item.Alvao, Shape: plan.File, Created: record.Created, ID: record.ID,
			Hash: file.ID, Crosses: human, Target: file.ID,
		}, said{file: file, record: record})
	}
}

// noise are the kinds of records that Alvao writes by itself (alvao.md §2.4).
var noise = []string{"Process", "Notification"} //nolint:gochecknoglobals // a constant list

// recordBody is the text of a record and how it is written.
func recordBody(record item.Record) (string, item.TextFormat) {
	if strings.TrimSpace(record.HTML) != "" {
		return record.HTML, item.HTML
	}
	return record.Plain, plainText
}
