package reconcile

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
)

// carryTimeout bounds carrying one message with its files.
const carryTimeout = 10 * time.Minute

// noteKind is the kind of the records that Tandem writes.
const noteKind = "Note"

// takeMessage applies one step on messages.
func (r *round) takeMessage(ctx context.Context, step plan.Step) error {
	ctx, cancel := context.WithTimeout(ctx, carryTimeout)
	defer cancel()
	switch step.Kind {
	case plan.ReadMessages:
		return r.readMessages(ctx)
	case plan.BeginPost:
		r.sides.Posting = step.Source
		return r.mirror(ctx, step.Source, step.Mirror)
	case plan.RememberMirror:
		return r.mirror(ctx, step.Source, step.Mirror)
	case plan.Post:
		return r.carried(ctx, step, r.post, step.Mirror.Hash)
	case plan.Edit:
		return r.carried(ctx, step, r.edit, r.hashNow(step.Source))
	case plan.Retract:
		return r.carried(ctx, step, r.retract, step.Mirror.Hash)
	default:
		return fmt.Errorf("plan made the unknown step %q", step.Kind)
	}
}

// mirror remembers where a message stands.
func (r *round) mirror(ctx context.Context, source string, mirror item.Mirror) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rememberTimeout)
	defer cancel()
	if err := r.engine.cfg.Links.PutMirror(ctx, r.held, source, mirror); err != nil {
		r.replaced = true
		return fmt.Errorf("remembering where %s stands: %w", source, err)
	}
	due := !mirror.Notify.IsZero() && mirror.Stands()
	if mirror.Posting.IsZero() {
		mirror.Notify = time.Time{}
	}
	r.sides.Mirrors[source] = mirror
	if due {
		return r.announce(ctx)
	}
	return nil
}

// hashNow is the hash of what a source says now.
func (r *round) hashNow(source string) string {
	for i := range r.sides.Messages {
		if r.sides.Messages[i].Source == source {
			return r.sides.Messages[i].Hash
		}
	}
	return ""
}

// errSource is behind faults of reading what is to be carried, as against writing it.
var errSource = errors.New("the source can't be read")

// carried does one deed on a message and remembers where it stands. What is refused
// is left out and the others go on. An answer that is lost is waited for: the message
// may still arrive, and a second one must not.
func (r *round) carried(ctx context.Context, step plan.Step, deed func(context.Context, plan.Step, string) (string, error), hash string) error {
	target, err := deed(ctx, step, hash)
	content := r.talk.sums[step.Source]
	if refused(err) {
		target, err = r.leaveOut(ctx, step, hash, err)
		content = ""
	}
	if fault.Is(err, fault.Unavailable) {
		return fault.Wrap(err, fault.Unavailable, "%s", fault.Sentence(err)).After(plan.Settle)
	}
	if unwritten(step, err) {
		return errors.Join(err, r.mirror(ctx, step.Source, plan.Unwritten(step.Mirror)))
	}
	if err != nil {
		return err
	}
	next := item.Mirror{Target: target, Hash: hash, Gone: step.Kind == plan.Retract, Content: content}
	if step.Kind == plan.Post {
		next.Notify = step.Mirror.Notify
	}
	return r.mirror(ctx, step.Source, next)
}

// unwritten tells that Alvao, which is written to in one call, did not so much as look at it.
func unwritten(step plan.Step, err error) bool {
	return strings.HasPrefix(step.Source, string(item.AzureDevOps)+"/") && (fault.Is(err, fault.Throttled) || fault.Is(err, fault.BadToken))
}

// refused tells that this one message can't cross, now or later. A file that can't be
// read is no reason to stop either.
func refused(err error) bool {
	switch fault.KindOf(err) {
	case fault.Refused, fault.Invalid:
		return err != nil
	case fault.NotFound, fault.Denied:
		return errors.Is(err, errSource)
	default:
		return false
	}
}

// post carries one message across and tells where it stands.
func (r *round) post(ctx context.Context, step plan.Step, hash string) (string, error) {
	s := r.talk.said[step.Source]
	switch {
	case s.comment != nil:
		return r.postRecord(ctx, step.Source, hash, "", *s.comment)
	case s.file != nil && s.record != nil:
		return r.postFile(ctx, step.Source, *s.file)
	case s.file != nil:
		return r.postFileRecord(ctx, step.Source, hash, *s.file)
	case s.record != nil:
		text, err := r.commentText(ctx, step.Source, hash, *s.record)
		if err != nil {
			return "", err
		}
		return r.addComment(ctx, text)
	default:
		return "", fmt.Errorf("plan posts %s, which was not read", step.Source)
	}
}

// edit brings a mirror up to date: a comment in place, a record, which can't be
// changed, by another one that says that it replaces.
func (r *round) edit(ctx context.Context, step plan.Step, hash string) (string, error) {
	s := r.talk.said[step.Source]
	switch {
	case s.comment != nil:
		return r.postRecord(ctx, step.Source, hash, "edited, replaces the earlier copy", *s.comment)
	case s.record != nil && s.file == nil:
		text, err := r.commentText(ctx, step.Source, hash, *s.record)
		if err != nil {
			return "", err
		}
		return r.editComment(ctx, step.Mirror.Target, text)
	default:
		// Files don't change.
		return step.Mirror.Target, nil
	}
}

