// Package stack runs Tandem's two programs beside the stand-in systems, as they run
// in earnest: as processes that speak HTTP and gRPC. The demonstration and the
// end-to-end tests are its users.
//
// Its one invariant: the programs are given nothing that an administrator could not
// give them: a configuration file, secrets in files, flags and webhooks.
package stack

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tandem-sync/tandem/services/sandbox"
)

// Connector is the name of the connector that every stack has.
const Connector = "development"

// Settings is what Alvao's manual prints as the default content of the "Connector
// Settings" field, but for the project's URL.
const Settings = `{
  "ConnectorType": "AzureDevOps",
  "URL": "%s",
  "AccessToken": "0",
  "AttributeMap": {
    "System.Title": "[$TicketTitle$]",
    "System.Description": "[$LatestImportantMessage$]",
    "System.WorkItemType": "Task"
  },
  "StatusMap": {
    "To Do": "Development",
    "Doing": "Development pending",
    "Done": "Testing"
  },
  "SyncCommunication": true,
  "DisplayOpenExternalCommand": true,
  "TicketReporter": "Requester"
}`

// Options say how a stack is set up. Bin and Dir are required.
type Options struct {
	// Bin is the folder with the programs gateway and synccore.
	Bin string
	// Dir is where secrets, configuration and logs are written.
	Dir string
	// Redis is sync-core's store; empty: embedded.
	Redis string
	// Collector is where both programs send traces; empty: nowhere.
	Collector string
	// SandboxListen, GatewayListen and CoreListen are addresses; empty: any free one of
	// 127.0.0.1.
	SandboxListen, GatewayListen, CoreListen string
	// Sandbox configures the stand-in systems.
	Sandbox sandbox.Options
	// Alvao is further YAML of the connector's alvao object, indented by six blanks,
	// Connector of the connector, indented by four, and File of the file.
	Alvao, Connector, File string
	// Token is the access token in the file that sync-core reads, Password that of
	// Alvao's account; empty: those that the stand-in systems accept by default.
	Token, Password string
	// Settings is the connector settings JSON with one %s for the project's URL; empty:
	// Settings.
	Settings string
	// CoreTarget makes what the gateway is told of sync-core from its address; nil: the
	// address itself.
	CoreTarget func(address string) string
	// SandboxURL makes the URL by which everybody reaches the stand-in systems from the one
	// that they listen at; nil: that one.
	SandboxURL func(url string) string
	// KeepLines is how many log lines of each program are kept in memory; 0: 200,000.
	KeepLines int
	// CoreArgs and GatewayArgs are further flags.
	CoreArgs, GatewayArgs []string
	// Callers is YAML of the file's callers object, indented by two blanks, beside the
	// gateway's own entry; empty: everybody may do everything.
	Callers string
	// TLS has gateway and sync-core show each other certificates; without it the gateway
	// shows a token in the clear. HTTPS has the gateway serve with a certificate of the same
	// authority.
	TLS, HTTPS bool
	// NoHooks leaves the webhooks out. HooksByHand has a person enter those at Azure
	// DevOps, which Tandem makes otherwise.
	NoHooks, HooksByHand bool
	// Notices has solvers told by mail and in Teams; NoticeYAML is further YAML of the
	// connector's notice object, indented by six blanks.
	Notices    bool
	NoticeYAML string
}

// Stack is both programs and both stand-in systems, running.
type Stack struct {
	// Box is the stand-in systems.
	Box *sandbox.Sandbox
	// Gateway and Core are the programs.
	Gateway, Core *Program
	// PageURL, GatewayURL, GatewayAdmin and CoreAdmin are URLs, CoreAddr is the address
	// of the gRPC API.
	PageURL, GatewayURL, GatewayAdmin, CoreAddr, CoreAdmin string
	// ConfigFile is sync-core's configuration file, Secret the hook secret, GatewayToken
	// what the gateway shows to sync-core.
	ConfigFile, Secret, GatewayToken string
	// Certificates are in use with Options.TLS and Options.HTTPS.
	Certificates Certificates

	options Options
	// baseURL is how the stand-in systems are reached.
	baseURL string
	server  *http.Server
	// beside are the sync-cores that were started beside Core.
	beside []*Program
}

