package rest

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tandem-sync/tandem/services/internal/telemetry"
)

const (
	errorDomain = "tandem.v1"
	// invalidRequest is the reason of what is wrong with a request, whoever notices it.
	invalidRequest = "INVALID_REQUEST"
	// What only the gateway can tell.
	coreUnavailable = "CORE_UNAVAILABLE"
	overloaded      = "OVERLOADED"
	unknownMethod   = "UNKNOWN_METHOD"
)

// problem is an error in the form of RFC 9457.
type problem struct {
	// Type is always about:blank: the status and the reason say it all.
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	// Detail is one sentence for a person.
	Detail string `json:"detail,omitempty"`
	// Reason is an ErrorReason of tandem.v1 without its prefix; empty if the error
	// arose before sync-core was asked and is none of the request's fields.
	Reason string `json:"reason,omitempty"`
	// TraceID finds the request in logs and traces.
	TraceID string `json:"traceId,omitempty"`
	// Violations are the fields that break a rule.
	Violations []violation `json:"violations,omitempty"`
}

type violation struct {
	Field       string `json:"field"`
	Description string `json:"description"`
}

func (p *problem) write(w http.ResponseWriter, r *http.Request) {
	p.fill(r)
	body, err := json.Marshal(p)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // nobody is left to tell
}

// fill adds what every problem has.
func (p *problem) fill(r *http.Request) {
	p.Type, p.Title, p.TraceID = "about:blank", http.StatusText(p.Status), telemetry.TraceID(r.Context())
}

// writeError is grpc-gateway's error handler.
func writeError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
	p, wait := problemOf(status.Convert(err))
	if wait > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(int64(math.Ceil(wait.Seconds())), 10))
	}
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="tandem"`)
	}
	p.write(w, r)
}

// problemOf gives a status as a problem, and how long to wait before a retry.
func problemOf(state *status.Status) (*problem, time.Duration) {
	wait := time.Duration(0)
	p := &problem{Status: runtime.HTTPStatusFromCode(state.Code()), Detail: state.Message()}
	for _, detail := range state.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			if d.GetDomain() == errorDomain {
				p.Reason = d.GetReason()
			}
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				p.Violations = append(p.Violations, violation{Field: v.GetField(), Description: v.GetDescription()})
			}
		case *errdetails.RetryInfo:
			wait = d.GetRetryDelay().AsDuration()
		}
	}
	if p.Reason == "" && state.Code() == codes.InvalidArgument {
		p.Reason = invalidRequest // a field that can't be read as what it is
	}
	if p.Reason == "" {
		if text, replace := ownSentence(state.Code()); replace {
			p.Detail = text
		}
		if code := state.Code(); code == codes.Unavailable || code == codes.DeadlineExceeded {
			// sync-core itself tells a reason whenever it answers.
			p.Reason, wait = coreUnavailable, time.Second
		}
	}
	return p, wait
}

// ownSentence replaces the texts of gRPC itself, which name addresses or say nothing
// to a caller; false: the text of the status is fit to be shown.
func ownSentence(code codes.Code) (string, bool) {
	switch code {
	case codes.Unavailable:
		return "sync-core can't be reached right now, or it can't reach Redis; try again shortly.", true
	case codes.DeadlineExceeded:
		return "sync-core did not answer in time; try again.", true
	case codes.Canceled:
		return "The request was cancelled.", true
	case codes.ResourceExhausted:
		return "The answer is too large or sync-core has too much to do; ask for a smaller page or try again later.", true
	case codes.Unimplemented:
		return "sync-core does not know this method; gateway and sync-core are of different versions.", true
	case codes.Unknown, codes.Internal, codes.DataLoss:
		return "Tandem met an unexpected error; its log has the details under the same trace id.", true
	case codes.OK, codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied,
		codes.FailedPrecondition, codes.Aborted, codes.OutOfRange, codes.Unauthenticated:
		return "", false
	default:
		return "Tandem met an unexpected error; its log has the details under the same trace id.", true
	}
}

// writeRoutingError is grpc-gateway's handler for requests that fit no method.
func writeRoutingError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, code int) {
	p := &problem{Status: code, Reason: unknownMethod, Detail: "The API has no method at this path; /openapi.json lists them."}
	switch code {
	case http.StatusMethodNotAllowed:
		p.Detail = "The path does not take this method; /openapi.json lists what it takes."
	case http.StatusBadRequest:
		p.Detail, p.Reason = "The path is malformed.", invalidRequest
	}
	p.write(w, r)
}
