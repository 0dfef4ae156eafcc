// Package rest serves the gRPC API of sync-core as JSON over HTTP, as rest.yaml maps
// it, on the gateway's public port.
//
// Its one invariant: it lets nobody in and keeps nobody out. A caller's authorization is
// passed on as it came, a call without one is passed on as anybody's, and sync-core
// decides; the gateway's own credentials are never used for it. Every error is a problem document
// (RFC 9457) whose "reason" is the error reason of tandem.v1, and no error shows
// addresses or texts of the machinery in between.
package rest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/tandem-sync/tandem/gen/openapi"
	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/gateway/internal/body"
	"github.com/tandem-sync/tandem/services/internal/telemetry"
)

// maxBody is the largest request body, in bytes: what sync-core takes as a message, which
// the same as JSON is never smaller than.
const maxBody = 256 << 10

// nobody is the authorization of a caller who sent none. Without it sync-core would take
// the call for the gateway's own where the gateway is known by its certificate.
const nobody = "Anonymous"

const (
	// maxCalls and maxWatches are how many of them may be under way. With 512 webhooks, the
	// default, they are the 1,024 that sync-core takes on a connection.
	maxCalls, maxWatches = 256, 256
	// maxAuthorization is the longest authorization, in bytes: signed tokens may hold 10 KB,
	// and sync-core takes 32 KiB of metadata.
	maxAuthorization = 16 << 10
	// maxIdempotencyKey is the longest of them; sync-core tells what may stand in it.
	maxIdempotencyKey = 1 << 10
)

// requestID is what an X-Request-Id must look like to be sent back.
var requestID = regexp.MustCompile(`^[A-Za-z0-9_.:-]{1,128}$`)

// NewAPI serves /v1/… through conn.
func NewAPI(ctx context.Context, conn grpc.ClientConnInterface) (http.Handler, error) {
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, &runtime.JSONPb{
			MarshalOptions: protojson.MarshalOptions{EmitDefaultValues: true},
			// A misspelt field is refused rather than ignored.
			UnmarshalOptions: protojson.UnmarshalOptions{DiscardUnknown: false},
		}),
		// sync-core has no use for headers but the authorization, which grpc-gateway passes on
		// whatever this says, the key by which a repeat is known (for calls that make something
		// and whose body has no requestId), and the caller's own name of the call, for the log.
		runtime.WithIncomingHeaderMatcher(func(name string) (string, bool) {
			return strings.ToLower(name), name == "Idempotency-Key" || name == "X-Request-Id"
		}),
		runtime.WithOutgoingHeaderMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithErrorHandler(writeError),
		runtime.WithRoutingErrorHandler(writeRoutingError),
		runtime.WithDisablePathLengthFallback(),
	)
	for _, register := range []func() error{
		func() error {
			return tandemv1.RegisterEventServiceHandlerClient(ctx, mux, tandemv1.NewEventServiceClient(conn))
		},
		func() error {
			return tandemv1.RegisterLinkServiceHandlerClient(ctx, mux, tandemv1.NewLinkServiceClient(conn))
		},
		func() error {
			return tandemv1.RegisterConnectorServiceHandlerClient(ctx, mux, tandemv1.NewConnectorServiceClient(conn))
		},
		func() error {
			return tandemv1.RegisterResyncServiceHandlerClient(ctx, mux, tandemv1.NewResyncServiceClient(conn))
		},
	} {
		if err := register(); err != nil {
			return nil, fmt.Errorf("registering the REST API: %w", err)
		}
	}
	if err := handleWatch(mux, tandemv1.NewLinkServiceClient(conn)); err != nil {
		return nil, err
	}
	// A page of another site must not call an open API through a visitor's browser.
	sameSite := http.NewCrossOriginProtection()
	sameSite.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		(&problem{Status: http.StatusForbidden, Detail: "A page of another site may not call the API."}).write(w, r)
	}))
	return sameSite.Handler(&api{
		mux: mux, bodies: body.New(maxBody), calls: make(chan struct{}, maxCalls), watches: make(chan struct{}, maxWatches),
	}), nil
}

// api is the way of each call. It is safe for many goroutines.
type api struct {
	mux    http.Handler
	bodies *body.Reader
	// calls and watches are the places of those under way. sync-core takes so many calls on
	// the connection that webhooks are stored by as well, and a webhook must find one free.
	calls, watches chan struct{}
}

