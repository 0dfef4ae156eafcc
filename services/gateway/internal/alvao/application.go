package alvao

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/tandem-sync/tandem/services/gateway/internal/envelope"
	"github.com/tandem-sync/tandem/services/gateway/internal/webhook"
)

// The headers of the application's requests.
const (
	// HeaderTimestamp holds the time of signing in whole seconds since 1970, UTC.
	HeaderTimestamp = "X-Tandem-Timestamp"
	// HeaderSignature holds HMAC-SHA256 over timestamp + "." + body, in hex.
	HeaderSignature = "X-Tandem-Signature"
)

const (
	// Window is how far the timestamp may be from our clock, either way.
	Window = 5 * time.Minute
	// rememberedSignatures bounds the memory for finding replays; at 32 bytes each
	// and with the map around them it is about 8 MB.
	rememberedSignatures = 1 << 17
	longestEvent         = 128
	longestTimestamp     = 12 // digits; enough for the year 33658
)

// Application receives what the Alvao application pushes. Its route's pattern must
// have the wildcard "connector".
type Application struct {
	keys   func(connector string) []string
	now    func() time.Time
	seen   *replays
	parser envelope.Parser
}

// NewApplication makes an Application. keys returns the keys that connector may sign
// with now; it is asked for connectors that do not exist, too.
func NewApplication(keys func(connector string) []string, now func() time.Time) *Application {
	return &Application{keys: keys, now: now, seen: newReplays(2*Window, rememberedSignatures)}
}

// Name implements webhook.Source.
func (*Application) Name() string { return "alvao-application" }

// Authenticate implements webhook.Source. It turns away what can't be right before
// the body is read.
func (a *Application) Authenticate(r *http.Request) error {
	signed, err := parseHeaders(r.Header)
	if err != nil {
		return webhook.Denied(err.Error(), "")
	}
	if off := a.now().Sub(signed.at); off > Window || off < -Window {
		return webhook.Denied("timestamp outside the window of "+Window.String(), "")
	}
	return nil
}

// Verify implements webhook.Source.
func (a *Application) Verify(r *http.Request, raw []byte) error {
	signed, err := parseHeaders(r.Header)
	if err != nil {
		return webhook.Denied(err.Error(), "")
	}
	right := false
	for _, key := range a.keys(r.PathValue("connector")) {
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write([]byte(signed.timestamp))
		mac.Write([]byte{'.'})
		mac.Write(raw)
		if hmac.Equal(mac.Sum(nil), signed.signature[:]) {
			right = true
		}
	}
	if !right {
		return webhook.Denied("wrong signature", "")
	}
	return nil
}

// Read implements webhook.Source. The body is ours to define:
// {"event":"act.created","ticketId":1,"actId":2,"personId":3,"record":{…}} (alvao.md
// §3.3; deploy/alvao/README.md has it whole). The record goes to where sync-core keeps
// the truth of the log, and into no payload that people are shown.
// {"event":"round.finished","round":{"tookMs":4}} says that all records were told again.
// The signature is remembered, so that the same request is refused from now on; it
// is forgotten again if the event could not be stored.
func (a *Application) Read(r *http.Request, body []byte) (webhook.Notice, error) {
	p, err := a.parse(body)
	if err != nil {
		return webhook.Notice{}, err
	}
	event, ticket := p.shown.Event, p.shown.Ticket
	if event == "" || len(event) > longestEvent {
		return webhook.Notice{}, webhook.Refused("The body has no event of 1 to 128 bytes; it does not come from the Alvao application.")
	}
	if ticket <= 0 && p.round == nil {
		return webhook.Notice{}, webhook.Refused("The body has no ticketId above 0; it does not come from the Alvao application.")
	}
	pushed, err := p.pushed()
	if err != nil {
		return webhook.Notice{}, err
	}
	round, err := p.finished()
	if err != nil {
		return webhook.Notice{}, err
	}
	payload, err := json.Marshal(p.shown)
	if err != nil {
		return webhook.Notice{}, fmt.Errorf("encoding what is shown of a notice: %w", err)
	}
	signed, err := parseHeaders(r.Header)
	if err != nil {
		return webhook.Notice{}, webhook.Denied(err.Error(), "")
	}
	if !a.seen.add(signed.signature, a.now()) {
		return webhook.Notice{}, webhook.Denied("replayed signature", "")
	}
	connector := r.PathValue("connector")
	return webhook.Notice{
		Connector: connector,
		System:    webhook.Alvao,
		ItemID:    ticket,
		EventType: event,
		EventID:   "alvao-app/" + connector + "/" + hex.EncodeToString(signed.signature[:]),
		Pushed:    pushed,
		Round:     round,
		Payload:   payload,
		Release:   func() { a.seen.remove(signed.signature) },
	}, nil
}

// signed is what the two headers say.
type signed struct {
	timestamp string // as it was sent, as that is what was signed
	at        time.Time
	signature [sha256.Size]byte
}

// The ways in which headers are wrong. They name no value.
var (
	errTimestamp = errors.New("no timestamp of whole seconds")
	errSignature = errors.New("no signature of 64 hex digits")
)

func parseHeaders(header http.Header) (signed, error) {
	return parseSigned(header.Get(HeaderTimestamp), header.Get(HeaderSignature))
}

func parseSigned(timestamp, signature string) (signed, error) {
	s := signed{timestamp: timestamp}
	if timestamp == "" || len(timestamp) > longestTimestamp {
		return signed{}, errTimestamp
	}
	seconds, err := strconv.ParseUint(timestamp, 10, 63)
	if err != nil {
		return signed{}, errTimestamp
	}
	s.at = time.Unix(int64(seconds), 0)
	if len(signature) != hex.EncodedLen(len(s.signature)) {
		return signed{}, errSignature
	}
	if _, err := hex.Decode(s.signature[:], []byte(signature)); err != nil {
		return signed{}, errSignature
	}
	return s, nil
}
