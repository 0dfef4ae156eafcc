package azuredevops

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// Error is a refusal in the service's own terms. The Go API of [Actor] returns it as well.
type Error struct {
	// Status is the HTTP status.
	Status int
	// TypeKey is the exception's name, by which clients tell errors apart.
	TypeKey string
	// Message is the text, beginning with the error code (TF…, VS…) where there is one.
	Message string
	// Code is the `errorCode` of the body, mostly 0.
	Code int
	// Properties are the `customProperties` of rule errors.
	Properties map[string]any
}

// Error gives the message.
func (e *Error) Error() string { return e.Message }

// problem is the body of an error, with the recorded keys.
type problem struct {
	RefID      string         `json:"$id"`
	Properties map[string]any `json:"customProperties,omitempty"`
	Inner      any            `json:"innerException"`
	Message    string         `json:"message"`
	TypeName   string         `json:"typeName"`
	TypeKey    string         `json:"typeKey"`
	ErrorCode  int            `json:"errorCode"`
	EventID    int            `json:"eventId"`
}

func (e *Error) body() problem {
	assembly, event := "Microsoft.TeamFoundation.WorkItemTracking.Server", 3200
	switch {
	case strings.HasPrefix(e.TypeKey, "Vss"), strings.HasPrefix(e.TypeKey, "TestPatch"), strings.HasPrefix(e.TypeKey, "Patch"):
		assembly, event = "Microsoft.VisualStudio.Services.WebApi", 3000
	case strings.HasPrefix(e.TypeKey, "Project"):
		assembly, event = "Microsoft.TeamFoundation.Core.WebApi", 3000
	case e.TypeKey == "RuleValidationException":
		event = 3000
	}
	return problem{
		RefID: "1", Properties: e.Properties, Message: e.Message, TypeName: assembly + "." + e.TypeKey + ", " + assembly,
		TypeKey: e.TypeKey, ErrorCode: e.Code, EventID: event,
	}
}

func badRequest(typeKey, message string) *Error {
	return &Error{Status: http.StatusBadRequest, TypeKey: typeKey, Message: message}
}

// malformed is the other body form, of requests the service can't even bind.
type malformed struct{ message string }

// Error gives the message.
func (m *malformed) Error() string { return m.message }

// noControllerError is the text/plain answer to a path that leads nowhere (recorded).
type noControllerError struct{ path string }

// Error gives the message.
func (n *noControllerError) Error() string {
	return "The controller for path '" + n.path + "' was not found or does not implement IController."
}

func errNoItem(id int) *Error { // recorded
	return &Error{
		Status: http.StatusNotFound, TypeKey: "WorkItemUnauthorizedAccessException",
		Message: fmt.Sprintf("TF401232: Work item %d does not exist, or you do not have permissions to read it.", id),
	}
}

func errNoProject(name string) *Error { // recorded
	return &Error{
		Status: http.StatusNotFound, TypeKey: "ProjectDoesNotExistWithNameException",
		Message: "TF200016: The following project does not exist: " + name + ". Verify that the name of the project is correct and that the project exists on the specified Azure DevOps Server.",
	}
}

func errNoType(name, project string) *Error {
	return &Error{
		Status: http.StatusNotFound, TypeKey: "WorkItemTypeNotFoundException",
		Message: "VS402323: Work item type " + name + " does not exist in project " + project + " or you do not have permission to access it.",
	}
}

func errNoField(name string) *Error {
	return badRequest("WorkItemTrackingFieldDefinitionNotFoundException", "TF51535: Cannot find field "+name+".")
}

func errFieldStatus(d *fieldDef, status string) *Error {
	return &Error{
		Status: http.StatusBadRequest, TypeKey: "WorkItemFieldInvalidException", Code: 600171,
		Message:    fmt.Sprintf("TF401326: Invalid field status '%s' for field '%s'.", status, d.ReferenceName),
		Properties: map[string]any{"ReferenceName": d.ReferenceName},
	}
}

func errUnknownPerson(d *fieldDef, value any) *Error {
	return &Error{
		Status: http.StatusBadRequest, TypeKey: "WorkItemFieldInvalidException", Code: 600171,
		Message:    fmt.Sprintf("The identity value '%v' for field '%s' is an unknown identity.", value, d.Name),
		Properties: map[string]any{"ReferenceName": d.ReferenceName},
	}
}

func errTree(id int, d *fieldDef) *Error {
	return badRequest("WorkItemFieldInvalidTreeNameException",
		fmt.Sprintf("TF401347: Invalid tree name given for work item %d, field '%s'.", id, d.ReferenceName))
}

// ruleError is one broken rule; flags are the service's words for what the field may be and what is wrong with it.
type ruleError struct {
	field *fieldDef
	flags string
	codes string
}

// errRules is TF401320, which lists every broken rule. Its key set is reported, flags and codes are modelled.
func errRules(broken []ruleError) *Error {
	details := make([]map[string]any, len(broken))
	for i, b := range broken {
		details[i] = map[string]any{
			"fieldReferenceName": b.field.ReferenceName, "fieldStatusFlags": b.flags, "fieldStatusCode": 524288 + i + 1,
			"errorMessage": "TF401320: Rule Error for field " + b.field.Name + ". Error code: " + b.codes + ".",
		}
	}
	first := details[0]
	message, _ := first["errorMessage"].(string)
	return &Error{
		Status: http.StatusBadRequest, TypeKey: "RuleValidationException", Message: message,
		Properties: map[string]any{
			"FieldReferenceName": first["fieldReferenceName"], "FieldStatusFlags": first["fieldStatusFlags"],
			"ErrorMessage": message, "FieldStatusCode": first["fieldStatusCode"], "RuleValidationErrors": details,
		},
	}
}

func missing(d *fieldDef) ruleError {
	return ruleError{d, "required, invalidEmpty", "Required, InvalidEmpty"}
}

func notInList(d *fieldDef) ruleError {
	return ruleError{d, "required, hasValues, limitedToValues, invalidNotInList", "HasValues, LimitedToValues, InvalidNotInList"}
}

// errRevision is the failed optimistic lock: 412 hosted, 409 on premises.
func errRevision(flavor Flavor, have, want int) *Error {
	if flavor == OnPremises {
		return &Error{
			Status: http.StatusConflict, TypeKey: "WorkItemRevisionMismatchException", Code: 600122,
			Message: "TF26071: This work item has been changed by someone else since you opened it. You will need to refresh it and discard your changes.",
		}
	}
	return errTest("/rev", strconv.Itoa(have), strconv.Itoa(want))
}

func errTest(path, have, want string) *Error {
	return &Error{
		Status: http.StatusPreconditionFailed, TypeKey: "TestPatchOperationFailedException",
		Message: "VS403351: Test Operation for path " + path + " failed, value " + have + " was not equal to test value " + want + ".",
	}
}

func errUnauthorized(u *User) *Error {
	return &Error{
		Status: http.StatusUnauthorized, TypeKey: "UnauthorizedRequestException",
		Message: "TF400813: The user '" + u.ID + "' is not authorized to access this resource.",
	}
}

func errForbidden(u *User, what string) *Error { // modelled: the wording of the real one is not known
	return &Error{
		Status: http.StatusForbidden, TypeKey: "PermissionDeniedException",
		Message: "Access denied. " + u.DisplayName + " needs the following permission to perform this action: " + what,
	}
}
