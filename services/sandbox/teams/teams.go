// Package teams is a stand-in for a Teams Workflows webhook: it takes cards as the flow template "Post to a channel when a
// webhook request is received" does, and keeps them.
//
// The invariant: a card is kept if and only if it is answered 202, but for what a planted fault does to the answer.
//
// All of it is modelled on Microsoft's description of the message's form and limits; nothing is recorded.
package teams

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// maxMessage is about what Teams takes (Microsoft: Teams connector, known limitations).
	maxMessage = 28 << 10
	maxKept    = 10_000
)

// Card is one card as it was taken.
type Card struct {
	At time.Time `json:"at"`
	// ID is the message's, if it has one.
	ID string `json:"id,omitempty"`
	// Lines are the texts of the card's blocks, in order.
	Lines []string `json:"lines"`
	// Links are the addresses of its buttons, by title.
	Links map[string]string `json:"links"`
	// Mentions are the ids of the people mentioned.
	Mentions []string `json:"mentions,omitempty"`
	// Raw is the message.
	Raw json.RawMessage `json:"raw"`
}

// Server takes cards at every path that ends in a signature. Its methods may be called by several goroutines.
type Server struct {
	signature string

	mu    sync.Mutex
	cards []Card
}

// New makes a Server whose addresses carry the signature as `sig`.
func New(signature string) *Server { return &Server{signature: signature} }

// Cards are the cards that were taken, the oldest first.
func (s *Server) Cards() []Card {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Card(nil), s.cards...)
}

// Clear forgets all cards.
func (s *Server) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cards = nil
}

// message is what of a message is looked at.
type message struct {
	Type        string `json:"type"`
	ID          string `json:"id"`
	Attachments []struct {
		ContentType string `json:"contentType"`
		Content     struct {
			Type    string `json:"type"`
			Version string `json:"version"`
			Body    []struct {
				Type    string `json:"type"`
				Text    string `json:"text"`
				Inlines []struct {
					Type string `json:"type"`
					Text string `json:"text"`
				} `json:"inlines"`
			} `json:"body"`
			Actions []struct {
				Type  string `json:"type"`
				Title string `json:"title"`
				URL   string `json:"url"`
			} `json:"actions"`
			Teams struct {
				Entities []struct {
					Mentioned struct {
						ID string `json:"id"`
					} `json:"mentioned"`
				} `json:"entities"`
			} `json:"msteams"`
		} `json:"content"`
	} `json:"attachments"`
}

// ServeHTTP takes a card.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method != http.MethodPost:
		http.Error(w, "", http.StatusMethodNotAllowed)
		return
	case len(r.Header.Values("Authorization")) > 0:
		// A flow takes one way of authentication, and the signature is that.
		http.Error(w, "", http.StatusUnauthorized)
		return
	case r.URL.Query().Get("sig") != s.signature:
		http.Error(w, "", http.StatusUnauthorized)
		return
	}
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxMessage+1))
	if err != nil || len(raw) > maxMessage {
		http.Error(w, "", http.StatusRequestEntityTooLarge)
		return
	}
	var m message
	if json.Unmarshal(raw, &m) != nil || m.Type != "message" || len(m.Attachments) != 1 ||
		m.Attachments[0].ContentType != "application/vnd.microsoft.card.adaptive" || m.Attachments[0].Content.Type != "AdaptiveCard" {
		http.Error(w, "", http.StatusBadRequest)
		return
	}
	card := Card{At: time.Now(), ID: m.ID, Links: map[string]string{}, Raw: raw} //nolint:forbidigo // when it came is what is told
	content := m.Attachments[0].Content
	for _, block := range content.Body {
		var text strings.Builder
		text.WriteString(block.Text)
		for _, run := range block.Inlines {
			text.WriteString(run.Text)
		}
		card.Lines = append(card.Lines, text.String())
	}
	for _, action := range content.Actions {
		card.Links[action.Title] = action.URL
	}
	for _, entity := range content.Teams.Entities {
		card.Mentions = append(card.Mentions, entity.Mentioned.ID)
	}
	s.mu.Lock()
	if len(s.cards) >= maxKept {
		s.cards = s.cards[1:]
	}
	s.cards = append(s.cards, card)
	s.mu.Unlock()
	w.WriteHeader(http.StatusAccepted)
}

// Text is all that a card says.
func (c Card) Text() string { return strings.Join(c.Lines, "\n") }
