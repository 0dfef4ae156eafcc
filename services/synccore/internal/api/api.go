// Package api is the gRPC surface of sync-core: the services of tandem.v1.
//
// Its one invariant: it translates and decides nothing. Requests become calls of
// the inbox, the link store and the connectors; faults become statuses in one
// place, Status.
package api

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
)

// domain is the ErrorInfo domain of every error that this API sends.
const domain = "tandem.v1"

// reason gives the enum's name as ErrorInfo carries it.
func reason(r tandemv1.ErrorReason) string {
	return strings.TrimPrefix(r.String(), "ERROR_REASON_")
}

// retryDelay is how long a caller should wait before a repeat where nothing else is known.
const retryDelay = time.Second

// refuse makes a status with a reason and further details. What may succeed when it is
// repeated unchanged tells when.
func refuse(code codes.Code, why tandemv1.ErrorReason, text string, details ...protoadapt.MessageV1) error {
	st := status.New(code, text)
	told := slices.ContainsFunc(details, func(one protoadapt.MessageV1) bool {
		_, is := one.(*errdetails.RetryInfo)
		return is
	})
	if !told && (code == codes.Unavailable || code == codes.ResourceExhausted || code == codes.Aborted) {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(retryDelay)})
	}
	details = append([]protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: reason(why), Domain: domain}}, details...)
	with, err := st.WithDetails(details...)
	if err != nil {
		return st.Err()
	}
	return with.Err()
}

// answer is a status for the caller that keeps its cause for the log.
type answer struct {
	status *status.Status
	cause  error
}

// Error gives the cause, which is not sent.
func (a *answer) Error() string { return a.status.Code().String() + ": " + a.cause.Error() }

// Unwrap returns the cause.
func (a *answer) Unwrap() error { return a.cause }

// GRPCStatus is what is sent.
func (a *answer) GRPCStatus() *status.Status { return a.status }

// Status turns an error of the core into one that gRPC sends as a status. What no
// caller can act on is sent as a neutral text; the error's own text is for the log.
func Status(err error) error {
	var sent *answer
	if err == nil || errors.As(err, &sent) {
		return err
	}
	if st, ok := status.FromError(err); ok {
		return st.Err()
	}
	return &answer{status: status.Convert(statusOf(err)), cause: err}
}

func statusOf(err error) error {
	_, isFault := fault.As(err)
	switch {
	case isFault:
	case errors.Is(err, context.Canceled):
		return refuse(codes.Canceled, tandemv1.ErrorReason_ERROR_REASON_STORE_UNAVAILABLE,
			"The caller left before the store answered; nothing is known to have been stored.")
	case errors.Is(err, context.DeadlineExceeded):
		return refuse(codes.DeadlineExceeded, tandemv1.ErrorReason_ERROR_REASON_STORE_UNAVAILABLE,
			"The store did not answer in time; nothing is known to have been stored. Try again.")
	}
	text, details := fault.Sentence(err), retryOf(err)
	switch fault.KindOf(err) {
	case fault.Invalid:
		return refuse(codes.InvalidArgument, tandemv1.ErrorReason_ERROR_REASON_INVALID_REQUEST, text, details...)
	case fault.NotFound:
		return refuse(codes.NotFound, tandemv1.ErrorReason_ERROR_REASON_UNKNOWN_EVENT, text, details...)
	case fault.Throttled:
		return refuse(codes.ResourceExhausted, tandemv1.ErrorReason_ERROR_REASON_INBOX_FULL, text, details...)
	case fault.Unavailable, fault.Conflict, fault.Busy:
		return refuse(codes.Unavailable, tandemv1.ErrorReason_ERROR_REASON_STORE_UNAVAILABLE, text, details...)
	case fault.BadToken, fault.Denied, fault.Refused, fault.Misconfigured:
		return refuse(codes.FailedPrecondition, tandemv1.ErrorReason_ERROR_REASON_VENDOR_UNAVAILABLE, text, details...)
	case fault.Internal:
		return refuse(codes.Internal, tandemv1.ErrorReason_ERROR_REASON_INTERNAL, text)
	default:
		return refuse(codes.Internal, tandemv1.ErrorReason_ERROR_REASON_INTERNAL, text)
	}
}

