package alvao

import (
	"context"
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

// refusal turns an answer that is not a success into a fault; nil for a success.
func (c *Client) refusal(q call, a outbound.Answer) error {
	ok := a.Status >= 200 && a.Status < 300
	page := ok && a.Status != http.StatusNoContent && a.LooksHTML()
	if ok && !page && a.Status != http.StatusNonAuthoritativeInfo {
		return nil
	}
	cause := &Error{Status: a.Status, Message: errorText(a)}
	wait := outbound.RetryAfter(a.Header, c.now())
	switch status := a.Status; {
	case status < 400, status == http.StatusUnauthorized:
		return fault.Wrap(cause, fault.BadToken,
			"Alvao does not accept the user name and password for %s; correct them, everything waits until then.", c.base)
	case status == http.StatusForbidden:
		return fault.Wrap(cause, fault.Denied,
			"The account may not %s %s%s; give it the role Manager on the service %s in Alvao.", q.deed, q.subject, told(cause), c.service)
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
		return fault.Wrap(cause, fault.Unavailable, "%s", c.outOfReach(q, fmt.Sprintf("answers with an error (%d)", status))).After(wait)
	default:
		return fault.Wrap(cause, fault.Invalid, "Alvao rejects the request to %s %s%s.", q.deed, q.subject, told(cause))
	}
}

// unsent turns an error without a whole answer into a fault.
func (c *Client) unsent(q call, err error) error {
	var wait *outbound.WaitError
	switch {
	case errors.As(err, &wait):
		return fault.Wrap(err, fault.Throttled,
			"Alvao asked for a pause; Tandem tries %s again by itself.", q.subject).After(wait.For)
	case errors.Is(err, outbound.ErrNoCredential):
		if f, ok := fault.As(err); ok {
			// Who gives the token says it better.
			return f
		}
		return fault.Wrap(err, fault.BadToken,
			"The password for %s can't be read; check the file or variable that holds it.", c.base)
	case errors.Is(err, outbound.ErrForeign):
		return fault.Wrap(err, fault.Invalid, "The address of %s lies outside %s and was not called.", q.subject, c.base)
	case errors.Is(err, outbound.ErrTooLarge):
		return fault.Wrap(err, fault.Invalid, "Alvao shows more of %s than Tandem reads at once.", q.subject)
	case errors.Is(err, context.Canceled):
		// Our side gave up; that says nothing about the system.
		return fmt.Errorf("asking to %s %s: %w", q.deed, q.subject, err)
	case errors.Is(err, outbound.ErrContent):
		if f, ok := fault.As(err); ok {
			// The content comes from the other system, whose own words say it better.
			return f
		}
		return fault.Wrap(err, fault.Unavailable,
			"The content of the files with %s could not be read as it was told, so nothing was written; Tandem tries again by itself.", q.subject)
	case errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap(err, fault.Unavailable, "%s", c.outOfReach(q, "did not answer in time"))
	default:
		return fault.Wrap(err, fault.Unavailable, "%s", c.outOfReach(q, "can't be reached"))
	}
}

// outOfReach is the sentence for trouble that passes. What a lost reply to a write
// did is not known, and the sentence does not pretend otherwise.
func (c *Client) outOfReach(q call, what string) string {
	if q.method == http.MethodGet {
		return fmt.Sprintf("Alvao %s at %s; Tandem tries %s again by itself.", what, c.base, q.subject)
	}
	return fmt.Sprintf("Alvao %s at %s, so it is open whether it did %s %s; Tandem looks before it tries again.", what, c.base, q.deed, q.subject)
}

func (c *Client) unreadable(q call, err error) error {
	return fault.Wrap(fmt.Errorf("decoding answer: %w", err), fault.Unavailable, "%s", c.outOfReach(q, "sent an unreadable answer"))
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
			return oneLine(string(text))
		}
		if a.Media() == "text/plain" {
			return oneLine(string(a.Body))
		}
		return ""
	}
	var inner struct {
		Message lenient.Text `json:"message"`
	}
	if json.Unmarshal(w.Error, &inner) == nil && inner.Message != "" {
		return oneLine(string(inner.Message))
	}
	if w.Message != "" {
		return oneLine(string(w.Message))
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
		return oneLine(strings.Join(reasons, " "))
	case w.Detail != "":
		return oneLine(string(w.Detail))
	default:
		return oneLine(string(w.Title))
	}
}

func toldBy(err error) string {
	if cause, ok := errors.AsType[*Error](err); ok {
		return told(cause)
	}
	return ""
}

func told(cause *Error) string {
	if cause.Message == "" {
		return ""
	}
	return " (" + strings.TrimRight(cause.Message, ". ") + ")"
}

// oneLine shortens a vendor's message to one line of at most 300 characters.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > 300 {
		return string(runes[:299]) + "…"
	}
	return text
}