// Start brings everything up and returns when both programs serve and the connector
// is ready. ctx bounds the start alone.
func Start(ctx context.Context, o Options) (*Stack, error) {
	if o.Redis == "" {
		o.Redis = "embedded"
	}
	if o.Settings == "" {
		o.Settings = Settings
	}
	if o.Token == "" {
		o.Token = sandbox.Token
	}
	if o.Password == "" {
		o.Password = sandbox.Password
	}
	for _, address := range []*string{&o.SandboxListen, &o.GatewayListen, &o.CoreListen} {
		if *address == "" {
			*address = "127.0.0.1:0"
		}
	}
	if o.KeepLines <= 0 {
		o.KeepLines = keptLines
	}
	s := &Stack{
		options: o, Secret: rand.Text() + rand.Text(), GatewayToken: rand.Text() + rand.Text(),
		Core:    newProgram(o, "synccore", "synccore.ready"),
		Gateway: newProgram(o, "gateway", "gateway.started"),
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Stack) start(ctx context.Context) error {
	if s.options.TLS || s.options.HTTPS {
		var err error
		if s.Certificates, err = MakeCertificates(s.options.Dir); err != nil {
			return err
		}
	}
	if err := s.startSandbox(ctx); err != nil {
		return err
	}
	if err := s.reserve(ctx); err != nil {
		return err
	}
	if err := s.writeFiles(); err != nil {
		return err
	}
	if err := s.StartCore(ctx); err != nil {
		return err
	}
	if err := s.StartGateway(ctx); err != nil {
		return err
	}
	ready := func(l Line) bool { return l.Text("msg") == "connector.ready" && l.Text("connector") == Connector }
	if _, err := s.Core.Await(ctx, ready); err != nil {
		return fmt.Errorf("waiting for the connector, see %s: %w", s.Core.file, err)
	}
	if s.options.NoHooks {
		return nil
	}
	hooks := sandbox.Hooks{Gateway: s.GatewayURL, Connector: Connector, Secret: s.Secret, AlvaoAlone: !s.options.HooksByHand}
	if err := s.Box.Connect(hooks); err != nil {
		return fmt.Errorf("entering the webhooks: %w", err)
	}
	return s.awaitHooks(ctx)
}

// awaitHooks waits until there is a service hook for each kind of event.
func (s *Stack) awaitHooks(ctx context.Context) error {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for len(s.Box.AzureDevOps.Subscriptions()) < sandbox.ServiceHooks {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the service hooks, see %s: %w", s.Core.file, ctx.Err())
		case <-ticker.C:
		}
	}
	return nil
}

// reserve finds an address for the gateway, which has to be in the configuration file
// before the gateway runs.
func (s *Stack) reserve(ctx context.Context) error {
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", s.options.GatewayListen)
	if err != nil {
		return fmt.Errorf("finding an address for the gateway: %w", err)
	}
	s.options.GatewayListen = listener.Addr().String()
	host, port, err := net.SplitHostPort(s.options.GatewayListen)
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme := "http://"
	if s.options.HTTPS {
		scheme = "https://"
	}
	s.GatewayURL = scheme + net.JoinHostPort(host, port)
	if err := listener.Close(); err != nil {
		return fmt.Errorf("finding an address for the gateway: %w", err)
	}
	return nil
}

