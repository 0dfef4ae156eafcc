package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/gateway/internal/alvao"
	"github.com/tandem-sync/tandem/services/gateway/internal/azuredevops"
	"github.com/tandem-sync/tandem/services/gateway/internal/hooksecret"
	"github.com/tandem-sync/tandem/services/gateway/internal/rest"
	"github.com/tandem-sync/tandem/services/gateway/internal/secretfile"
	"github.com/tandem-sync/tandem/services/gateway/internal/transport"
	"github.com/tandem-sync/tandem/services/gateway/internal/webhook"
	"github.com/tandem-sync/tandem/services/internal/telemetry"
)

const (
	serviceName = "tandem-gateway"

	readHeaderTimeout = 5 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeader         = 64 << 10
	minCoreToken      = 32
	// maxStreams is how many requests one connection of HTTP/2 may have in hand.
	maxStreams = 128
)

// App is a gateway whose listeners are open.
type App struct {
	cfg       Config
	telemetry *telemetry.Telemetry
	logger    *slog.Logger
	core      *grpc.ClientConn
	health    healthpb.HealthClient
	secrets   []*secretfile.Files
	// serving is the gateway's own certificate; nil: it serves in plaintext.
	serving *transport.Serving

	public, admin             net.Listener
	publicServer, adminServer *http.Server

	stopping atomic.Bool
	closing  sync.Once
	closed   error
	closers  []func() error // run in reverse
}

// New checks the settings, reads the secrets and opens the listeners. All mistakes
// in the settings are reported together. sync-core need not be there yet.
func New(ctx context.Context, cfg Config) (*App, error) {
	a := &App{cfg: cfg}
	hooks, token, err := a.openSecrets()
	if err := errors.Join(cfg.check(), err); err != nil {
		return nil, fmt.Errorf("checking the settings: %w", err)
	}
	if err := a.open(ctx, hooks, token); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

func (a *App) open(ctx context.Context, hooks *hooksecret.Ring, token *secretfile.Files) error {
	if err := a.openTelemetry(ctx); err != nil {
		return err
	}
	if err := a.openCore(); err != nil {
		return err
	}
	handler, err := a.routes(ctx, hooks, token)
	if err != nil {
		return err
	}
	if a.cfg.TLS.Cert != "" {
		if a.serving, err = transport.NewServing(a.cfg.TLS.Cert, a.cfg.TLS.Key); err != nil {
			return fmt.Errorf("reading the gateway's own certificate: %w", err)
		}
	}
	if a.public, err = a.listen(ctx, a.cfg.Listen); err != nil {
		return err
	}
	if a.admin, err = a.listen(ctx, a.cfg.AdminListen); err != nil {
		return err
	}
	a.publicServer = a.server(handler)
	if a.serving != nil {
		a.publicServer.TLSConfig = a.serving.Config()
	}
	a.adminServer = a.server(a.adminRoutes())
	return nil
}

// openSecrets reads the hook secrets and, if there is one, the token for sync-core.
func (a *App) openSecrets() (*hooksecret.Ring, *secretfile.Files, error) {
	var (
		hooks *hooksecret.Ring
		token *secretfile.Files
	)
	secrets, hookErr := secretfile.Open(hooksecret.Rule(), a.cfg.HookSecretFile...)
	if hookErr == nil {
		a.secrets = append(a.secrets, secrets)
		hooks = hooksecret.New(secrets)
	}
	var tokenErr error
	if a.cfg.CoreTokenFile != "" {
		rule := secretfile.Rule{Name: "token for sync-core", Min: minCoreToken, OneLine: true, Hint: "make one with 'openssl rand -hex 32' and name it in callers of sync-core's configuration."}
		if token, tokenErr = secretfile.Open(rule, a.cfg.CoreTokenFile); tokenErr == nil {
			a.secrets = append(a.secrets, token)
		}
	}
	return hooks, token, errors.Join(hookErr, tokenErr)
}

func (a *App) openTelemetry(ctx context.Context) error {
	level, err := a.cfg.level()
	if err != nil {
		return err
	}
	a.telemetry, err = telemetry.Start(ctx, telemetry.Config{
		Service: serviceName, Version: a.cfg.Version, OTLPEndpoint: a.cfg.OTLPEndpoint,
		SampleRatio: a.cfg.SampleRatio, LogWriter: a.cfg.LogOutput, LogLevel: level,
	})
	if err != nil {
		return fmt.Errorf("starting telemetry: %w", err)
	}
	a.logger = a.telemetry.Logger
	// Shutdown has its own time limit and must run when ctx has ended.
	a.closers = append(a.closers, func() error { return a.telemetry.Shutdown(context.WithoutCancel(ctx)) })
	return nil
}

func (a *App) openCore() error {
	var way credentials.TransportCredentials
	if !a.cfg.InsecureGRPC {
		files := transport.Files{Certificate: a.cfg.CoreTLS.Cert, Key: a.cfg.CoreTLS.Key, CA: a.cfg.CoreTLS.CA}
		var err error
		if way, err = transport.NewClient(files, a.cfg.CoreTLS.ServerName, a.logger); err != nil {
			return fmt.Errorf("protecting the way to sync-core: %w", err)
		}
	}
	conn, err := DialCore(CoreConfig{
		Target: a.cfg.Core, Timeout: a.cfg.CoreTimeout, Credentials: way,
		Tracers: a.telemetry.Tracers, Meters: a.telemetry.Meters, Propagator: telemetry.Propagator(),
	})
	if err != nil {
		return err
	}
	a.core, a.health = conn, healthpb.NewHealthClient(conn)
	a.closers = append(a.closers, conn.Close)
	return nil
}

func (a *App) listen(ctx context.Context, address string) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", address, err)
	}
	a.closers = append(a.closers, func() error {
		if err := listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("closing a listener: %w", err)
		}
		return nil
	})
	return listener, nil
}

