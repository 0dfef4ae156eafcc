package azuredevops

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/lenient"
	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
)

// Error is a refusal as Azure DevOps told it. It is the cause behind a fault, for
// the log; ActivityID is what Microsoft's support asks for.
type Error struct {
	Status int
	// Code is the TF or VS code in the message, e.g. TF401232; empty if there is none.
	Code string
	// TypeKey is the exception's name, e.g. RuleValidationException.
	TypeKey string
	// Field is the reference name of the field at fault; empty if not told.
	Field string
	// Broken lists the rules that were broken, the first included; empty if not told.
	Broken []BrokenRule
	// Message is the vendor's message, shortened to one line.
	Message    string
	ActivityID string
}

// BrokenRule is one rule of a work item type that a change would break.
type BrokenRule struct {
	Field string
	// Flags are the vendor's words for what the field may hold and what is wrong.
	Flags, Message string
}

// Error gives status, code, message and activity id on one line.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Azure DevOps answered %d", e.Status)
	if e.TypeKey != "" {
		b.WriteString(" " + e.TypeKey)
	}
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if e.ActivityID != "" {
		b.WriteString(" (ActivityId " + e.ActivityID + ")")
	}
	return b.String()
}

// wireError is the error body in its two shapes (azure-devops.md §2.10).
type wireError struct {
	Message          lenient.Text `json:"message"`
	TypeKey          lenient.Text `json:"typeKey"`
	ErrorCode        lenient.Int  `json:"errorCode"`
	CustomProperties struct {
		FieldReferenceName lenient.Text
		ReferenceName      lenient.Text
		// RuleValidationErrors lists all broken rules (azure-devops.md §2.5).
		RuleValidationErrors lenient.List[struct {
			FieldReferenceName lenient.Text `json:"fieldReferenceName"`
			FieldStatusFlags   lenient.Text `json:"fieldStatusFlags"`
			ErrorMessage       lenient.Text `json:"errorMessage"`
		}]
	} `json:"customProperties"`
	// Value holds the message of a malformed request.
	Value struct {
		Message lenient.Text
	} `json:"value"`
}

// Codes that decide by themselves, whatever the status.
const (
	codeNotFound     = "TF401232"
	codeGone         = "TF26198"
	codeNoProject    = "TF200016"
	codeMismatch     = "TF26071"
	codeRule         = "TF401320"
	codeNoField      = "TF51535"
	codeFieldStatus  = "TF401326"
	codeTree         = "TF401347"
	codeThrottled    = "TF400733"
	codeUnauthorized = "TF400813"
	codeQueryTimeout = "VS402335"
	codeNoType       = "VS402323"
	codeFileTooLarge = "TF237082"
	codeTooManyFiles = "VS403313"

	errorFieldInvalid = 600171
	errorMismatch     = 600122

	typeRelationExists = "RelationAlreadyExistsException"
)

// words are what trouble with any vendor is told in.
func (c *Client) words() outbound.Words {
	return outbound.Words{System: "Azure DevOps", Place: c.at.account, Secret: "The access token"}
}

// told is what the call is for, as the words want it.
func (q call) told() outbound.Deed {
	return outbound.Deed{Subject: q.subject, Verb: q.deed, Reads: q.method == http.MethodGet || q.reads}
}

// unreadable is the fault of an answer that can't be decoded.
func (c *Client) unreadable(q call, a outbound.Answer, err error) error {
	return c.words().Unreadable(q.told(), fmt.Errorf("decoding answer (ActivityId %s): %w", a.Header.Get("ActivityId"), err))
}

// refusal turns an answer that is not a success into a fault; nil for a success.
func (c *Client) refusal(q call, a outbound.Answer) error {
	ok := a.Status >= 200 && a.Status < 300
	if ok && a.Status != http.StatusNonAuthoritativeInfo && !a.LooksHTML() {
		return nil
	}
	cause, number := readError(a)
	redirected := a.Status >= 300 && a.Status < 400
	// 203, a web page and a redirect are how a bad token looks (azure-devops.md §2.10).
	if ok || redirected || a.Status == http.StatusUnauthorized || cause.Code == codeUnauthorized {
		return c.badToken(cause)
	}
	wait := outbound.RetryAfter(a.Header, c.now())
	switch {
	case a.Status == http.StatusTooManyRequests || cause.Code == codeThrottled:
		return fault.Wrap(cause, fault.Throttled,
			"Azure DevOps slows the account of the access token down; Tandem tries %s again by itself.", q.subject).After(wait)
	case cause.Code == codeQueryTimeout || a.Status >= 500 || a.Status == http.StatusRequestTimeout:
		return fault.Wrap(cause, fault.Unavailable, "%s", c.words().OutOfReach(q.told(), fmt.Sprintf("answers with an error (%d)", a.Status))).After(wait)
	case a.Status == http.StatusConflict || a.Status == http.StatusPreconditionFailed ||
		cause.Code == codeMismatch || number == errorMismatch:
		return fault.Wrap(cause, fault.Conflict,
			"Somebody changed %s at the same moment; Tandem reads it anew and decides again.", q.subject)
	case a.Status == http.StatusRequestEntityTooLarge || cause.Code == codeFileTooLarge:
		return fault.Wrap(cause, fault.Refused,
			"Azure DevOps does not %s %s, because it is larger than allowed there.", q.deed, q.subject)
	case cause.Code == codeTooManyFiles:
		return fault.Wrap(cause, fault.Refused,
			"Azure DevOps does not %s %s, because it has as many attachments as it may have.", q.deed, q.subject)
	case a.Status == http.StatusForbidden:
		return fault.Wrap(cause, fault.Denied,
			"The account of the Azure DevOps access token may not %s %s; grant it the right %s in project %s%s.",
			q.deed, q.subject, cmp.Or(q.right, "to view and edit work items"), c.at.project, outbound.Told(cause.Message))
	case a.Status == http.StatusNotFound:
		return c.notFound(q, a, cause)
	default:
		return c.rejected(q, cause, number)
	}
}

