package alvao

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/lenient"
	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
)

// Error is a refusal as Alvao told it. It is the cause behind a fault, for the log.
// Alvao has no machine-readable codes; the text is all there is (alvao.md §1.2).
type Error struct {
	Status int
	// Message is the vendor's message, shortened to one line; empty if none was sent.
	Message string
}

// Error gives status and message on one line.
func (e *Error) Error() string {
	if e.Message == "" {
		return fmt.Sprintf("Alvao answered %d", e.Status)
	}
	return fmt.Sprintf("Alvao answered %d: %s", e.Status, e.Message)
}

// approvalWait is how long a ticket in approval is left alone. Approvals take people
// hours; the ticket's own events wake it up earlier.
const approvalWait = 2 * time.Minute

// words are what trouble with any vendor is told in.
func (c *Client) words() outbound.Words {
	w := outbound.Words{System: "Alvao", Place: c.base, Secret: "The password"}
	if c.login == "" {
		w.Secret = "The client secret or certificate of Microsoft Entra"
	}
	return w
}

// told is what the call is for, as the words want it.
func (q call) told() outbound.Deed {
	return outbound.Deed{Subject: q.subject, Verb: q.deed, Content: "the files with " + q.subject, Reads: q.method == http.MethodGet}
}

// refusal turns an answer that is not a success into a fault; nil for a success.
func (c *Client) refusal(q call, a outbound.Answer) error {
	ok := a.Status >= 200 && a.Status < 300
	page := ok && a.Status != http.StatusNoContent && a.LooksHTML()
	if ok && !page && a.Status != http.StatusNonAuthoritativeInfo {
		return nil
	}
	if q.secret != "" {
		// Before anything is cut off, which might leave a part of it.
		a.Body = bytes.ReplaceAll(a.Body, []byte(q.secret), []byte("…"))
	}
	cause := &Error{Status: a.Status, Message: errorText(a)}
	wait := outbound.RetryAfter(a.Header, c.now())
	switch status := a.Status; {
	case (status < 400 || status == http.StatusUnauthorized) && c.login == "":
		return fault.Wrap(cause, fault.BadToken,
			"Alvao does not accept the token that Microsoft Entra gives Tandem for %s; compare its tenant, clientId and application in the configuration with the registration, and have Alvao accept that application; everything waits until then.", c.base)
	case status < 400, status == http.StatusUnauthorized:
		return fault.Wrap(cause, fault.BadToken,
			"Alvao does not accept the user name and password for %s; correct them, everything waits until then.", c.base)
	case status == http.StatusForbidden:
		return fault.Wrap(cause, fault.Denied,
			"The account may not %s %s%s; give it the role Manager on the service %s in Alvao.", q.deed, q.subject, outbound.Told(cause.Message), c.service)
	case status == http.StatusNotFound:
		return fault.Wrap(cause, fault.NotFound,
			"Alvao shows no %s to the account; it was removed, or the account lacks a role on its service.", q.subject)
	case status == http.StatusConflict, status == http.StatusPreconditionFailed:
		return fault.Wrap(cause, fault.Conflict,
			"Somebody changed %s at the same moment; Tandem reads it anew and decides again.", q.subject)
	case status == http.StatusTooManyRequests:
		return fault.Wrap(cause, fault.Throttled,
			"Alvao slows the account down; Tandem tries %s again by itself.", q.subject).After(wait)
	case status >= 500, status == http.StatusRequestTimeout:
		return fault.Wrap(cause, fault.Unavailable, "%s", c.words().OutOfReach(q.told(), fmt.Sprintf("answers with an error (%d)", status))).After(wait)
	default:
		return fault.Wrap(cause, fault.Invalid, "Alvao rejects the request to %s %s%s.", q.deed, q.subject, outbound.Told(cause.Message))
	}
}

// errorText takes the message out of an error body of any of the three shapes in
// evidence, or of plain text; a web page tells nothing.
func errorText(a outbound.Answer) string {
	if a.LooksHTML() {
		return ""
	}
	var w struct {
		Message lenient.Text `json:"message"`
		Title   lenient.Text `json:"title"`
		Detail  lenient.Text `json:"detail"`
		Error   json.RawMessage
		Errors  lenient.Map
	}
	if err := json.Unmarshal(a.Body, &w); err != nil {
		var text lenient.Text
		if json.Unmarshal(a.Body, &text) == nil {
			return outbound.OneLine(string(text))
		}
		if a.Media() == "text/plain" {
			return outbound.OneLine(string(a.Body))
		}
		return ""
	}
	var inner struct {
		Message lenient.Text `json:"message"`
	}
	if json.Unmarshal(w.Error, &inner) == nil && inner.Message != "" {
		return outbound.OneLine(string(inner.Message))
	}
	if w.Message != "" {
		return outbound.OneLine(string(w.Message))
	}
	// The title is generic ("One or more validation errors occurred."); what is wrong
	// stands below it.
	var reasons []string
	for _, field := range slices.Sorted(maps.Keys(w.Errors)) {
		var texts lenient.List[lenient.Text]
		_ = texts.UnmarshalJSON(w.Errors[field])
		if len(texts) == 0 {
			texts = lenient.List[lenient.Text]{lenient.Text(w.Errors.Text(field))}
		}
		for _, text := range texts {
			reasons = append(reasons, strings.TrimSpace(field+": "+string(text)))
		}
	}
	switch {
	case len(reasons) > 0:
		return outbound.OneLine(strings.Join(reasons, " "))
	case w.Detail != "":
		return outbound.OneLine(string(w.Detail))
	default:
		return outbound.OneLine(string(w.Title))
	}
}

func toldBy(err error) string {
	if cause, ok := errors.AsType[*Error](err); ok {
		return outbound.Told(cause.Message)
	}
	return ""
}