func (a *App) server(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: min(readHeaderTimeout, a.cfg.ReadTimeout),
		ReadTimeout:       a.cfg.ReadTimeout,
		WriteTimeout:      a.cfg.ReadTimeout + max(a.cfg.CoreTimeout, checkTimeout) + time.Second,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ErrorLog:          slog.NewLogLogger(a.logger.Handler(), slog.LevelWarn),
	}
}

// routes builds the public port.
func (a *App) routes(ctx context.Context, hooks *hooksecret.Ring, token *secretfile.Files) (http.Handler, error) {
	now := time.Now //nolint:forbidigo // this is where the clock comes in.
	pipeline, err := webhook.New(webhook.Config{
		Events: tandemv1.NewEventServiceClient(a.asGateway(token)), Logger: a.logger, Meters: a.telemetry.Meters, Now: now,
		MaxBody: a.cfg.MaxBody, MaxInFlight: a.cfg.MaxInFlight, Timeout: a.cfg.CoreTimeout,
	})
	if err != nil {
		return nil, fmt.Errorf("making the webhook pipeline: %w", err)
	}
	api, err := rest.NewAPI(ctx, a.core)
	if err != nil {
		return nil, err
	}

	credentials := azuredevops.Credentials{User: hooksecret.User, Passwords: hooks.AzureDevOpsPasswords}
	hook := pipeline.Handler(azuredevops.NewHook(credentials))
	callback := hook
	if a.cfg.CallbackAuth == CallbackOpen {
		limiter := rate.NewLimiter(rate.Limit(a.cfg.CallbackRate), a.cfg.CallbackBurst)
		callback = pipeline.Handler(azuredevops.NewCallback(credentials, limiter, now))
	}
	builtIn := pipeline.Handler(alvao.NewWebhook(hooks.AlvaoTokens))
	application := pipeline.Handler(alvao.NewApplication(hooks.AlvaoApplicationKeys, now))

	mux := http.NewServeMux()
	for pattern, handler := range map[string]http.Handler{
		"/hooks/azure-devops":                 hook,
		"/hooks/azure-devops/{$}":             hook,
		"/hooks/azure-devops/{connector}":     hook,
		"/hooks/azure-devops/{connector}/{$}": hook,
		"/hooks/alvao/{connector}":            application,
	} {
		mux.Handle(pattern, a.traced("POST "+pattern, handler))
	}
	const builtInPattern = "/hooks/alvao/{connector}/{token}"
	mux.Handle(builtInPattern, withoutToken(a.traced("POST "+builtInPattern, builtIn)))
	if a.cfg.API {
		mux.Handle("/v1/", a.traced("REST /v1", api))
	}
	mux.Handle("/openapi.json", rest.OpenAPI())

	var seedPaths foldedPaths
	for _, path := range []string{"/AlvaoRestApi/Connectors/DevOpsCallback", "/Connectors/DevOpsCallback"} {
		seedPaths = append(seedPaths, foldedPath{path, a.traced("POST "+path, callback)})
	}
	mux.Handle("/", seedPaths.or(rest.NotFound()))
	return singleSlashes(mux), nil
}

