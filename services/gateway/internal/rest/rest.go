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
	"unicode/utf8"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/tandem-sync/tandem/gen/openapi"
	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/internal/telemetry"
)

// maxBody is the largest request body, in bytes: what sync-core takes as a message, which
// the same as JSON is never smaller than.
const maxBody = 256 << 10

// nobody is the authorization of a caller who sent none. Without it sync-core would take
// the call for the gateway's own where the gateway is known by its certificate.
const nobody = "Anonymous"

// idempotencyKey is the name under which sync-core is told the header Idempotency-Key,
// for calls that make something and whose body has no requestId.
const idempotencyKey = "idempotency-key"

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
		// whatever this says, and the key by which a repeat is known.
		runtime.WithIncomingHeaderMatcher(func(name string) (string, bool) {
			return idempotencyKey, name == "Idempotency-Key"
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
	return sameSite.Handler(&api{mux: mux}), nil
}

type api struct{ mux http.Handler }

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
	// A message of protobuf holds no other text, and gRPC would call it an error of ours.
	if query, err := url.QueryUnescape(r.URL.RawQuery); err != nil || !utf8.ValidString(r.URL.Path) || !utf8.ValidString(query) {
		(&problem{Status: http.StatusBadRequest, Reason: invalidRequest, Detail: "The path or the query is not UTF-8."}).write(w, r)
		return
	}
	// The body is read here because grpc-gateway can't tell "too large" from
	// "malformed".
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	switch {
	case tooLarge(err):
		(&problem{Status: http.StatusRequestEntityTooLarge, Reason: invalidRequest, Detail: "The request body is larger than 256 KiB."}).write(w, r)
		return
	case err != nil:
		(&problem{Status: http.StatusBadRequest, Reason: invalidRequest, Detail: "The request body did not arrive whole."}).write(w, r)
		return
	}
	inner := r.Clone(r.Context())
	inner.Body = io.NopCloser(bytes.NewReader(body))
	if inner.Header.Get("Authorization") == "" {
		inner.Header.Set("Authorization", nobody)
	}
	inner.Header.Del("Grpc-Timeout")
	// POST with an X-HTTP-Method-Override must not become another method.
	inner.Header.Del("X-Http-Method-Override")
	a.mux.ServeHTTP(w, inner)
}

func tooLarge(err error) bool {
	_, ok := errors.AsType[*http.MaxBytesError](err)
	return ok
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
