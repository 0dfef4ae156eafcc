// Package azuredevops is the webhook.Source of Azure DevOps service hooks.
//
// Its one invariant: it reads identity only, and it reads it from every form of
// envelope that was seen in the wild (azure-devops.md §1.2 to §1.8): with a byte
// order mark, in PascalCase, with numbers as strings, with "server" in the place of
// "account", without a subscription. What the item looks like is sync-core's to read.
package azuredevops

import (
	"crypto/subtle"
	"net/http"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/tandem-sync/tandem/services/gateway/internal/envelope"
	"github.com/tandem-sync/tandem/services/gateway/internal/webhook"
)

// challenge tells a browser or a proxy which credentials are asked for.
const challenge = `Basic realm="tandem", charset="UTF-8"`

// Credentials are what service hooks must show. Both functions of a rotation count:
// Passwords returns all that are valid now.
type Credentials struct {
	// User is the user name of Basic authentication.
	User string
	// Passwords returns the valid passwords. Required; none returned: nobody gets in.
	Passwords func() []string
}

// Hook receives service hooks. A connector named in the URL ("connector" of the
// route's pattern) goes along with the event.
type Hook struct {
	credentials Credentials
	open        *rate.Limiter // nil: credentials are demanded
	now         func() time.Time
	parser      envelope.Parser
}

// NewHook makes a Hook that demands credentials.
func NewHook(credentials Credentials) *Hook {
	return &Hook{credentials: credentials}
}

// NewCallback makes the Hook of the path that Alvao's own connector has its users
// enter. Alvao's manual sets no credentials there and a tenant only changes the
// host, so a request without an Authorization header is let in, as long as open has
// a token; the worst that a forged hint costs is a read. Wrong credentials are
// refused all the same.
func NewCallback(credentials Credentials, open *rate.Limiter, now func() time.Time) *Hook {
	return &Hook{credentials: credentials, open: open, now: now}
}

// Name implements webhook.Source.
func (h *Hook) Name() string {
	if h.open != nil {
		return "azure-devops-callback"
	}
	return "azure-devops"
}

// Authenticate implements webhook.Source.
func (h *Hook) Authenticate(r *http.Request) error {
	if _, shown := r.Header["Authorization"]; !shown {
		if h.open == nil {
			return webhook.Denied("no credentials", challenge)
		}
		if !h.open.AllowN(h.now(), 1) {
			return &webhook.RefusalError{
				Outcome: webhook.Overloaded,
				Text:    "Too many events without credentials arrive on this path; send the event again.",
				Cause:   "rate limit",
			}
		}
		return nil
	}
	user, password, ok := r.BasicAuth()
	if !ok {
		return webhook.Denied("no Basic credentials", challenge)
	}
	right := 0
	for _, want := range h.credentials.Passwords() {
		right |= subtle.ConstantTimeCompare([]byte(password), []byte(want))
	}
	right &= subtle.ConstantTimeCompare([]byte(user), []byte(h.credentials.User))
	if right != 1 {
		return webhook.Denied("wrong credentials", challenge)
	}
	return nil
}

// Verify implements webhook.Source: service hooks are not signed (azure-devops.md §1.9).
func (h *Hook) Verify(*http.Request, []byte) error { return nil }

// Read implements webhook.Source.
func (h *Hook) Read(r *http.Request, body []byte) (webhook.Notice, error) {
	event, err := parse(&h.parser, body)
	if err != nil {
		return webhook.Notice{}, err
	}
	notice, err := event.notice()
	if err != nil {
		return webhook.Notice{}, err
	}
	notice.Connector = r.PathValue("connector")
	return notice, nil
}

// notice decides what the event asks for.
func (e *event) notice() (webhook.Notice, error) {
	if e.eventType == "" {
		return webhook.Notice{}, webhook.Refused("The event has no eventType; the body is not an Azure DevOps service hook event.")
	}
	notice := webhook.Notice{
		System:    webhook.AzureDevOps,
		EventType: e.eventType[:min(len(e.eventType), longestEventType)],
		EventID:   e.dedupID(),
		Origin:    webhook.Origin{AccountURL: e.accountURL(), ProjectID: e.projectID, ProjectName: e.projectName()},
	}
	itemID := e.resource.id
	switch e.eventType {
	case eventUpdated:
		itemID = e.updatedItem()
	case eventCreated, eventCommented, eventDeleted, eventRestored:
	default:
		notice.Ignored = webhook.IgnoredEventType
		return notice, nil
	}
	switch {
	case e.isTest():
		notice.Ignored = webhook.IgnoredTest
	case itemID <= 0:
		notice.Ignored = webhook.IgnoredNoItem
	default:
		notice.ItemID, notice.Revision = itemID, max(e.resource.rev, 0)
	}
	return notice, nil
}

// isTest tells whether a Test button sent the event: it has the id of a sample, or
// it is an update of work item 0 (azure-devops.md §1.8). Real events have a new GUID
// each, so a sample's id settles it, whatever the subscription says.
func (e *event) isTest() bool {
	if e.eventType == eventUpdated && e.resource.hasWorkItemID && e.resource.workItemID == 0 {
		return true
	}
	switch strings.ToLower(e.id) {
	case "27646e0e-b520-4d2b-9411-bba7524947cd", // updated
		"d2d46fb1-dba5-403c-9373-427583f19e8c", // created
		"fb2617ed-60df-4518-81fa-749faa6c5cd6", // commented
		"72da0ade-0709-40ee-beb7-104287bf7e84", // deleted
		"1ca023d6-6cff-49dd-b3d1-302b69311810": // restored
		return true
	default:
		return false
	}
}