// retryOf is what a fault says of when to try again.
func retryOf(err error) []protoadapt.MessageV1 {
	if f, ok := fault.As(err); ok && f.RetryAfter > 0 {
		return []protoadapt.MessageV1{&errdetails.RetryInfo{RetryDelay: durationpb.New(f.RetryAfter)}}
	}
	return nil
}

// ofPage is Status for a list: what is invalid there can only be its token, since all
// else was checked before.
func ofPage(err error) error {
	if !fault.Is(err, fault.Invalid) {
		return Status(err)
	}
	var v violations
	v.add("page_token", foreignPage)
	return v.err()
}

// violations gathers what is wrong with a request, to be told all at once.
type violations []*errdetails.BadRequest_FieldViolation

func (v *violations) add(field, description string) {
	*v = append(*v, &errdetails.BadRequest_FieldViolation{Field: field, Description: description})
}

// check adds a violation unless ok.
func (v *violations) check(ok bool, field, description string) {
	if !ok {
		v.add(field, description)
	}
}

// What is wrong with a request travels twice, as a sentence and as details, and in HTTP/2's
// trailers, which many clients take no more than some KiB of.
const (
	mostViolations     = 50
	mostViolationBytes = 6 << 10
	longestViolation   = 512
)

func (v *violations) err() error {
	if len(*v) == 0 {
		return nil
	}
	texts := make([]string, 0, min(len(*v), mostViolations))
	var told []*errdetails.BadRequest_FieldViolation
	size := 0
	for _, one := range *v {
		field, description := shortened(one.GetField()), shortened(one.GetDescription())
		if size += len(field) + len(description); len(told) == mostViolations || len(told) > 0 && size > mostViolationBytes {
			break
		}
		told = append(told, &errdetails.BadRequest_FieldViolation{Field: field, Description: description})
		texts = append(texts, field+" "+description)
	}
	if more := len(*v) - len(told); more > 0 {
		texts = append(texts, "and "+strconv.Itoa(more)+" more are broken, which are told once these are mended")
	}
	return refuse(codes.InvalidArgument, tandemv1.ErrorReason_ERROR_REASON_INVALID_REQUEST,
		"The request breaks these rules: "+strings.Join(texts, "; ")+".", &errdetails.BadRequest{FieldViolations: told})
}

func shortened(text string) string {
	if len(text) <= longestViolation {
		return text
	}
	return strings.ToValidUTF8(text[:longestViolation], "") + "…"
}

const (
	defaultPage = 50
	largestPage = 1000
)

// pageSize applies the rule that every list states: 0 is the default and too much
// is taken as the most.
func pageSize(v *violations, asked int32, most int) int {
	v.check(asked >= 0, "page_size", "must not be negative")
	if asked == 0 {
		return min(defaultPage, most)
	}
	return min(int(asked), most)
}

// connectorOf reads connectors/{connector}.
func connectorOf(v *violations, field, name string) string {
	connector, ok := strings.CutPrefix(name, "connectors/")
	v.check(ok && connector != "" && !strings.Contains(connector, "/"), field, "must be connectors/{connector}")
	return connector
}

// childOf reads the connector and the id of a request's name,
// connectors/{connector}/{collection}/{id}.
func childOf(v *violations, name, collection string) (string, string) {
	parts := strings.Split(name, "/")
	if len(parts) != 4 || parts[0] != "connectors" || parts[1] == "" || parts[2] != collection || parts[3] == "" {
		v.add("name", "must be connectors/{connector}/"+collection+"/{id}")
		return "", ""
	}
	return parts[1], parts[3]
}

// ticketOf reads the connector and the number of connectors/{connector}/links/{ticket_id}.
func ticketOf(v *violations, name string) (string, int64) {
	connector, id := childOf(v, name, "links")
	if connector == "" {
		return "", 0
	}
	ticket, err := strconv.ParseInt(id, 10, 64)
	// One link has one name: +7 and 07 would be further ones of 7.
	v.check(err == nil && ticket > 0 && strconv.FormatInt(ticket, 10) == id, "name", "must end in a ticket number")
	return connector, ticket
}
