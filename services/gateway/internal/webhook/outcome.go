package webhook

import (
	"net/http"

	"google.golang.org/grpc/codes"
)

// Outcome is what became of one request; it decides the answer.
type Outcome int

// The outcomes.
const (
	// Broken: a fault of the gateway's own. The zero value, so that whatever was
	// forgotten is resent by the sender.
	Broken Outcome = iota
	// Stored: sync-core holds the event durably.
	Stored
	// Duplicate: sync-core had stored it before.
	Duplicate
	// Tested: a vendor's Test button; nothing is done.
	Tested
	// Skipped: a notice that asks for nothing.
	Skipped
	// Malformed: the body is not what it should be.
	Malformed
	// Unauthorized: the credentials are missing or wrong.
	Unauthorized
	// UnknownConnector: no connector has that name or covers that origin.
	UnknownConnector
	// WrongMethod: not a POST.
	WrongMethod
	// TooLarge: the body is larger than is read.
	TooLarge
	// WrongMediaType: not JSON, or compressed.
	WrongMediaType
	// Interrupted: the body did not arrive whole or in time.
	Interrupted
	// Overloaded: too much at once.
	Overloaded
	// Unavailable: sync-core did not store the event but may do so later.
	Unavailable

	outcomeCount = int(Unavailable) + 1
)

// Outcomes are all outcomes.
func Outcomes() []Outcome {
	all := make([]Outcome, outcomeCount)
	for i := range all {
		all[i] = Outcome(i)
	}
	return all
}

// String names the outcome in answers, metrics and logs.
func (o Outcome) String() string {
	switch o {
	case Stored:
		return "stored"
	case Duplicate:
		return "duplicate"
	case Tested:
		return "test"
	case Skipped:
		return "ignored"
	case Malformed:
		return "malformed"
	case Unauthorized:
		return "unauthorized"
	case UnknownConnector:
		return "unknown_connector"
	case WrongMethod:
		return "wrong_method"
	case TooLarge:
		return "too_large"
	case WrongMediaType:
		return "wrong_media_type"
	case Interrupted:
		return "interrupted"
	case Overloaded:
		return "overloaded"
	case Unavailable:
		return "unavailable"
	case Broken:
		return "broken"
	default:
		return "unknown"
	}
}

// Status is the HTTP status of the answer. This is the only place that decides it.
// 410, 429 and 500 must never come out of it: Azure DevOps disables a hook at once
// after 410 and after a while for the others, whereas it resends after 503
// (azure-devops.md §1.7).
func (o Outcome) Status() int {
	switch o {
	case Stored, Duplicate, Tested, Skipped:
		return http.StatusAccepted
	case Malformed:
		return http.StatusBadRequest
	case Unauthorized:
		return http.StatusUnauthorized
	case UnknownConnector:
		return http.StatusNotFound
	case WrongMethod:
		return http.StatusMethodNotAllowed
	case TooLarge:
		return http.StatusRequestEntityTooLarge
	case WrongMediaType:
		return http.StatusUnsupportedMediaType
	case Broken, Interrupted, Overloaded, Unavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusServiceUnavailable
	}
}

// OutcomeOf is what an error code of IngestEvent means for the sender.
func OutcomeOf(code codes.Code) Outcome {
	switch code {
	case codes.OK:
		return Stored
	case codes.InvalidArgument:
		return Malformed
	case codes.NotFound:
		return UnknownConnector
	case codes.Canceled, codes.Unknown, codes.DeadlineExceeded, codes.AlreadyExists,
		codes.PermissionDenied, codes.ResourceExhausted, codes.FailedPrecondition,
		codes.Aborted, codes.OutOfRange, codes.Unimplemented, codes.Internal,
		codes.Unavailable, codes.DataLoss, codes.Unauthenticated:
		return Unavailable
	default:
		return Unavailable
	}
}