// asGateway makes calls that show who the gateway is. Those that it passes on show their
// own caller's credentials.
func (a *App) asGateway(token *secretfile.Files) grpc.ClientConnInterface {
	if token == nil {
		return a.core // its certificate tells
	}
	return transport.Showing(a.core, transport.Token{Current: func() string { return token.Values()[0] }, InTheClear: a.cfg.InsecureGRPC})
}

// Addr is where webhooks and the API are served.
func (a *App) Addr() net.Addr { return a.public.Addr() }

// AdminAddr is where health and metrics are served.
func (a *App) AdminAddr() net.Addr { return a.admin.Addr() }

// Run serves until ctx ends or a listener breaks, then finishes what is in hand
// within the grace time and closes everything. It may be called once.
func (a *App) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return serve(a.publicServer, a.public) })
	group.Go(func() error { return serve(a.adminServer, a.admin) })
	if a.serving != nil {
		group.Go(func() error {
			a.serving.Run(ctx, a.cfg.SecretInterval, a.logger)
			return nil
		})
	}
	for _, files := range a.secrets {
		group.Go(func() error {
			files.Run(ctx, a.cfg.SecretInterval, a.logger)
			return nil
		})
	}
	group.Go(func() error {
		<-ctx.Done()
		return a.drain(ctx)
	})
	a.logger.InfoContext(ctx, "gateway.started",
		slog.String("address", a.Addr().String()), slog.String("admin_address", a.AdminAddr().String()),
		slog.String("core", a.cfg.Core), slog.String("version", a.cfg.Version),
		slog.Bool("api", a.cfg.API), slog.Bool("tls", a.serving != nil), slog.String("callback_auth", a.cfg.CallbackAuth))
	if a.cfg.InsecureGRPC {
		a.logger.WarnContext(ctx, "gateway.insecure_grpc", slog.String("effect", "events and tokens can be read on the network between gateway and sync-core"))
	}
	err := group.Wait()
	a.logger.InfoContext(ctx, "gateway.stopped")
	return errors.Join(err, a.Close())
}

func serve(server *http.Server, listener net.Listener) error {
	run := server.Serve
	if server.TLSConfig != nil {
		run = func(l net.Listener) error { return server.ServeTLS(l, "", "") }
	}
	if err := run(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving on %s: %w", listener.Addr(), err)
	}
	return nil
}

// drain stops receiving. Readiness flips first; health and metrics stay until the
// requests in hand are done.
func (a *App) drain(ctx context.Context) error {
	a.stopping.Store(true)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.cfg.Grace)
	defer cancel()
	var errs []error
	for _, server := range []*http.Server{a.publicServer, a.adminServer} {
		if err := server.Shutdown(ctx); err != nil {
			a.logger.WarnContext(ctx, "gateway.cut_off", slog.String("effect", "requests in hand were cut off after the grace time; their senders will send again"))
			errs = append(errs, server.Close())
		}
	}
	return errors.Join(errs...)
}

// Close frees what New opened. Run does so itself; Close is for an App that is not
// run. It may be called more than once.
func (a *App) Close() error {
	a.closing.Do(func() {
		var errs []error
		for _, closer := range slices.Backward(a.closers) {
			errs = append(errs, closer())
		}
		a.closed = errors.Join(errs...)
	})
	return a.closed
}
