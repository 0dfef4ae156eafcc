package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/metric"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/gateway/internal/body"
	"github.com/tandem-sync/tandem/services/gateway/internal/envelope"
	"github.com/tandem-sync/tandem/services/internal/telemetry"
)

const (
	// DefaultMaxBody is twice what Azure DevOps sends at most (2 MB, azure-devops.md §10).
	DefaultMaxBody = 4 << 20
	// DefaultTimeout is how long storing an event may take. Azure DevOps' own limit
	// is undocumented, so it should stay well under 30 s.
	DefaultTimeout = 5 * time.Second
	// DefaultMaxInFlight bounds how many bodies are held at once.
	DefaultMaxInFlight = 512
	// maxPayload is the largest payload that IngestEvent takes.
	maxPayload = 64 << 10

	errorDomain = "tandem.v1"
)

// Config is what a Pipeline needs. Zero values of numbers mean the defaults.
type Config struct {
	// Events stores what comes in. Required.
	Events tandemv1.EventServiceClient
	// Logger gets one line for each request. Required.
	Logger *slog.Logger
	// Meters counts. Required.
	Meters metric.MeterProvider
	// Now is the clock. Required.
	Now func() time.Time
	// MaxBody is the largest body that is read, in bytes.
	MaxBody int64
	// MaxInFlight is how many requests that were read are worked on at once; more are
	// answered 503.
	MaxInFlight int
	// Timeout bounds one call of sync-core, its retries included.
	Timeout time.Duration
}

// Pipeline receives webhooks of all sources. It is safe for many goroutines.
type Pipeline struct {
	events  tandemv1.EventServiceClient
	logger  *slog.Logger
	now     func() time.Time
	maxBody int64
	timeout time.Duration
	slots   chan struct{}
	metrics *instruments
}

// New makes a Pipeline.
func New(cfg Config) (*Pipeline, error) {
	metrics, err := newInstruments(cfg.Meters)
	if err != nil {
		return nil, err
	}
	p := &Pipeline{
		events: cfg.Events, logger: cfg.Logger, now: cfg.Now, metrics: metrics,
		maxBody: cfg.MaxBody, timeout: cfg.Timeout,
	}
	if p.maxBody == 0 {
		p.maxBody = DefaultMaxBody
	}
	if p.timeout == 0 {
		p.timeout = DefaultTimeout
	}
	places := cfg.MaxInFlight
	if places == 0 {
		places = DefaultMaxInFlight
	}
	p.slots = make(chan struct{}, places)
	return p, nil
}

// Handler receives what source sends. It answers every request itself.
func (p *Pipeline) Handler(source Source) http.Handler {
	return &handler{Pipeline: p, source: source, bodies: body.New(p.maxBody), counts: p.metrics.of(source.Name())}
}

type handler struct {
	*Pipeline
	source Source
	// bodies are read apart for each source, so that none takes another's room.
	bodies *body.Reader
	counts *sourceInstruments
}

// record collects what the answer, the metrics and the one log line need.
type record struct {
	outcome   Outcome
	text      string // the sentence of a refusal
	cause     string // for the log
	reason    string // error reason of sync-core, or why it was ignored
	challenge string
	stack     string
	bytes     int
	notice    Notice
}

func (rec *record) refuse(r *RefusalError) {
	rec.outcome, rec.text, rec.cause, rec.challenge = r.Outcome, r.Text, r.Cause, r.Challenge
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := h.now()
	rec := &record{}
	h.guarded(w, r, start, rec)
	if rec.outcome.Status() != http.StatusAccepted && rec.notice.Release != nil {
		rec.notice.Release()
	}
	h.answer(w, r, rec)
	h.observe(r, rec, h.now().Sub(start))
}

// guarded turns a panic into an outcome that makes the sender send again.
func (h *handler) guarded(w http.ResponseWriter, r *http.Request, start time.Time, rec *record) {
	defer func() {
		cause := recover()
		if cause == nil {
			return
		}
		rec.outcome, rec.text = Broken, "Tandem met an unexpected error; send the event again."
		rec.cause, rec.stack = panicText(cause), string(debug.Stack())
	}()
	h.receive(w, r, start, rec)
}

// panicText leaves out values of unknown types, which may hold a body.
func panicText(cause any) string {
	if err, ok := cause.(error); ok {
		return fmt.Sprintf("panic: %v", err)
	}
	return fmt.Sprintf("panic of type %T", cause)
}

