package reconcile

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
	"github.com/tandem-sync/tandem/services/synccore/internal/richtext"
)

// kindNote is the kind of source of what Tandem itself says of an item.
const kindNote = "note"

// isNote tells that what stands for a source is a word of Tandem's own: nobody's
// message, and nobody's mirror.
func isNote(source string) bool { return strings.Contains(source, "/"+kindNote+"/") }

// takeNote applies one step on the link's note.
func (r *round) takeNote(ctx context.Context, step plan.Step) error {
	switch step.Kind {
	case plan.BeginNote:
		if err := r.remember(ctx, step); err != nil {
			return err
		}
		r.sides.Noting = true
		return nil
	case plan.FindNote:
		return r.findNote(ctx)
	default:
		return r.postNote(ctx, step)
	}
}

// noteReference marks a note as ours: it tells of the side that it does not stand on.
func (r *round) noteReference() richtext.Reference {
	ref := richtext.Reference{System: item.Alvao, Item: r.link.Ticket, Message: r.link.Note.Number, Notice: true}
	if r.link.Note.To == item.Alvao {
		ref.System, ref.Item = item.AzureDevOps, r.link.WorkItem
	}
	return ref
}

// findNote looks whether a note that was cut off has arrived. Where nobody can look it
// counts as arrived: people miss a note rather than read it twice.
func (r *round) findNote(ctx context.Context) error {
	texts, err := r.textsOn(ctx, r.link.Note.To)
	if passing(err) {
		return fmt.Errorf("looking for a note about ticket %d: %w", r.link.Ticket, err)
	}
	want := r.noteReference()
	r.sides.NoteSought, r.sides.NoteFound, r.sides.NoteUnseen = true, false, err != nil
	for _, text := range texts {
		if ref, ok := r.engine.texts.Read(text).Reference(); ok && ref == want {
			r.sides.NoteFound = true
		}
	}
	return nil
}

// textsOn reads what stands on one side.
func (r *round) textsOn(ctx context.Context, side item.System) ([]richtext.Source, error) {
	var texts []richtext.Source
	if side == item.Alvao {
		log, err := r.connector.Tickets.Log(ctx, r.link.Ticket)
		if err == nil && log.Partial {
			err = r.weighAlone(ctx, log)
		}
		for _, record := range standing(log.Records) {
			texts = append(texts, r.recordSource(record))
		}
		return texts, err
	}
	comments, err := r.connector.WorkItems.Comments(ctx, r.sides.WorkItem.Project, r.link.WorkItem)
	for _, comment := range comments {
		texts = append(texts, r.commentSource(comment))
	}
	return texts, err
}

// weighAlone is weigh where the messages were not read.
func (r *round) weighAlone(ctx context.Context, log item.Log) error {
	memory, err := r.engine.cfg.Links.Memory(ctx, r.connector.Name, r.link.Ticket)
	if err != nil {
		return fmt.Errorf("reading the mirrors of ticket %d: %w", r.link.Ticket, err)
	}
	return r.weigh(ctx, log, memory)
}

// saidLast tells whether the last note about the item says what the link's note does.
// Where nobody can look it does not.
func (r *round) saidLast(ctx context.Context) (bool, error) {
	texts, err := r.textsOn(ctx, r.link.Note.To)
	if passing(err) {
		return false, fmt.Errorf("looking for notes about ticket %d: %w", r.link.Ticket, err)
	}
	want, said := r.noteReference(), false
	for _, text := range texts {
		read := r.engine.texts.Read(text)
		ref, ok := read.Reference()
		if ok && ref.System == want.System && ref.Item == want.Item && ref.Notice && ref.Version <= 1 {
			said = strings.Contains(read.Normal(), r.link.Note.Text)
		}
	}
	return said, nil
}

// postNote writes the note, which is for those who work on the ticket and never shown to
// the requester. A side that does not take it is left untold. An answer
// that is lost is waited for.
//
// Of a pair that never came to rest nobody knows whether its link is new or was lost.
// What the last note there says already is not said again.
func (r *round) postNote(ctx context.Context, step plan.Step) error {
	note := *r.link.Note
	if r.link.Agreed.Status == "" {
		said, err := r.saidLast(ctx)
		if err != nil {
			return err
		}
		if said {
			r.sides.Noting, r.sides.NoteSought, r.sides.NoteFound = false, true, true
			return nil
		}
	}
	h := richtext.Header{Reference: r.noteReference(), Author: "Tandem", Time: r.engine.cfg.Now()}
	var err error
	if note.To == item.Alvao {
		h.URL = r.link.WorkItemURL
		_, err = r.connector.Tickets.AddRecord(ctx, r.link.Ticket, item.NewRecord{
			Subject: fmt.Sprintf("About work item %d", r.link.WorkItem), Kind: noteKind, HTML: r.ownWords(h, note.Text, item.HTML),
		})
	} else {
		h.Label, h.URL = r.sides.Ticket.MessageTag, r.link.TicketURL
		format := r.commentFormat()
		_, err = r.connector.WorkItems.AddComment(ctx, r.sides.WorkItem.Project, r.link.WorkItem, r.ownWords(h, note.Text, format), format)
	}
	switch {
	case err == nil:
		return r.wrote(ctx, step)
	case passing(err):
		if fault.Is(err, fault.Unavailable) {
			err = fault.Wrap(err, fault.Unavailable, "%s", fault.Sentence(err)).After(plan.Settle)
		}
		return fmt.Errorf("writing a note about ticket %d: %w", r.link.Ticket, err)
	default:
		told := r.remember(ctx, plan.Untold(r.link, "A note was not taken ("+fault.Sentence(err)+"): "+note.Text))
		return errors.Join(told)
	}
}

// ownWords is a sentence of ours with its header and reference.
func (r *round) ownWords(h richtext.Header, sentence string, format item.TextFormat) string {
	body := r.engine.texts.Convert(richtext.Source{Text: sentence, Format: richtext.Plain}, richtext.Target{Format: richtext.Format(format)})
	return richtext.Mirror(h, body.Text, richtext.Format(format))
}
