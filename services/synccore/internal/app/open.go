package app

import (
	"context"
	"fmt"
	"iter"
	"math"
	"net/http"
	"net/url"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/tandem-sync/tandem/services/internal/telemetry"
	"github.com/tandem-sync/tandem/services/synccore/internal/alvao"
	"github.com/tandem-sync/tandem/services/synccore/internal/azuredevops"
	"github.com/tandem-sync/tandem/services/synccore/internal/config"
	"github.com/tandem-sync/tandem/services/synccore/internal/connector"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/letter"
	"github.com/tandem-sync/tandem/services/synccore/internal/mail"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
	"github.com/tandem-sync/tandem/services/synccore/internal/notice"
	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
	"github.com/tandem-sync/tandem/services/synccore/internal/secret"
	"github.com/tandem-sync/tandem/services/synccore/internal/teams"
)

// opener makes the two clients of a connector.
type opener struct {
	secrets *secret.Store
	tracers trace.TracerProvider
	meters  metric.MeterProvider
	version string
	now     func() time.Time
	// waits measures how long calls wait for their turn.
	waits metric.Float64Histogram
}

func newOpener(tel *telemetry.Telemetry, version string, now func() time.Time) (*opener, error) {
	waits, err := tel.Meters.Meter("github.com/tandem-sync/tandem/services/synccore/app").Float64Histogram("tandem.limiter.wait",
		metric.WithUnit("s"), metric.WithDescription("How long calls to a system waited for their turn: for a free place, for the rate, or because the system asked to wait."),
		metric.WithExplicitBucketBoundaries(.001, .005, .01, .05, .1, .5, 1, 5, 10, 30))
	if err != nil {
		return nil, fmt.Errorf("making the histogram of waits: %w", err)
	}
	return &opener{secrets: &secret.Store{}, tracers: tel.Tracers, meters: tel.Meters, version: version, now: now, waits: waits}, nil
}

func (o *opener) open(cfg config.Connector) (connector.Clients, error) {
	desk, closeDesk, err := o.transport(item.Alvao, cfg.Alvao.CAFile)
	if err != nil {
		return connector.Clients{}, err
	}
	boards, closeBoards, err := o.transport(item.AzureDevOps, cfg.AzureDevOps.CAFile)
	if err != nil {
		return connector.Clients{}, err
	}
	agent := "tandem/" + o.version
	alvaoClient, err := alvao.New(alvao.Options{
		BaseURL: cfg.Alvao.URL, WebURL: cfg.Alvao.WebURL, Service: cfg.Alvao.Service,
		ExternalIDField: cfg.Alvao.ExternalIDField, Username: cfg.Alvao.Credentials.Username,
		Password: o.read(cfg.Alvao.Credentials.Password), Base: desk, Now: o.now, UserAgent: agent,
		DefaultLocation: cfg.Alvao.Location,
		Gate: o.gate(cfg.Name, item.Alvao, outbound.PaceOptions{
			PerSecond: cfg.Alvao.Limit.PerSecond, Burst: int(math.Ceil(2 * cfg.Alvao.Limit.PerSecond)), Concurrent: cfg.Alvao.Limit.Concurrent,
		}),
	})
	if err != nil {
		return connector.Clients{}, err
	}
	azureClient, err := azuredevops.New(azuredevops.Options{
		ProjectURL: cfg.Rules.Project.URL(), Credential: azuredevops.PAT(o.read(cfg.Token)), Base: boards,
		Now: o.now, UserAgent: agent, APIVersion: cfg.AzureDevOps.APIVersion,
		// Azure DevOps has limits of its own and tells when they are reached; the bound is
		// for what is under way at once.
		Gate: o.gate(cfg.Name, item.AzureDevOps, outbound.PaceOptions{Concurrent: 16}),
	})
	if err != nil {
		return connector.Clients{}, err
	}
	wants := azuredevops.Wants{
		Type: cfg.Rules.Type.String(), TypeVaries: !cfg.Rules.Type.Constant(), Reporter: cfg.Rules.Reporter.Mode != mapping.ReporterDefault,
		Connector: cfg.Name, DeskHost: hostOf(cfg.Alvao.URL),
	}
	for _, pair := range cfg.Rules.Statuses.Pairs() {
		wants.States = append(wants.States, pair.State)
	}
	for _, attribute := range cfg.Rules.Attributes {
		wants.Fields = append(wants.Fields, attribute.Field)
	}
	channels, closeChannels, err := o.channels(cfg.Notice, agent)
	if err != nil {
		return connector.Clients{}, err
	}
	return connector.Clients{
		Tickets: tickets{alvaoClient}, WorkItems: workItems{azureClient, wants}, Channels: channels,
		Close: func() { closeDesk(); closeBoards(); closeChannels() },
	}, nil
}

