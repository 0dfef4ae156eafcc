// Package alvao holds the two webhook.Sources of ALVAO Service Desk: its built-in
// webhooks and the Alvao application that comes with Tandem.
//
// Its one invariant: neither is believed beyond "look at this ticket". A built-in
// webhook can show nothing but the secret in its URL (alvao.md §3.1); the
// application signs time and body, so that what was overheard is of no use later.
package alvao

import (
	"crypto/subtle"
	"net/http"

	"github.com/tandem-sync/tandem/services/gateway/internal/envelope"
	"github.com/tandem-sync/tandem/services/gateway/internal/webhook"
)

// builtInEvent is the event type of built-in webhooks, which name none themselves.
const builtInEvent = "webhook"

// Webhook receives Alvao's built-in webhooks. Its route's pattern must have the
// wildcards "connector" and "token".
type Webhook struct {
	tokens func(connector string) []string
	parser envelope.Parser
}

// NewWebhook makes a Webhook. tokens returns the tokens that are valid for a
// connector now; it is asked for connectors that do not exist, too.
func NewWebhook(tokens func(connector string) []string) *Webhook {
	return &Webhook{tokens: tokens}
}

// Name implements webhook.Source.
func (*Webhook) Name() string { return "alvao" }

// Authenticate implements webhook.Source.
func (h *Webhook) Authenticate(r *http.Request) error {
	token := []byte(r.PathValue("token"))
	right := 0
	for _, want := range h.tokens(r.PathValue("connector")) {
		right |= subtle.ConstantTimeCompare(token, []byte(want))
	}
	if right != 1 {
		return webhook.Denied("wrong token", "")
	}
	return nil
}

// Verify implements webhook.Source: built-in webhooks are not signed.
func (*Webhook) Verify(*http.Request, []byte) error { return nil }

// Read implements webhook.Source. The whole body is {"requestId":123,"personId":25}
// (Alvao REST API: webhooks; alvao.md §3.1). Nothing tells two deliveries apart, so
// there is no event id; sync-core serves what waits for one ticket together.
func (h *Webhook) Read(r *http.Request, body []byte) (webhook.Notice, error) {
	var ticket int64
	err := h.parser.Walk(body, func(r *envelope.Reader, name []byte) error {
		if string(name) != "requestid" {
			return r.Skip()
		}
		var err error
		ticket, _, err = r.Int()
		return err
	})
	if err != nil {
		return webhook.Notice{}, err
	}
	if ticket <= 0 {
		return webhook.Notice{}, webhook.Refused("The body has no requestId above 0; it is not one of Alvao's webhooks.")
	}
	return webhook.Notice{
		Connector: r.PathValue("connector"),
		System:    webhook.Alvao,
		ItemID:    ticket,
		EventType: builtInEvent,
	}, nil
}
