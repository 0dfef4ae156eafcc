// Package teams posts Adaptive Cards to a Teams Workflows webhook ("Post to a channel
// when a webhook request is received").
//
// Its one invariant: the webhook's address, which is the secret, appears in no error,
// and texts from outside are never read as Markdown: they stand in text runs, which know
// none.
package teams

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
)

const (
	// maxCard is the most bytes of a message: Teams takes about 28 KB with everything
	// (Microsoft: Teams connector, known limitations).
	maxCard = 24 << 10
	// maxAnswer is the most that is read of an answer; nothing of it is used.
	maxAnswer = 64 << 10
	timeout   = 30 * time.Second
)

// Options say how webhooks are called. All fields are required.
type Options struct {
	// Address gives the webhook's address; it is asked for each card.
	Address func() (string, error)
	// Base is the connection pool.
	Base      http.RoundTripper
	Gate      outbound.Gate
	Now       func() time.Time
	UserAgent string
}

// Poster posts cards. It is safe for concurrent use.
type Poster struct{ o Options }

// New makes a Poster. It connects to nothing.
func New(o Options) *Poster { return &Poster{o} }

// Card is what one card says.
type Card struct {
	// ID is the same when a card is posted again, for a flow that wants to know.
	ID string
	// Title and Text are plain; each line of Text becomes one of the card.
	Title, Text string
	// Who is mentioned, by the user principal name Mention; empty: nobody.
	Who, Mention string
	// Links are the buttons, in order.
	Links []Link
	// Again tells that the card may have been posted before.
	Again bool
}

// Link is a button that opens a page.
type Link struct{ Title, URL string }

// Post posts one card. When it fails, the card may have been posted all the same, unless
// the error is an outbound.ErrUnsent or the fault is of one of these kinds:
//
//	Refused        the flow does not take this card, now or later
//	Misconfigured  the address is not, or no longer, a webhook's
//	Throttled      Teams asks to wait
func (p *Poster) Post(ctx context.Context, c Card) error {
	address, u, err := p.address()
	if err != nil {
		return err
	}
	origin, err := outbound.ParseOrigin((&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String())
	if err != nil {
		return fault.New(fault.Misconfigured, "%s", noWebhook)
	}
	body, err := encode(c)
	if err != nil {
		return err
	}
	// The guard is made of the address at hand, since that may be replaced at any time.
	client := outbound.NewClient(&outbound.Guard{
		Origins: []outbound.Origin{origin}, Header: http.Header{"User-Agent": {p.o.UserAgent}},
		Next: &outbound.Retry{Gate: p.o.Gate, Attempts: 1, Timeout: timeout, Now: p.o.Now, Next: p.o.Base},
	})
	answer, err := client.Do(ctx, outbound.Request{
		Method: http.MethodPost, URL: address, ContentType: "application/json", Body: body, Cap: maxAnswer,
	})
	if err != nil {
		return p.broken(ctx, err)
	}
	return p.judge(answer)
}

const noWebhook = "The secret in notice.teams is not the address of a Teams webhook; paste the URL that the flow shows, which begins with https://."

// address reads the webhook's address. Only a stand-in on this machine may do without TLS.
func (p *Poster) address() (string, *url.URL, error) {
	address, err := p.o.Address()
	if err != nil {
		return "", nil, fault.Wrap(err, fault.Unavailable, "The address of the Teams webhook can't be read; make its file or variable readable.")
	}
	u, err := url.Parse(strings.TrimSpace(address))
	if err != nil || u.Host == "" || u.User != nil ||
		(u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname()))) {
		return "", nil, fault.New(fault.Misconfigured, "%s", noWebhook)
	}
	u.Fragment = ""
	return u.String(), u, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// broken words a call without an answer. The cause is left out where it may hold the
// address.
func (p *Poster) broken(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("posting to Teams: %w", cause)
	}
	if wait, ok := errors.AsType[*outbound.WaitError](err); ok {
		return fault.New(fault.Throttled, "Teams asked to wait; the card is posted later.").After(wait.For)
	}
	if errors.Is(err, outbound.ErrTooLarge) {
		return fault.New(fault.Misconfigured, "%s", noWebhook)
	}
	if dialing, ok := errors.AsType[*net.OpError](err); ok && dialing.Op == "dial" {
		return fault.Wrap(outbound.ErrUnsent, fault.Unavailable, "The Teams webhook can't be reached; it is tried again.")
	}
	return fault.New(fault.Unavailable, "The Teams webhook broke off; it is tried again.")
}

