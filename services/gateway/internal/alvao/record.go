package alvao

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/tandem-sync/tandem/services/gateway/internal/envelope"
	"github.com/tandem-sync/tandem/services/gateway/internal/webhook"
)

// The limits of a record (tandem.v1.PushedRecord), in bytes, and the most files. The
// application cuts what is longer, so that a record over them is not its own.
const (
	longestLine       = 1 << 10
	longestKind       = 64
	longestHTML       = 512 << 10
	longestPlain      = 128 << 10
	longestLink       = 2 << 10
	mostFiles         = 200
	longestProperties = 4 << 10
)

// push is what the application posted.
type push struct {
	shown shown
	// record is what it tells of the record shown.Act; nil: nothing. mistyped tells that it
	// can't be read.
	record   *wireRecord
	mistyped bool
	// round is what it tells of a round that came to its end; nil: nothing.
	round *wireRound
}

// wireRound is the member round.
type wireRound struct {
	TookMS int64 `json:"tookMs"`
}

// longestRound is how long a round may take (tandem.v1.PushedRound).
const longestRound = 24 * time.Hour

// finished reads how long the round took of which the application tells the end; nil: it
// tells of none.
func (p push) finished() (*time.Duration, error) {
	if p.round == nil {
		return nil, nil //nolint:nilnil // most notices tell of no round
	}
	if p.mistyped || p.record != nil || p.round.TookMS < 0 || p.round.TookMS > longestRound.Milliseconds() {
		return nil, webhook.Refused("The round has no usable tookMs; it does not come from the Alvao application.")
	}
	took := time.Duration(p.round.TookMS) * time.Millisecond
	return &took, nil
}

// shown is what people may see of a push: which ticket and record it speaks of, and
// nothing that is written there.
type shown struct {
	Event      string `json:"event"`
	Ticket     int64  `json:"ticketId"`
	Act        int64  `json:"actId,omitempty"`
	Person     int64  `json:"personId,omitempty"`
	Properties string `json:"properties,omitempty"`
}

// parse walks the body. What record holds is read by pushed.
func (a *Application) parse(body []byte) (push, error) {
	var p push
	err := a.parser.Walk(body, func(r *envelope.Reader, name []byte) error {
		var err error
		switch string(name) {
		case "event":
			p.shown.Event, err = r.String()
		case "ticketid":
			p.shown.Ticket, _, err = r.Int()
		case "actid":
			p.shown.Act, _, err = r.Int()
		case "personid":
			p.shown.Person, _, err = r.Int()
		case "properties":
			p.shown.Properties, err = r.String()
		case "record":
			var raw []byte
			if raw, err = r.Raw(); err == nil {
				p.mistyped = json.Unmarshal(raw, &p.record) != nil || p.mistyped
			}
		case "round":
			var raw []byte
			if raw, err = r.Raw(); err == nil {
				p.mistyped = json.Unmarshal(raw, &p.round) != nil || p.mistyped
			}
		default:
			err = r.Skip()
		}
		return err
	})
	if len(p.shown.Properties) > longestProperties {
		p.shown.Properties = ""
	}
	return p, err
}

// wireRecord is the member record. Keys are matched without regard to case; a value of
// another type than stated is refused.
type wireRecord struct {
	AsOf            string     `json:"asOf"`
	Removed         bool       `json:"removed"`
	Bare            bool       `json:"bare"`
	Cut             bool       `json:"cut"`
	Own             bool       `json:"own"`
	Again           bool       `json:"again"`
	Mark            string     `json:"mark"`
	ShowToRequester bool       `json:"showToRequester"`
	Subject         string     `json:"subject"`
	HTML            string     `json:"contentHtml"`
	Plain           string     `json:"contentPlain"`
	Kind            string     `json:"kind"`
	From            string     `json:"from"`
	Created         string     `json:"created"`
	Attachments     []wireFile `json:"attachments"`
}

type wireFile struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
	Size *int64 `json:"size"`
	Link string `json:"link"`
}

// pushed reads the record; nil: there is none. Its errors name fields, never values.
func (p push) pushed() (*webhook.PushedRecord, error) {
	if p.mistyped {
		return nil, webhook.Refused("The record has a field of the wrong type; it does not come from the Alvao application.")
	}
	if p.record == nil {
		return nil, nil //nolint:nilnil // most notices tell of no record
	}
	w := *p.record
	wrong := w.limits()
	if p.shown.Act <= 0 {
		wrong = append(wrong, "actId")
	}
	out := webhook.PushedRecord{
		ID: p.shown.Act, Removed: w.Removed, Bare: w.Bare, Cut: w.Cut, Own: w.Own, Again: w.Again, ShowToRequester: w.ShowToRequester,
		Subject: w.Subject, HTML: w.HTML, Plain: w.Plain, Kind: w.Kind, Author: w.From,
	}
	var err error
	if out.AsOf, err = time.Parse(time.RFC3339Nano, w.AsOf); err != nil {
		wrong = append(wrong, "asOf")
	}
	if w.Created != "" {
		if out.Created, err = time.Parse(time.RFC3339Nano, w.Created); err != nil {
			wrong = append(wrong, "created")
		}
	}
	switch w.Mark {
	case "":
	case "important":
		out.Mark = webhook.MarkImportant
	case "solution":
		out.Mark = webhook.MarkSolution
	default:
		wrong = append(wrong, "mark")
	}
	if len(wrong) > 0 {
		return nil, webhook.Refused("The record has no usable " + strings.Join(wrong, ", ") + "; it does not come from the Alvao application.")
	}
	for _, f := range w.Attachments {
		out.Files = append(out.Files, webhook.PushedFile{ID: f.ID, Name: f.Name, Size: f.Size, Link: f.Link})
	}
	return &out, nil
}

// limits names the fields that are longer than they may be.
func (w wireRecord) limits() []string {
	var wrong []string
	for _, one := range []struct {
		name, value string
		most        int
	}{
		{"subject", w.Subject, longestLine},
		{"contentHtml", w.HTML, longestHTML},
		{"contentPlain", w.Plain, longestPlain},
		{"kind", w.Kind, longestKind},
		{"from", w.From, longestLine},
	} {
		if len(one.value) > one.most {
			wrong = append(wrong, one.name)
		}
	}
	if len(w.Attachments) > mostFiles {
		return append(wrong, "attachments")
	}
	for i, f := range w.Attachments {
		if f.ID <= 0 || len(f.Name) > longestLine || len(f.Link) > longestLink || f.Size != nil && *f.Size < 0 {
			wrong = append(wrong, "attachments["+strconv.Itoa(i)+"]")
		}
	}
	return wrong
}