// retract lets the other side say that a message was deleted.
func (r *round) retract(ctx context.Context, step plan.Step, _ string) (string, error) {
	parts := strings.Split(step.Source, "/")
	from, what := item.System(parts[0]), "This message"
	if parts[1] == kindFile {
		what = "A file that stands here"
	}
	if parts[1] == kindFile && r.standsFor(step.Source, step.Mirror) {
		// The same file was attached twice, and the other one is still there.
		return step.Mirror.Target, nil
	}
	sentence := what + " was deleted in " + from.Title() + "."
	if from == item.AzureDevOps {
		return r.addRecord(ctx, item.NewRecord{
			Subject: "Deleted in Azure DevOps", Kind: noteKind, HTML: r.notice(step.Source, plan.GoneHash, sentence, item.HTML),
			ShowToRequester: r.connector.Messages.ShowToRequester,
		})
	}
	text := r.notice(step.Source, plan.GoneHash, sentence, r.commentFormat())
	if parts[1] == kindFile {
		return r.addComment(ctx, text)
	}
	return r.editComment(ctx, step.Mirror.Target, text)
}

func (r *round) addComment(ctx context.Context, text string) (string, error) {
	made, err := r.connector.WorkItems.AddComment(ctx, r.sides.WorkItem.Project, r.link.WorkItem, text, r.commentFormat())
	if err != nil {
		return "", fmt.Errorf("commenting on work item %d: %w", r.link.WorkItem, err)
	}
	r.report.Writes++
	return strconv.FormatInt(made.ID, 10), nil
}

// editComment changes a comment of ours. One that somebody deleted stays deleted.
func (r *round) editComment(ctx context.Context, target, text string) (string, error) {
	id, err := strconv.ParseInt(target, 10, 64)
	if err != nil {
		return "", fmt.Errorf("comment %q has no number: %w", target, err)
	}
	_, err = r.connector.WorkItems.EditComment(ctx, r.sides.WorkItem.Project, r.link.WorkItem, id, text, r.commentFormat())
	if fault.Is(err, fault.NotFound) {
		return "", r.stillThere(ctx)
	}
	if err != nil {
		return "", fmt.Errorf("changing comment %d of work item %d: %w", id, r.link.WorkItem, err)
	}
	r.report.Writes++
	return target, nil
}

// stillThere is an error unless the work item lies where this round read it: of one that
// was moved or deleted since, no comment is found either, and each may come back with it.
func (r *round) stillThere(ctx context.Context) error {
	now, err := r.connector.WorkItems.WorkItem(ctx, r.link.WorkItem)
	switch {
	case err != nil && !fault.Is(err, fault.NotFound):
		return fmt.Errorf("looking for work item %d: %w", r.link.WorkItem, err)
	case err != nil || now.Deleted || now.Elsewhere || now.Project != r.sides.WorkItem.Project:
		return fault.New(fault.Conflict, "Work item %d was moved or deleted while Tandem wrote to it; Tandem reads it anew and decides again.", r.link.WorkItem)
	default:
		return nil
	}
}

// postRecord writes a comment as a record. If Alvao does not take it with its images,
// it is written without.
func (r *round) postRecord(ctx context.Context, source, hash, kind string, comment item.Comment) (string, error) {
	for _, withFiles := range []bool{true, false} {
		l, err := r.recordText(ctx, source, hash, kind, comment, withFiles)
		if err != nil {
			return "", err
		}
		target, err := r.addRecord(ctx, item.NewRecord{
			Subject: fmt.Sprintf("Comment on work item %d", r.link.WorkItem), HTML: l.html, Kind: noteKind, From: comment.Author,
			ShowToRequester: r.connector.Messages.ShowToRequester, Files: l.files,
		})
		l.close()
		if len(l.files) == 0 || !refused(err) {
			return target, err
		}
	}
	return "", nil
}

func (r *round) addRecord(ctx context.Context, record item.NewRecord) (string, error) {
	made, err := r.connector.Tickets.AddRecord(ctx, r.link.Ticket, record)
	if err != nil {
		return "", fmt.Errorf("adding a record to ticket %d: %w", r.link.Ticket, err)
	}
	r.report.Writes++
	return strconv.FormatInt(made.ID, 10), nil
}

// leaveOut says on the other side that a message could not be carried over, and why.
// Where not even that is taken, the link's history says it.
func (r *round) leaveOut(ctx context.Context, step plan.Step, hash string, cause error) (string, error) {
	s := r.talk.said[step.Source]
	what := "A message"
	if s.file != nil {
		what = fmt.Sprintf("The file %q", s.file.Name)
	}
	sentence := what + " was not carried over: " + fault.Sentence(cause)
	var target string
	var err error
	switch {
	case step.Kind != plan.Post:
		target, err = step.Mirror.Target, cause
	case strings.HasPrefix(step.Source, string(item.Alvao)):
		target, err = r.addComment(ctx, r.notice(step.Source, hash, sentence, r.commentFormat()))
	default:
		target, err = r.addRecord(ctx, item.NewRecord{
			Subject: "Not carried over", Kind: noteKind, HTML: r.notice(step.Source, hash, sentence, item.HTML),
			ShowToRequester: r.connector.Messages.ShowToRequester,
		})
	}
	if err != nil && !refused(err) {
		return "", err
	}
	told := r.remember(ctx, plan.Step{
		Kind: plan.Remember, Link: r.link, Change: &item.LinkChange{Action: "leave-out", Detail: step.Source + ": " + sentence},
	})
	return target, told
}
