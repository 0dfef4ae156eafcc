package app

import (
	"context"
	"fmt"
	"iter"
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
	"github.com/tandem-sync/tandem/services/synccore/internal/hookkey"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/letter"
	"github.com/tandem-sync/tandem/services/synccore/internal/limiter"
	"github.com/tandem-sync/tandem/services/synccore/internal/mail"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
	"github.com/tandem-sync/tandem/services/synccore/internal/notice"
	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
	"github.com/tandem-sync/tandem/services/synccore/internal/pushed"
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
	limits  *limits
	// pushed is what Alvao's application told of ticket logs.
	pushed *pushed.Logs
	// entra sends the requests for tokens; nil: a pool of its own for each connector.
	entra http.RoundTripper
}

func newOpener(tel *telemetry.Telemetry, ledger *limiter.Ledger, logs *pushed.Logs, version string, now func() time.Time) (*opener, error) {
	limits, err := newLimits(tel.Meters.Meter("github.com/tandem-sync/tandem/services/synccore/app"), ledger, now)
	if err != nil {
		return nil, err
	}
	return &opener{secrets: &secret.Store{}, tracers: tel.Tracers, meters: tel.Meters, version: version, now: now, limits: limits, pushed: logs}, nil
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
	deskLogin, err := o.deskLogin(cfg.Alvao.Credentials)
	if err != nil {
		return connector.Clients{}, err
	}
	boardsLogin, err := o.boardsLogin(cfg.Token)
	if err != nil {
		deskLogin.close()
		return connector.Clients{}, err
	}
	deskGate, leaveDesk := o.limits.gate(cfg.Name, limitKey{
		system: item.Alvao, account: cfg.Alvao.URL, credential: deskLogin.name,
		perSecond: cfg.Alvao.Limit.PerSecond, concurrent: cfg.Alvao.Limit.Concurrent,
	}, limiter.Rules{}, nil)
	rules := limiter.Rules{}
	if azuredevops.Hosted(cfg.Rules.Project.URL()) {
		rules = limiter.Rules{
			Limit: azuredevops.BudgetUnits, Window: azuredevops.BudgetWindow, Background: backgroundShare,
			Read: azuredevops.ReadUnits, Write: azuredevops.WriteUnits,
		}
	}
	boardsGate, leaveBoards := o.limits.gate(cfg.Name, limitKey{
		system: item.AzureDevOps, account: cfg.Rules.Project.Account, credential: boardsLogin.name, concurrent: 16,
	}, rules, azuredevops.WhoseAnswer)
	closeAll := func() {
		leaveDesk()
		leaveBoards()
		deskLogin.close()
		boardsLogin.close()
		closeDesk()
		closeBoards()
	}
	agent := "tandem/" + o.version
	alvaoClient, err := alvao.New(alvao.Options{
		BaseURL: cfg.Alvao.URL, WebURL: cfg.Alvao.WebURL, Service: cfg.Alvao.Service,
		ExternalIDField: cfg.Alvao.ExternalIDField, Username: cfg.Alvao.Credentials.Username,
		Password: o.read(cfg.Alvao.Credentials.Ref), Credential: deskLogin.credential, Base: desk, Now: o.now, UserAgent: agent,
		DefaultLocation: cfg.Alvao.Location, Gate: deskGate, Pushed: pushedTo{o.pushed, cfg.Name},
	})
	if err != nil {
		closeAll()
		return connector.Clients{}, err
	}
	azureClient, err := azuredevops.New(azuredevops.Options{
		ProjectURL: cfg.Rules.Project.URL(), Credential: boardsLogin.credential, Base: boards,
		Now: o.now, UserAgent: agent, APIVersion: cfg.AzureDevOps.APIVersion, Gate: boardsGate,
	})
	if err != nil {
		closeAll()
		return connector.Clients{}, err
	}
	wants := azuredevops.Wants{
		Type: cfg.Rules.Type.String(), TypeVaries: !cfg.Rules.Type.Constant(), Reporter: cfg.Rules.Reporter.Mode != mapping.ReporterDefault,
	}
	if !cfg.AzureDevOps.Hooks.Managed() {
		wants.Connector, wants.DeskHost = cfg.Name, hostOf(cfg.Alvao.URL)
	}
	for _, pair := range cfg.Rules.Statuses.Pairs() {
		wants.States = append(wants.States, pair.State)
	}
	for _, attribute := range cfg.Rules.Attributes {
		wants.Fields = append(wants.Fields, attribute.Field)
	}
	channels, closeChannels, err := o.channels(cfg.Notice, agent)
	if err != nil {
		closeAll()
		return connector.Clients{}, err
	}
	return connector.Clients{
		Tickets: tickets{alvaoClient}, WorkItems: workItems{azureClient, wants}, Channels: channels,
		Hooks: azureClient, HookPassword: o.hookKey(cfg.AzureDevOps.Hooks.Secret, hookkey.AzureDevOpsPassword),
		DeskHooks: alvaoClient, DeskToken: o.hookKey(cfg.Alvao.Hooks.Secret, func(secret string) string { return hookkey.AlvaoToken(secret, cfg.Name) }),
		Close: func() { closeAll(); closeChannels() },
		Expiry: func(system item.System) time.Time {
			if system == item.AzureDevOps {
				return boardsLogin.expiry()
			}
			return deskLogin.expiry()
		},
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

// hookKey gives what webhooks show at the gateway, derived anew each time from the
// present hook secret.
func (o *opener) hookKey(ref secret.Ref, derive func(secret string) string) func() (string, error) {
	return func() (string, error) {
		value, err := o.secrets.Get(ref)
		if err != nil {
			return "", fault.Wrap(err, fault.Misconfigured, "The hook secret in %s can't be read.", ref)
		}
		if err := hookkey.Check(value.Reveal()); err != nil {
			return "", fault.Wrap(err, fault.Misconfigured, "The hook secret in %s is too short.", ref)
		}
		return derive(value.Reveal()), nil
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

// pushedTo is what the application told to one connector.
type pushedTo struct {
	logs      *pushed.Logs
	connector string
}

// Log implements alvao.Pushed.
func (p pushedTo) Log(ctx context.Context, ticket int64) ([]item.PushedRecord, error) {
	return p.logs.Log(ctx, p.connector, ticket)
}

// Round implements alvao.Pushed.
func (p pushedTo) Round(ctx context.Context) (time.Time, error) {
	return p.logs.Round(ctx, p.connector)
}

// Heard implements alvao.Pushed.
func (p pushedTo) Heard(ctx context.Context) (time.Time, error) {
	return p.logs.Heard(ctx, p.connector)
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