func (s *Stack) startSandbox(ctx context.Context) error {
	if s.options.HTTPS {
		trusting := s.Certificates.Client()
		s.options.Sandbox.AzureDevOps.Hooks.Client, s.options.Sandbox.Alvao.Client = trusting, trusting
	}
	box, err := sandbox.New(s.options.Sandbox)
	if err != nil {
		return fmt.Errorf("starting the stand-in systems: %w", err)
	}
	s.Box = box
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", s.options.SandboxListen)
	if err != nil {
		return fmt.Errorf("listening for the stand-in systems: %w", err)
	}
	s.PageURL = "http://" + listener.Addr().String()
	s.baseURL = s.PageURL
	if s.options.SandboxURL != nil {
		s.baseURL = s.options.SandboxURL(s.PageURL)
	}
	box.SetBaseURL(s.baseURL)
	if s.options.Notices {
		if err := box.StartMail(ctx, "127.0.0.1:0"); err != nil {
			return errors.Join(fmt.Errorf("starting the stand-in systems: %w", err), listener.Close())
		}
	}
	s.server = &http.Server{Handler: box.Handler, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.server.Serve(listener) }() // it ends with Close
	return nil
}

func (s *Stack) writeFiles() error {
	path := func(name string) string { return filepath.Join(s.options.Dir, name) }
	s.ConfigFile = path("tandem.yaml")
	settings := fmt.Sprintf(s.options.Settings, s.Box.ProjectURL())
	files := map[string]string{
		"access-token": s.options.Token, "alvao-password": s.options.Password, "hook-secret": s.Secret, "gateway-token": s.GatewayToken,
	}
	whole, connector := s.callers()+s.options.File, s.options.Connector
	if s.options.NoHooks || s.options.HooksByHand {
		connector += "    azureDevOps: {manageHooks: false}\n"
	}
	if s.options.Notices {
		files["mail-password"], files["mail-ca.pem"] = sandbox.MailPassword, string(s.Box.Mail.Certificate())
		files["teams-webhook"] = sandbox.TeamsURL(s.PageURL)
		whole += fmt.Sprintf("mail: {server: %q, from: Tandem <%s>, user: %s, password: {file: %s}, caFile: %s}\n",
			s.Box.Mail.Addr(), sandbox.MailUser, sandbox.MailUser, path("mail-password"), path("mail-ca.pem"))
		connector += fmt.Sprintf("    notice:\n      email: true\n      teams: {file: %s}\n%s", path("teams-webhook"), s.options.NoticeYAML)
	}
	config := fmt.Sprintf(`publicUrl: %s
accessTokens:
  "0": {file: %s}
hookSecrets: [{file: %s}]
%sconnectors:
  - name: %s
    alvao:
      url: %s
      service: %s
      manageHooks: false
      credentials: {username: %s, password: {file: %s}}
%s%s    settings:
      %s
`, s.GatewayURL, path("access-token"), path("hook-secret"), whole, Connector,
		sandbox.AlvaoURL(s.baseURL), sandbox.Service, sandbox.Login, path("alvao-password"), s.options.Alvao, connector,
		strings.ReplaceAll(settings, "\n", "\n      "))
	files["tandem.yaml"] = config
	for name, content := range files {
		if err := os.WriteFile(path(name), []byte(content), 0o600); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return nil
}

// callers is who may call the API: the gateway, and those of the options.
func (s *Stack) callers() string {
	text := s.options.Callers
	if text == "" {
		text = "  anonymous: admin\n  limit: {perSecond: 100000, burst: 1000000}\n"
	}
	if s.options.TLS {
		return "callers:\n  certificates:\n    - {name: " + gatewayName + ", role: edge}\n" + text
	}
	if strings.Contains(text, "  tokens:\n") {
		return "callers:\n" + strings.Replace(text, "  tokens:\n", "  tokens:\n"+s.gatewayEntry(), 1)
	}
	return "callers:\n  tokens:\n" + s.gatewayEntry() + text
}

func (s *Stack) gatewayEntry() string {
	return fmt.Sprintf("    - {name: gateway, role: edge, secret: {file: %q}}\n", filepath.Join(s.options.Dir, "gateway-token"))
}

// StartCore starts sync-core, at the same address each time.
func (s *Stack) StartCore(ctx context.Context) error {
	line, err := s.startCore(ctx, s.Core, s.options.CoreListen)
	if err != nil {
		return err
	}
	s.CoreAddr, s.CoreAdmin = line.Text("grpc"), "http://"+line.Text("admin")
	s.options.CoreListen = s.CoreAddr
	return nil
}

// StartCoreBeside starts one more sync-core over the same Redis, as a rolling update
// does before it stops the one before. Close ends it as well.
func (s *Stack) StartCoreBeside(ctx context.Context, listen string) (*Program, error) {
	p := newProgram(s.options, "synccore", "synccore.ready")
	p.file = filepath.Join(s.options.Dir, fmt.Sprintf("synccore-%d.log", len(s.beside)+2))
	if _, err := s.startCore(ctx, p, listen); err != nil {
		return nil, err
	}
	s.beside = append(s.beside, p)
	return p, nil
}

// StartBeside starts a sync-core again that StartCoreBeside started and that has ended.
func (s *Stack) StartBeside(ctx context.Context, p *Program, listen string) error {
	_, err := s.startCore(ctx, p, listen)
	return err
}

func (s *Stack) startCore(ctx context.Context, p *Program, listen string) (Line, error) {
	args := []string{"serve", "--config", s.ConfigFile, "--listen", listen, "--admin-listen", "127.0.0.1:0", "--redis", s.options.Redis}
	if s.options.TLS {
		args = append(args, "--tls-cert", s.Certificates.Core, "--tls-key", s.Certificates.CoreKey, "--tls-client-ca", s.Certificates.CA)
	} else {
		args = append(args, "--insecure-grpc")
	}
	if s.options.Collector != "" {
		args = append(args, "--otlp-endpoint", s.options.Collector)
	}
	return p.start(ctx, append(args, s.options.CoreArgs...)...)
}

// Before the gateway has the address that was found for it, somebody's connection may have
// its port for a moment.
const (
	portTries = 20
	portPause = 250 * time.Millisecond
)

// StartGateway starts the gateway, at the same address each time.
func (s *Stack) StartGateway(ctx context.Context) error {
	core := s.CoreAddr
	if s.options.CoreTarget != nil {
		core = s.options.CoreTarget(core)
	}
	args := []string{
		"--listen", s.options.GatewayListen, "--admin-listen", "127.0.0.1:0", "--core", core,
		"--hook-secret-file", filepath.Join(s.options.Dir, "hook-secret"),
	}
	if s.options.TLS {
		args = append(args, "--core-ca", s.Certificates.CA, "--core-cert", s.Certificates.Gateway, "--core-key", s.Certificates.GatewayKey)
	} else {
		args = append(args, "--insecure-grpc", "--core-token-file", filepath.Join(s.options.Dir, "gateway-token"))
	}
	if s.options.HTTPS {
		args = append(args, "--tls-cert", s.Certificates.Gateway, "--tls-key", s.Certificates.GatewayKey)
	}
	if s.options.Collector != "" {
		args = append(args, "--otlp-endpoint", s.options.Collector)
	}
	args = append(args, s.options.GatewayArgs...)
	line, err := s.Gateway.start(ctx, args...)
	for range portTries {
		if err == nil || !strings.Contains(err.Error(), "address already in use") {
			break
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(portPause):
		}
		line, err = s.Gateway.start(ctx, args...)
	}
	if err != nil {
		return err
	}
	s.GatewayAdmin = "http://" + line.Text("admin_address")
	return nil
}

// Close ends the programs, then the stand-in systems. It tells of a program that had
// ended before without being told to.
func (s *Stack) Close() error {
	errs := []error{s.Gateway.Stop(), s.Core.Stop()}
	for _, p := range s.beside {
		errs = append(errs, p.Stop())
	}
	if s.server != nil {
		errs = append(errs, s.server.Close())
	}
	if s.Box != nil {
		errs = append(errs, s.Box.Close())
	}
	return errors.Join(errs...)
}