func (p *Poster) judge(answer outbound.Answer) error {
	switch status := answer.Status; {
	case status >= http.StatusOK && status < http.StatusMultipleChoices:
		return nil
	case status == http.StatusTooManyRequests:
		return fault.New(fault.Throttled, "Teams asks to wait (429); the card is posted later.").
			After(max(time.Second, outbound.RetryAfter(answer.Header, p.o.Now())))
	case status == http.StatusBadRequest || status == http.StatusRequestEntityTooLarge || status == http.StatusUnprocessableEntity:
		return fault.New(fault.Refused, "The Teams flow does not take the card (%d); look at the flow's run history.", status)
	case status == http.StatusRequestTimeout || status >= http.StatusInternalServerError:
		return fault.New(fault.Unavailable, "The Teams webhook answers %d; it is tried again.", status).
			After(outbound.RetryAfter(answer.Header, p.o.Now()))
	default:
		return fault.New(fault.Misconfigured,
			"The Teams webhook answers %d: the flow was deleted or switched off, or its address was renewed; put the present address into the secret of notice.teams, then replay the event.", status)
	}
}

// Check looks at the address. A flow can't be asked without a card appearing, so none is.
func (p *Poster) Check(context.Context) item.Finding {
	const check = "notice.teams"
	if _, _, err := p.address(); err != nil {
		return item.Finding{Check: check, Severity: item.Error, Detail: fault.Sentence(err), Remedy: "Put the flow's URL into the secret that notice.teams names."}
	}
	return item.Finding{Check: check, Severity: item.OK, Detail: "The Teams webhook's address is well formed; whether the flow works shows with its first card."}
}

// element is a part of a card: the schema is large and we use a corner of it.
type element map[string]any

// encode writes the message that the flow's template takes.
func encode(c Card) ([]byte, error) {
	lines := strings.Split(strings.Trim(c.Text, "\n"), "\n")
	for {
		body, err := json.Marshal(message(c, lines))
		if err != nil {
			return nil, fmt.Errorf("encoding card: %w", err)
		}
		if len(body) <= maxCard || len(lines) == 0 {
			return body, nil
		}
		lines = lines[:len(lines)/2]
	}
}

func message(c Card, lines []string) element {
	body := []element{runs(c.Title, element{"weight": "bolder", "size": "medium"})}
	var entities []element
	if who := strings.Join(strings.FieldsFunc(c.Who, func(r rune) bool { return strings.ContainsRune("<>*_[]()`~#\\\r\n", r) }), ""); who != "" && c.Mention != "" {
		mention := "<at>" + who + "</at>"
		body = append(body, element{"type": "TextBlock", "text": mention, "wrap": true})
		entities = append(entities, element{
			"type": "mention", "text": mention, "mentioned": element{"id": c.Mention, "name": who},
		})
	}
	if c.Again {
		body = append(body, runs("This may have been posted before.", element{"isSubtle": true, "italic": true}))
	}
	for _, line := range lines {
		if strings.TrimSpace(line) != "" {
			body = append(body, runs(line, nil))
		}
	}
	actions := make([]element, 0, len(c.Links))
	for _, link := range c.Links {
		if link.URL != "" {
			actions = append(actions, element{"type": "Action.OpenUrl", "title": link.Title, "url": link.URL})
		}
	}
	card := element{
		"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
		"body": body, "actions": actions, "msteams": element{"width": "Full", "entities": entities},
	}
	return element{"type": "message", "id": c.ID, "attachments": []element{{
		"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": nil, "content": card,
	}}}
}

// runs is a line of text in which nothing is Markdown.
func runs(text string, style element) element {
	run := element{"type": "TextRun", "text": text}
	maps.Copy(run, style)
	return element{"type": "RichTextBlock", "inlines": []element{run}}
}