// channels makes the ways in which solvers are told.
func (o *opener) channels(cfg config.Notice, agent string) (notice.Channels, func(), error) {
	closing := func() {}
	if !cfg.Wanted() {
		return notice.Channels{}, closing, nil
	}
	template, problems := letter.Parse(cfg.Subject, cfg.Body)
	if len(problems) > 0 {
		return notice.Channels{}, closing, fmt.Errorf("reading the template of notices: %w", problems[0])
	}
	channels := notice.Channels{Letter: template}
	if cfg.Email {
		options := mail.Options{
			Host: cfg.Mail.Host, Port: cfg.Mail.Port, TLS: mail.TLS(cfg.Mail.TLS), From: cfg.Mail.From, User: cfg.Mail.User,
			CAFile: cfg.Mail.CAFile, Now: o.now,
		}
		if cfg.Mail.User != "" {
			options.Password = o.read(cfg.Mail.Password)
		}
		sender, err := mail.New(options)
		if err != nil {
			return notice.Channels{}, closing, fmt.Errorf("preparing e-mail: %w", err)
		}
		channels.Mail = sender
	}
	if !cfg.Teams.IsZero() {
		// Not instrumented: spans tell addresses, and this one is the secret. The notice has
		// a span of its own.
		base, err := outbound.Transport("")
		if err != nil {
			return notice.Channels{}, closing, fmt.Errorf("preparing connections to Teams: %w", err)
		}
		closing = base.CloseIdleConnections
		// A webhook takes four calls a second at most (Microsoft: incoming webhooks).
		channels.Teams = teams.New(teams.Options{
			Address: o.read(cfg.Teams), Base: base, Now: o.now, UserAgent: agent,
			Gate: outbound.NewPace(outbound.PaceOptions{PerSecond: 3, Burst: 3, Concurrent: 2, Now: o.now}),
		})
	}
	return channels, closing, nil
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}

// gate bounds the calls of a client and measures their waits.
func (o *opener) gate(name string, system item.System, options outbound.PaceOptions) outbound.Gate {
	options.Now = o.now
	return measured{
		gate: outbound.NewPace(options), waits: o.waits, now: o.now,
		labels: metric.WithAttributes(attribute.String("connector", name), attribute.String("tandem.system", string(system))),
	}
}

// measured is a gate that tells how long calls waited in front of it.
type measured struct {
	gate   outbound.Gate
	waits  metric.Float64Histogram
	labels metric.MeasurementOption
	now    func() time.Time
}

// Enter implements outbound.Gate.
func (m measured) Enter(ctx context.Context) (func(*http.Response), error) {
	began := m.now()
	leave, err := m.gate.Enter(ctx) //nolint:bodyclose // leave takes an answer, it gives none
	m.waits.Record(ctx, m.now().Sub(began).Seconds(), m.labels)
	return leave, err
}

// read gives a secret anew at each call, so that a rotated one counts at once.
func (o *opener) read(ref secret.Ref) func() (string, error) {
	return func() (string, error) {
		value, err := o.secrets.Get(ref)
		if err != nil {
			return "", err
		}
		return value.Reveal(), nil
	}
}

// transport is a vendor's own connection pool with spans and metrics that name the
// system, and what closes its idle connections. The trace is not told to the vendor.
func (o *opener) transport(system item.System, caFile string) (http.RoundTripper, func(), error) {
	base, err := outbound.Transport(caFile)
	if err != nil {
		return nil, nil, fmt.Errorf("preparing connections to %s: %w", system.Title(), err)
	}
	name := attribute.String("tandem.system", string(system))
	instrumented := otelhttp.NewTransport(base,
		otelhttp.WithTracerProvider(o.tracers),
		otelhttp.WithMeterProvider(o.meters),
		otelhttp.WithPropagators(propagation.NewCompositeTextMapPropagator()),
		otelhttp.WithSpanOptions(trace.WithAttributes(name)),
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string { return r.Method + " " + system.Title() }),
	)
	return labelled{next: instrumented, label: name}, base.CloseIdleConnections, nil
}

// labelled adds a label to the metrics of each call.
type labelled struct {
	next  http.RoundTripper
	label attribute.KeyValue
}

// RoundTrip implements http.RoundTripper.
func (l labelled) RoundTrip(r *http.Request) (*http.Response, error) {
	labeler := &otelhttp.Labeler{}
	labeler.Add(l.label)
	return l.next.RoundTrip(r.WithContext(otelhttp.ContextWithClientLabeler(r.Context(), labeler)))
}

// tickets gives the Alvao client the shape that connectors ask for.
type tickets struct{ *alvao.Client }

// InStatus implements connector.Tickets.
func (t tickets) InStatus(ctx context.Context, statuses []string) iter.Seq2[item.Ticket, error] {
	return t.Tickets(ctx, alvao.Query{Service: t.Service(), Statuses: statuses})
}

// workItems gives the Azure DevOps client the shape that connectors ask for.
type workItems struct {
	*azuredevops.Client

	wants azuredevops.Wants
}

// Prepare implements connector.WorkItems. A token may be allowed to read work items
// and not projects; then events are told apart by the project's name alone.
func (w workItems) Prepare(ctx context.Context) error {
	_, err := w.Project(ctx)
	if fault.Is(err, fault.BadToken) || fault.Is(err, fault.Denied) {
		if _, other := w.WorkItems(ctx, []int64{1}); other == nil {
			return nil
		}
	}
	return err
}

// Check implements connector.WorkItems.
func (w workItems) Check(ctx context.Context) []item.Finding { return w.Client.Check(ctx, w.wants) }

// CheckHooks implements connector.WorkItems.
func (w workItems) CheckHooks(ctx context.Context) []item.Finding {
	return w.Client.CheckHooks(ctx, w.wants)
}
