package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// Shape is what kind of thing a message is.
type Shape string

// The shapes.
const (
	// Text is a log record or a comment.
	Text Shape = "text"
	// File is an attachment.
	File Shape = "file"
)

// Message is one record, comment or file as the planner needs it: who it is, what it
// says in short, and whose mirror it is.
type Message struct {
	// Source names it for ever: system, shape and number.
	Source string
	Side   item.System
	Shape  Shape
	// Created orders messages; ID breaks ties and keeps the vendor's order.
	Created time.Time
	ID      int64
	// Hash is that of the content in normal form; messages that say the same have the
	// same one.
	Hash string
	// Crosses tells that the settings let it cross. What has crossed already and may not
	// any more stays there as it is: no edit follows.
	Crosses bool
	// KeptBy names the setting that keeps it back; empty: none does.
	KeptBy string
	// Deleted tells that the system still lists it but as deleted.
	Deleted bool
	// MirrorOf is the Source that it mirrors by the reference it carries; empty: it is
	// nobody's mirror. MirrorHash is the hash of what it mirrors.
	MirrorOf, MirrorHash string
	// Target is how the message is named as somebody's mirror.
	Target string
}

// messages carries what people wrote across, one message at a time, the oldest first.
//
// What decides, for each message that is nobody's mirror and may cross:
//
//	remembered            | stands on the other side | what is planned
//	----------------------+--------------------------+---------------------------------
//	nothing               | no                       | BeginPost, then Post
//	nothing               | yes, by its reference    | RememberMirror
//	posting, by this round| no                       | Post
//	posting, before       | no                       | Wait until that can't arrive any more, then BeginPost
//	mirrored, same hash   | –                        | nothing
//	mirrored, other hash  | –                        | Edit
//	mirrored              | – , the source is gone   | Retract, once
//
// Where Alvao's log is partial, what is about to be written there and may stand there
// already without having been told is held back (held), and the others go on.
func messages(link item.Link, sides Sides, rules Rules) (Step, bool) {
	if !rules.Messages {
		return Step{}, false
	}
	if !sides.MessagesRead {
		return Step{Kind: ReadMessages, Reason: "messages and comments are compared"}, true
	}
	if step, ok := adopted(sides); ok {
		return step, true
	}
	all := slices.Clone(sides.Messages)
	slices.SortStableFunc(all, func(a, b Message) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	present := map[string]bool{}
	back := false
	for _, m := range all {
		if m.MirrorOf != "" || m.Deleted {
			continue
		}
		present[m.Source] = true
		if !m.Crosses {
			continue
		}
		step, ok := carry(m, link, sides, rules)
		if back = back || step.Kind == Hold; ok && step.Kind != Hold {
			return step, true
		}
	}
	step, ok := retracted(sides, present, rules)
	if !ok && back {
		return hold(), true
	}
	return step, ok
}

// keptByHistory is the setting that leaves out what is older than the link.
const keptByHistory = "history: sinceLinked"

// withheld counts the messages that have not crossed because a setting keeps them
// back, by the setting; nil: none.
func withheld(link item.Link, sides Sides, rules Rules) map[string]int {
	var kept map[string]int
	for _, m := range sides.Messages {
		if m.MirrorOf != "" || m.Deleted {
			continue
		}
		if known, remembered := sides.Mirrors[m.Source]; remembered && known.Posting.IsZero() {
			continue
		}
		by := m.KeptBy
		if by == "" && m.Crosses && rules.SinceLinked && m.Created.Before(link.Created) {
			by = keptByHistory
		}
		if by == "" {
			continue
		}
		if kept == nil {
			kept = map[string]int{}
		}
		kept[by]++
	}
	return kept
}

// GoneHash is the hash that a mirror carries once it says that its source was deleted.
const GoneHash = "gone"

// adopted remembers mirrors that stand there without being remembered: the round that
// made them was cut off before that.
func adopted(sides Sides) (Step, bool) {
	says := make(map[string]string, len(sides.Messages))
	for _, m := range sides.Messages {
		if m.MirrorOf == "" && !m.Deleted {
			says[m.Source] = m.Hash
		}
	}
	for _, m := range sides.Messages {
		if m.MirrorOf == "" || m.Deleted {
			continue
		}
		known, remembered := sides.Mirrors[m.MirrorOf]
		now, there := says[m.MirrorOf]
		learned := item.Mirror{Target: m.Target, Hash: m.MirrorHash, Notify: known.Notify}
		switch {
		case m.MirrorHash == GoneHash:
			if known.Gone || there {
				continue
			}
			learned.Gone, learned.Notify = true, time.Time{}
		case !remembered:
		case !known.Posting.IsZero() && known.Hash == m.MirrorHash:
		case known.Posting.IsZero() && !known.Gone && known.Hash != m.MirrorHash && there && now == m.MirrorHash:
			// An edit that arrived.
		default:
			continue
		}
		return Step{
			Kind: RememberMirror, Source: m.MirrorOf, Mirror: learned,
			Reason: fmt.Sprintf("%s stands as %s already", m.MirrorOf, m.Source),
		}, true
	}
	return Step{}, false
}

func carry(m Message, link item.Link, sides Sides, rules Rules) (Step, bool) {
	known, remembered := sides.Mirrors[m.Source]
	toAlvao := m.Side == item.AzureDevOps
	if !remembered && worthNotice(m, link, sides, rules) {
		known.Notify = sides.Now
	}
	switch {
	case !remembered && rules.SinceLinked && m.Created.Before(link.Created):
		return Step{}, false
	case !remembered && toAlvao && m.Created.Before(sides.MemorySince) && sides.untold(sides.MemorySince):
		// What remembered it may be lost, and what tells of it not yet told.
		return hold(), true
	case !remembered:
		return begin(m, sides, known), true
	case !known.Posting.IsZero() && sides.Posting == m.Source:
		return Step{Kind: Post, Source: m.Source, Mirror: known, Reason: m.Source + " has not crossed yet"}, true
	case !known.Posting.IsZero():
		// An earlier round was cut off while posting: that may still arrive.
		if since := sides.Now.Sub(known.Posting); since >= 0 && since < Settle {
			return Step{Kind: Wait, After: Settle - since, Reason: "a message that was cut off may still arrive"}, true
		}
		if toAlvao && sides.untold(known.Posting) {
			return hold(), true
		}
		return begin(m, sides, known), true
	case known.Hash != m.Hash && known.Target != "" && toAlvao && sides.LogPartial && sides.Posting != m.Source:
		if sides.untold(known.Changing) || m.Created.Before(sides.MemorySince) && sides.untold(sides.MemorySince) {
			return hold(), true
		}
		return beginChange(m.Source, sides, known), true
	case known.Hash != m.Hash && known.Target != "":
		return Step{Kind: Edit, Source: m.Source, Mirror: known, Reason: m.Source + " was edited"}, true
	default:
		return Step{}, false
	}
}

// NoticeSpan is how old a comment may be for the solver to be told of it when it
// crosses. What crosses later does so because somebody switched something on.
const NoticeSpan = 72 * time.Hour

// worthNotice tells whether the ticket's solver is to be told of a message that has not
// crossed yet: of comments of people that came after the link was made. All that stood
// there before crosses at once and would flood a mailbox.
func worthNotice(m Message, link item.Link, sides Sides, rules Rules) bool {
	return rules.Notices && m.Side == item.AzureDevOps && m.Shape == Text &&
		m.Created.After(link.Created) && sides.Now.Sub(m.Created) < NoticeSpan
}

// begin stores first that a message is being posted.
func begin(m Message, sides Sides, known item.Mirror) Step {
	known.Posting, known.Hash = sides.Now, m.Hash
	return Step{Kind: BeginPost, Source: m.Source, Mirror: known, Reason: "that " + m.Source + " crosses is stored first"}
}

// beginChange stores first that a mirror is being changed that can't be read again at
// once.
func beginChange(source string, sides Sides, known item.Mirror) Step {
	known.Changing = sides.Now
	return Step{Kind: BeginPost, Source: source, Mirror: known, Reason: "that the mirror of " + source + " changes is stored first"}
}

const (
	// tells is by how much the application's telling must have begun later than what was
	// written for that to have been told: what was cut off may arrive until Settle has
	// passed, and clocks differ.
	tells = 2 * time.Minute
	// holdsAtMost is how long the application is waited for at most: people read a message
	// twice rather than never.
	holdsAtMost = 6 * time.Hour
	// holdsFor is how long it takes until it is looked whether the application has told.
	holdsFor = 10 * time.Minute
)

// untold tells that what was written to Alvao's log at a time may stand there although
// nothing tells of it: the log is what the application tells, which tells all of late
// anew every hour. A time far ahead is that of a clock that was wrong.
func (s Sides) untold(at time.Time) bool {
	return s.LogPartial && !at.IsZero() && s.LogTold.Before(at.Add(tells)) && s.Now.Sub(at).Abs() < holdsAtMost
}

// Unwritten is a mirror of which writing was stored to begin and was refused before anything
// was written: nothing is under way that would have to be waited for.
func Unwritten(known item.Mirror) item.Mirror {
	if !known.Posting.IsZero() {
		known.Posting = known.Posting.Add(-holdsAtMost)
	}
	known.Changing = time.Time{}
	return known
}

// hold keeps one thing back that may have been written already.
func hold() Step {
	return Step{
		Kind: Hold, After: holdsFor,
		Reason: "what Tandem is about to write to Alvao may stand there already, which Alvao's application tells within about an hour",
	}
}

// retracted tells on the other side that a message was deleted. Both sides were read
// to their end, so what is not there is gone; of a log that is partial only what is
// listed as deleted.
func retracted(sides Sides, present map[string]bool, rules Rules) (Step, bool) {
	sources := make([]string, 0, len(sides.Mirrors))
	deleted := map[string]bool{}
	for _, m := range sides.Messages {
		if m.Deleted {
			deleted[m.Source] = true
		}
	}
	for source, known := range sides.Mirrors {
		off := rules.OffToAlvao
		if strings.HasPrefix(source, string(item.Alvao)+"/") {
			off = rules.OffToAzureDevOps || sides.LogPartial && !deleted[source]
		}
		if !off && !present[source] && !known.Gone && known.Target != "" && known.Posting.IsZero() {
			sources = append(sources, source)
		}
	}
	if len(sources) == 0 {
		return Step{}, false
	}
	slices.Sort(sources)
	for _, source := range sources {
		if !sides.LogPartial || strings.HasPrefix(source, string(item.Alvao)+"/") || sides.Posting == source {
			return retract(source, sides), true
		}
		if known := sides.Mirrors[source]; !sides.untold(known.Changing) && !sides.untold(sides.MemorySince) {
			return beginChange(source, sides, known), true
		}
	}
	return hold(), true
}

func retract(source string, sides Sides) Step {
	return Step{Kind: Retract, Source: source, Mirror: sides.Mirrors[source], Reason: source + " was deleted"}
}