// ServeHTTP implements http.Handler.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if id := telemetry.TraceID(r.Context()); id != "" {
		w.Header().Set("Trace-Id", id)
	}
	if id := r.Header.Get("X-Request-Id"); requestID.MatchString(id) {
		w.Header().Set("X-Request-Id", id)
	}
	if p := unfit(r.Header); p != nil {
		p.write(w, r)
		return
	}
	// A message of protobuf holds no other text, and gRPC would call it an error of ours.
	if query, err := url.QueryUnescape(r.URL.RawQuery); err != nil || !utf8.ValidString(r.URL.Path) || !utf8.ValidString(query) {
		(&problem{Status: http.StatusBadRequest, Reason: invalidRequest, Detail: "The path or the query is not UTF-8."}).write(w, r)
		return
	}
	// The body is read here because grpc-gateway can't tell "too large" from
	// "malformed".
	held, err := a.bodies.Read(w, r)
	if err != nil {
		unread(err).write(w, r)
		return
	}
	inner := r.Clone(r.Context())
	places := a.calls
	if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, ":watch") {
		// It has no use for a body, and lasts.
		places, inner.Body = a.watches, http.NoBody
		held.Release()
	} else {
		inner.Body = io.NopCloser(bytes.NewReader(held.Bytes()))
		defer held.Release()
	}
	inner.Header = passed(r.Header)
	// They would be passed on beside the headers.
	inner.Host, inner.RemoteAddr = "", ""
	select {
	case places <- struct{}{}:
		defer func() { <-places }()
		a.mux.ServeHTTP(w, inner)
	default:
		w.Header().Set("Retry-After", "1")
		busy().write(w, r)
	}
}

// unfit says what is wrong with a request's headers; nil: nothing. grpc-gateway
// would leave out a value that gRPC can't carry, and a call whose authorization was left out
// is the gateway's own where the gateway is known by its certificate.
func unfit(header http.Header) *problem {
	for name, most := range map[string]int{"Authorization": maxAuthorization, "Idempotency-Key": maxIdempotencyKey} {
		all := strings.Join(header.Values(name), " ")
		if len(all) > most {
			return &problem{Status: http.StatusRequestHeaderFieldsTooLarge, Reason: invalidRequest, Detail: "The header " + name + " is longer than " + strconv.Itoa(most) + " bytes."}
		}
		if strings.ContainsFunc(all, func(c rune) bool { return c < ' ' || c > '~' }) {
			return &problem{Status: http.StatusBadRequest, Reason: invalidRequest, Detail: "The header " + name + " holds more than printable ASCII."}
		}
	}
	if encoding := header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return &problem{Status: http.StatusUnsupportedMediaType, Reason: invalidRequest, Detail: "The request body is compressed; send it without compression."}
	}
	return nil
}

// passed are the headers that have a meaning for a call. Above all a method override is
// none of them, nor a time limit.
func passed(header http.Header) http.Header {
	inner := http.Header{"Authorization": header.Values("Authorization"), "Idempotency-Key": header.Values("Idempotency-Key")}
	if strings.Join(inner["Authorization"], "") == "" {
		inner.Set("Authorization", nobody)
	}
	if id := header.Get("X-Request-Id"); requestID.MatchString(id) {
		inner.Set("X-Request-Id", id)
	}
	return inner
}

// unread is the answer where a body could not be read.
func unread(err error) *problem {
	switch {
	case errors.Is(err, body.ErrTooLarge):
		return &problem{Status: http.StatusRequestEntityTooLarge, Reason: invalidRequest, Detail: "The request body is larger than 256 KiB."}
	case errors.Is(err, body.ErrNoRoom):
		return busy()
	default:
		return &problem{Status: http.StatusBadRequest, Reason: invalidRequest, Detail: "The request body did not arrive whole."}
	}
}

// busy is the answer where too much is under way.
func busy() *problem {
	return &problem{Status: http.StatusServiceUnavailable, Reason: overloaded, Detail: "Too many calls are under way at this gateway; try again shortly."}
}

// OpenAPI serves the OpenAPI document. It tells nothing that the source does not,
// so it needs no token.
func OpenAPI() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			(&problem{Status: http.StatusMethodNotAllowed, Detail: "The document is read with GET."}).write(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write(openapi.Document) // nobody is left to tell
	})
}

// NotFound answers paths that do not exist.
func NotFound() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		(&problem{Status: http.StatusNotFound, Detail: "There is nothing at this path."}).write(w, r)
	})
}
