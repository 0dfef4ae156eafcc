package alvao

import (
	"errors"
	"fmt"
	"net/http"
)

// ErrNotFound says that there is no such ticket, record, attachment, person or webhook.
var ErrNotFound = errors.New("not found")

// ErrClosed says that the stand-in was closed while the change waited to become visible.
var ErrClosed = errors.New("the service desk is closed")

// RefusedError is a rule of Alvao that stands against a write. The REST API answers it with Status and a body; the Go API
// returns it as it is.
type RefusedError struct {
	// Rule names the rule, for tests; it does not cross the wire.
	Rule Rule
	// Status is the HTTP status.
	Status int
	// Text is what people read.
	Text string
	// Field is the input at fault, if the refusal is about one.
	Field string

	style ErrorStyle
}

// Error gives the text.
func (r *RefusedError) Error() string { return r.Text }

// Rule names a reason for refusal.
type Rule string

// The rules. Names in Alvao's .NET reference, where there is one, stand behind.
const (
	RuleApproval      Rule = "approval running"     // ApprovalInProgressException
	RuleRequired      Rule = "required fields"      // RequiredFieldsException
	RulePermitted     Rule = "permitted statuses"   // status not among the permitted next ones
	RuleSame          Rule = "already in status"    // ValidationException
	RuleUnknownStatus Rule = "unknown status"       // no such status in the ticket's process
	RuleChildren      Rule = "open child tickets"   // ValidationException
	RuleResolveRights Rule = "no right to resolve"  // CantResolveTicketInsufficientRightsException
	RuleRights        Rule = "no right"             // 403
	RuleSLA           Rule = "no SLA"               // SlaAccessException
	RuleOnBehalf      Rule = "no record for person" // ValidationException
	RuleAttachment    Rule = "attachment refused"   // GlobalAttachmentBlacklist
	RuleInput         Rule = "invalid input"
	RuleRemoved       Rule = "ticket removed"
)

func refuse(rule Rule, format string, args ...any) *RefusedError {
	return &RefusedError{Rule: rule, Status: http.StatusBadRequest, Text: fmt.Sprintf(format, args...), style: ErrorsMessage}
}

// refuseOData is a refusal in OData's body, which is what a missing SLA was seen with (BBMRI).
func refuseOData(rule Rule, format string, args ...any) *RefusedError {
	r := refuse(rule, format, args...)
	r.style = ErrorsOData
	return r
}

// refuseField is a validation error of one input, in the body of ASP.NET's ProblemDetails.
func refuseField(field, format string, args ...any) *RefusedError {
	r := refuse(RuleInput, format, args...)
	r.Field, r.style = field, ErrorsProblem
	return r
}

func forbid(format string, args ...any) *RefusedError {
	r := refuse(RuleRights, format, args...)
	r.Status = http.StatusForbidden
	return r
}

// RuleOf gives the rule an error is about; empty if it is no refusal.
func RuleOf(err error) Rule {
	if r, ok := errors.AsType[*RefusedError](err); ok {
		return r.Rule
	}
	return ""
}