func (h *handler) receive(w http.ResponseWriter, r *http.Request, start time.Time, rec *record) {
	if refusal := h.checkHeaders(r); refusal != nil {
		rec.refuse(refusal)
		return
	}
	if err := h.source.Authenticate(r); err != nil {
		rec.fail(err)
		return
	}
	held, refusal := h.read(w, r)
	if refusal != nil {
		rec.refuse(refusal)
		return
	}
	defer held.Release()
	raw := held.Bytes()
	rec.bytes = len(raw)
	if err := h.source.Verify(r, raw); err != nil {
		rec.fail(err)
		return
	}
	// Only now: senders who are slow, or not yet known for who they are, must not take the
	// places of others.
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	default:
		rec.refuse(overloaded())
		return
	}
	content, refusal := text(raw)
	if refusal != nil {
		rec.refuse(refusal)
		return
	}
	notice, err := h.source.Read(r, content)
	rec.notice = notice
	if err != nil {
		rec.fail(err)
		return
	}
	if notice.Ignored != "" {
		rec.outcome, rec.reason = Skipped, string(notice.Ignored)
		if notice.Ignored == IgnoredTest {
			rec.outcome = Tested
		}
		return
	}
	h.ingest(r.Context(), content, start, rec)
}

// ingest has the notice stored. The sender hanging up does not stop it: the body is
// whole and genuine, storing it is quick and bounded, and the sender would only
// send it once more.
func (h *handler) ingest(ctx context.Context, payload []byte, received time.Time, rec *record) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.timeout)
	defer cancel()
	notice := &rec.notice
	request := &tandemv1.IngestEventRequest{
		Connector:   notice.Connector,
		System:      protoSystem(notice.System),
		ItemId:      notice.ItemID,
		EventId:     notice.EventID,
		EventType:   notice.EventType,
		Revision:    notice.Revision,
		ReceiveTime: timestamppb.New(received),
	}
	if notice.Origin != (Origin{}) {
		request.Origin = &tandemv1.Origin{
			AccountUrl: notice.Origin.AccountURL, ProjectId: notice.Origin.ProjectID, ProjectName: notice.Origin.ProjectName,
		}
	}
	if notice.Payload != nil {
		payload = notice.Payload
	}
	if len(payload) <= maxPayload {
		request.Payload = payload // encoded before IngestEvent returns, so the buffer may be reused
	}
	request.Pushed = protoPushed(notice.Pushed)
	if notice.Round != nil {
		request.Round = &tandemv1.PushedRound{Took: durationpb.New(*notice.Round)}
	}
	response, err := h.events.IngestEvent(ctx, request)
	if err != nil {
		rec.failed(err)
		return
	}
	if notice.Connector == "" {
		notice.Connector = response.GetConnector()
	}
	switch response.GetDisposition() {
	case tandemv1.IngestEventResponse_DISPOSITION_DUPLICATE:
		rec.outcome = Duplicate
	case tandemv1.IngestEventResponse_DISPOSITION_STORED, tandemv1.IngestEventResponse_DISPOSITION_UNSPECIFIED:
		rec.outcome = Stored
	default:
		rec.outcome = Stored
	}
}

// fail takes the outcome from a source's error.
func (rec *record) fail(err error) {
	var refusal *RefusalError
	switch {
	case errors.As(err, &refusal):
		rec.refuse(refusal)
	case errors.Is(err, envelope.ErrMalformed):
		rec.refuse(&RefusalError{Outcome: Malformed, Text: "The body is not one well-formed JSON object.", Cause: err.Error()})
	default:
		rec.refuse(&RefusalError{Outcome: Broken, Text: "Tandem met an unexpected error; send the event again.", Cause: err.Error()})
	}
}

// failed takes the outcome from an error of IngestEvent. Only a sentence that
// sync-core wrote for people goes back to the sender; gRPC's own name addresses.
func (rec *record) failed(err error) {
	state := status.Convert(err)
	rec.outcome = OutcomeOf(state.Code())
	rec.cause = state.Code().String() + ": " + state.Message()
	own := false
	for _, detail := range state.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == errorDomain {
			rec.reason, own = info.GetReason(), true
		}
	}
	switch {
	case rec.outcome == Unavailable:
		rec.text = "Tandem can't store the event right now; send it again."
	case own:
		rec.text = state.Message()
	case rec.outcome == UnknownConnector:
		rec.text = "No connector has that name or covers the project that the event came from."
	default:
		rec.text = "The event was refused."
	}
}

func (h *handler) answer(w http.ResponseWriter, r *http.Request, rec *record) {
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	if id := telemetry.TraceID(r.Context()); id != "" {
		header.Set("Trace-Id", id)
	}
	if rec.challenge != "" {
		header.Set("WWW-Authenticate", rec.challenge)
	}
	if rec.outcome == WrongMethod {
		header.Set("Allow", http.MethodPost)
	}
	text := []byte(`{"result":"` + rec.outcome.String() + `"}`)
	code := rec.outcome.Status()
	if code != http.StatusAccepted {
		encoded, err := json.Marshal(struct {
			Error string `json:"error"`
		}{rec.text})
		if err == nil {
			text = encoded
		}
	}
	header.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(code)
	if _, err := w.Write(text); err != nil && rec.cause == "" {
		rec.cause = "writing the answer: " + err.Error()
	}
}

func protoSystem(s System) tandemv1.System {
	switch s {
	case Alvao:
		return tandemv1.System_SYSTEM_ALVAO
	case AzureDevOps:
		return tandemv1.System_SYSTEM_AZURE_DEVOPS
	default:
		return tandemv1.System_SYSTEM_UNSPECIFIED
	}
}
