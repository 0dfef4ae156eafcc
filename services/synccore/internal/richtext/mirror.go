package richtext

import (
	"crypto/sha256"
	"encoding/base32"
	"html"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// Reference names the record or comment that a mirrored message shows. It is the
// mark by which a message of ours is known again after a crash.
type Reference struct {
	// System is where the original is.
	System item.System
	// Item is the ticket or the work item, Message the record or the comment.
	Item, Message int64
	// Version tells apart the messages that say an edited original anew; 0 and 1 are
	// the first and written alike, so Message.Reference tells 0.
	Version int
	// Notice tells that the message is one of our own about the item (it was deleted,
	// a change was refused); Message is then a number that the caller chose.
	Notice bool
}

// Header is what a mirrored message says of its original.
type Header struct {
	Reference
	// Author is the author's name as the original's system shows it.
	Author string
	// Time is when the original was written. It is shown in its own location.
	Time time.Time
	// Kind is a word or two about it ("e-mail", "edited"); may be empty.
	Kind string
	// Label is what people call the item there ("T1001SD", "42"); URL leads to it
	// and may be empty.
	Label, URL string
}

const (
	// mirrorRoom is what Mirror adds at most, in UTF-16 units.
	mirrorRoom = 3500
	timeLayout = "2006-01-02 15:04"
)

var (
	referenceLine = regexp.MustCompile(`^Copied from (Alvao|Azure DevOps) · TANDEM-([AW])([0-9]{1,18})-([RCN])([0-9]{1,18})(?:-V([0-9]{1,9}))?-([0-9A-Z]{6})$`)
	headerLine    = regexp.MustCompile(`^[^\s>|].* · [0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2} [A-Z0-9+:-]{1,9} · (?:.* · )?(Alvao|Azure DevOps) \S.*$`)
)

// Mirror puts a converted text between two lines that say where it comes from:
//
//	Jana Dvořáková · 2026-03-02 14:05 CET · e-mail · Alvao T1001SD
//
//	…
//
//	Copied from Alvao · TANDEM-A1001-R9001-ZMEYSY
//
// The last line is what Message.Reference reads. It has letters, digits and dashes
// only, so that no vendor's rewriting harms it, and a check code, so that nobody
// types it by chance. Both lines are needed: a reply that quotes or pastes the
// message has text of its own before the first or after the last.
func Mirror(h Header, body string, format Format) string {
	author := oneLine(h.Author, 120)
	if author == "" || !headerLine.MatchString(author+" · 2026-01-01 00:00 UTC · Alvao 1") {
		author = "Unknown author"
	}
	zone := h.Time.Format("MST")
	if !zoneName.MatchString(zone) {
		zone = h.Time.Format("-07:00")
	}
	when := h.Time.Format(timeLayout) + " " + zone
	label := oneLine(h.Label, 120)
	if label == "" {
		label = strconv.FormatInt(h.Item, 10)
	}
	label = h.System.Title() + " " + label
	href := webAddress(h.URL)
	rest := " · " + when + " · "
	if kind := oneLine(h.Kind, 60); kind != "" {
		rest += kind + " · "
	}
	head := &block{kind: paragraph, runs: tidy([]run{
		{text: author, style: bold}, {text: rest}, {text: label, href: href},
	})}
	foot := &block{kind: paragraph, runs: []run{{text: h.line()}}}
	if format == Markdown {
		w := markdownWriter{}
		w.block(head, "", false)
		if body = strings.Trim(body, "\n"); body != "" {
			w.out.WriteString("\n" + body + "\n")
		}
		w.out.WriteByte('\n')
		w.block(foot, "", false)
		return w.text()
	}
	w := htmlWriter{}
	w.block(head)
	w.out.WriteByte('\n')
	if body != "" {
		w.out.WriteString(body + "\n")
	}
	w.out.WriteString("<p>" + html.EscapeString(h.line()) + "</p>")
	return w.out.String()
}

var zoneName = regexp.MustCompile(`^[A-Z]{2,5}$`)

// oneLine makes a name fit into the header: one line, no separators of ours, not
// longer than so many units.
func oneLine(s string, most int) string {
	s = strings.Join(strings.Fields(clean(s)), " ")
	s = strings.ReplaceAll(s, "·", "-")
	s = strings.Map(func(r rune) rune {
		if r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' {
			return -1
		}
		return r
	}, s)
	return strings.TrimSpace(clip(s, most))
}

// line is the last line of a mirrored message.
func (r Reference) line() string {
	return "Copied from " + r.System.Title() + " · TANDEM-" + r.ids() + "-" + r.check()
}

// ids writes the reference's numbers.
func (r Reference) ids() string {
	of, part := "A", "R"
	if r.System == item.AzureDevOps {
		of, part = "W", "C"
	}
	if r.Notice {
		part = "N"
	}
	s := of + strconv.FormatInt(r.Item, 10) + "-" + part + strconv.FormatInt(r.Message, 10)
	if r.Version > 1 {
		s += "-V" + strconv.Itoa(r.Version)
	}
	return s
}

// check is a code that makes a reference unlikely to be typed by chance. It is no
// secret: a link store is rebuilt from marks, whatever became of any key.
func (r Reference) check() string {
	sum := sha256.Sum256([]byte("tandem mirror 1 " + r.ids()))
	return base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").EncodeToString(sum[:5])[:6]
}

// Reference recognises a message that Mirror made, however the vendor has rewritten it
// since. Text that only quotes or holds such a message is not one.
func (m Message) Reference() (Reference, bool) {
	blocks := m.doc.blocks
	if m.doc.titled {
		blocks = blocks[1:]
	}
	if len(blocks) == 0 {
		return Reference{}, false
	}
	top, bottom := blocks[0], last(blocks)
	if top.kind != paragraph || bottom.kind != paragraph {
		return Reference{}, false
	}
	first, final := lines(top.runs), lines(bottom.runs)
	if top == bottom && len(first) == 1 || !headerLine.MatchString(lineText(first[0])) {
		return Reference{}, false
	}
	return parseLine(lineText(last(final)))
}

func lineText(runs []run) string {
	var b strings.Builder
	for _, r := range runs {
		if r.image > 0 {
			b.WriteString("\ufffc")
		}
		b.WriteString(r.text)
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// parseLine reads what Reference.line wrote.
func parseLine(s string) (Reference, bool) {
	m := referenceLine.FindStringSubmatch(s)
	if m == nil {
		return Reference{}, false
	}
	ref := Reference{System: item.Alvao, Notice: m[4] == "N"}
	if m[2] == "W" {
		ref.System = item.AzureDevOps
	}
	var errs [3]error
	ref.Item, errs[0] = strconv.ParseInt(m[3], 10, 64)
	ref.Message, errs[1] = strconv.ParseInt(m[5], 10, 64)
	if m[6] != "" {
		ref.Version, errs[2] = strconv.Atoi(m[6])
	}
	if errs[0] != nil || errs[1] != nil || errs[2] != nil {
		return Reference{}, false
	}
	// The line as it would be written: no leading zeros, the right letters and code.
	if ref.line() != s {
		return Reference{}, false
	}
	return ref, true
}