func (c *Client) badToken(cause error) error {
	return fault.Wrap(cause, fault.BadToken,
		"Azure DevOps does not accept the access token for %s; put a valid one in its place, everything waits until then.", c.at.account)
}

func (c *Client) notFound(q call, a outbound.Answer, cause *Error) error {
	switch {
	case cause.Code == codeNoProject || strings.HasPrefix(cause.TypeKey, "ProjectDoesNotExist"):
		return fault.Wrap(cause, fault.Misconfigured,
			"The project %s does not exist in %s; correct the URL in the connector's settings.", c.at.project, c.at.account)
	case cause.Code == codeNoType || strings.HasPrefix(cause.TypeKey, "WorkItemTypeNotFound"):
		return fault.Wrap(cause, fault.Misconfigured,
			"Azure DevOps does not know the type of %s in project %s; correct System.WorkItemType in the AttributeMap.", q.subject, c.at.project)
	case cause.TypeKey == "" && cause.Code == "" && !strings.HasSuffix(a.Media(), "json"):
		return fault.Wrap(cause, fault.Misconfigured,
			"No Azure DevOps project answers at %s/%s; correct the URL in the connector's settings.", c.at.account, c.at.project)
	default:
		return fault.Wrap(cause, fault.NotFound,
			"Azure DevOps shows no %s to the account of the access token; it was removed, or the account lacks the right to see it.", q.subject)
	}
}

// rejected sorts what is left, chiefly the reasons behind a 400.
func (c *Client) rejected(q call, cause *Error, number int64) error {
	switch {
	case cause.TypeKey == "RuleValidationException" || cause.Code == codeRule:
		return fault.Wrap(cause, fault.Refused,
			"A rule of Azure DevOps forbids to %s %s%s%s.", q.deed, q.subject, inField(cause.Field), outbound.Told(cause.Message))
	case cause.Code == codeNoField || strings.HasPrefix(cause.TypeKey, "WorkItemTrackingFieldDefinitionNotFound"):
		return fault.Wrap(cause, fault.Misconfigured,
			"A field that the AttributeMap names does not exist in Azure DevOps%s; correct its reference name.", outbound.Told(cause.Message))
	case cause.Code == codeFieldStatus && strings.Contains(cause.Message, "ReadOnly"):
		return fault.Wrap(cause, fault.Misconfigured,
			"A field that the AttributeMap names can't be written%s; take it out of the AttributeMap.", outbound.Told(cause.Message))
	case cause.Code == codeFieldStatus:
		return fault.Wrap(cause, fault.Misconfigured,
			"A field of %s can't hold the value that the AttributeMap gives it%s%s; correct the AttributeMap.", q.subject, inField(cause.Field), outbound.Told(cause.Message))
	case cause.Code == codeTree:
		return fault.Wrap(cause, fault.Misconfigured,
			"The AttributeMap gives %s an area or iteration path that the project does not have%s%s; correct it.", q.subject, inField(cause.Field), outbound.Told(cause.Message))
	case strings.HasPrefix(cause.TypeKey, "VssVersion") || strings.HasPrefix(cause.TypeKey, "VssInvalidPreviewVersion"):
		return fault.Wrap(cause, fault.Misconfigured,
			"This Azure DevOps does not know API version %s; set apiVersion to 5.0 for Server 2019, 6.0 for 2020, 7.0 for 2022.", c.version)
	case number == errorFieldInvalid || cause.TypeKey == "WorkItemFieldInvalidException":
		return fault.Wrap(cause, fault.Invalid,
			"Azure DevOps does not accept a value for %s%s%s.", q.subject, inField(cause.Field), outbound.Told(cause.Message))
	default:
		return fault.Wrap(cause, fault.Invalid,
			"Azure DevOps rejects the request to %s %s%s.", q.deed, q.subject, outbound.Told(cause.Message))
	}
}

// readError takes what an error answer tells, in whatever form it has.
// The number is the vendor's error code, 0 if there is none.
func readError(a outbound.Answer) (*Error, int64) {
	var number int64
	cause := &Error{Status: a.Status, ActivityID: a.Header.Get("ActivityId")}
	var w wireError
	text := ""
	if err := json.Unmarshal(a.Body, &w); err == nil {
		text = string(w.Message)
		if text == "" {
			text = string(w.Value.Message)
		}
		cause.TypeKey = string(w.TypeKey)
		cause.Field = string(w.CustomProperties.FieldReferenceName)
		if cause.Field == "" {
			cause.Field = string(w.CustomProperties.ReferenceName)
		}
		for _, b := range w.CustomProperties.RuleValidationErrors {
			cause.Broken = append(cause.Broken, BrokenRule{
				Field: string(b.FieldReferenceName), Flags: outbound.OneLine(string(b.FieldStatusFlags)), Message: outbound.OneLine(string(b.ErrorMessage)),
			})
		}
		number = int64(w.ErrorCode)
	} else if a.Media() == "text/plain" {
		text = string(a.Body)
	}
	cause.Message = outbound.OneLine(text)
	cause.Code = findCode(text)
	return cause, number
}

// tfCode finds a TF or VS code at the start of a word.
var tfCode = regexp.MustCompile(`(?i)\b(?:TF|VS)\d{4,7}\b`)

func findCode(text string) string {
	return strings.ToUpper(tfCode.FindString(text))
}

func inField(field string) string {
	if field == "" {
		return ""
	}
	return " in field " + field
}
