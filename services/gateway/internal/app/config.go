package app

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/alecthomas/kong"

	"github.com/tandem-sync/tandem/services/internal/telemetry"
)

// The ways in which the callback paths of Alvao's own connector are protected.
const (
	// CallbackOpen lets in requests without credentials, at a limited rate.
	CallbackOpen = "open"
	// CallbackBasic demands the credentials of service hooks.
	CallbackBasic = "basic"
)

// Config is everything that can be set. Each field is a flag and an environment
// variable; the tags hold the defaults.
type Config struct {
	// Listen is the address for webhooks and the API.
	Listen string `default:":8080" env:"TANDEM_LISTEN" help:"Address for webhooks and the API."`
	// AdminListen is the address for health and metrics. It must not be public.
	AdminListen string `default:":8081" env:"TANDEM_ADMIN_LISTEN" help:"Address for /health/live, /health/ready and /metrics; keep it private."`
	// TLS protects Listen; without it a proxy in front has to.
	TLS ServingTLS `embed:"" prefix:"tls-" envprefix:"TANDEM_TLS_"`
	// Core is the gRPC target of sync-core. Of a name with several addresses all are
	// called in turn that say that they serve.
	Core string `default:"127.0.0.1:9000" env:"TANDEM_CORE" help:"Address of sync-core's gRPC server."`
	// CoreTimeout bounds one call of sync-core, retries included.
	CoreTimeout time.Duration `default:"5s" env:"TANDEM_CORE_TIMEOUT" help:"How long sync-core may take to store an event or answer a read."`

	// CoreTokenFile holds the bearer token that the gateway shows to sync-core.
	CoreTokenFile string `env:"TANDEM_CORE_TOKEN_FILE" placeholder:"PATH" help:"File with the bearer token by which sync-core knows the gateway (role edge), at least 32 characters. Re-read when it changes."`
	// CoreTLS protects the way to sync-core.
	CoreTLS CoreTLS `embed:"" prefix:"core-" envprefix:"TANDEM_CORE_"`
	// InsecureGRPC calls sync-core without protection.
	InsecureGRPC bool `name:"insecure-grpc" env:"TANDEM_INSECURE_GRPC" help:"Call sync-core in plaintext. The network must be private: events and tokens can be read on it."`

	// HookSecretFile names one or two files, the current secret first.
	HookSecretFile []string `env:"TANDEM_HOOK_SECRET_FILE" placeholder:"PATH" help:"File with the hook secret, at least 32 characters. Give the previous one as a second file while you rotate. Re-read when it changes."`
	// CallbackAuth is CallbackOpen or CallbackBasic.
	CallbackAuth string `default:"open" enum:"open,basic" env:"TANDEM_CALLBACK_AUTH" help:"Whether the paths of Alvao's own connector (…/Connectors/DevOpsCallback) take events without credentials (open, at a limited rate) or demand them (basic)."`
	// CallbackRate is the events per second that CallbackOpen lets in.
	CallbackRate float64 `default:"20" env:"TANDEM_CALLBACK_RATE" help:"Events per second without credentials."`
	// CallbackBurst is how many of them may come at once.
	CallbackBurst int `default:"100" env:"TANDEM_CALLBACK_BURST" help:"Events without credentials that may come at once."`
	// MaxBody is the largest webhook body in bytes.
	MaxBody int64 `default:"4194304" env:"TANDEM_MAX_BODY" help:"Largest body of a webhook in bytes."`
	// MaxInFlight is how many webhooks are worked on at once.
	MaxInFlight int `default:"512" env:"TANDEM_MAX_IN_FLIGHT" help:"Webhooks that are worked on at once; more are asked to come back (503)."`

	// API serves /v1.
	API bool `default:"true" negatable:"" env:"TANDEM_API" help:"Serve the API of sync-core as REST at /v1. Who may call it sync-core decides, by the credentials that the caller sends."`

	// ReadTimeout bounds reading a request, header and body.
	ReadTimeout time.Duration `default:"15s" env:"TANDEM_READ_TIMEOUT" help:"How long a request may take to arrive."`
	// Grace is how long work in hand may take after the process was told to stop.
	Grace time.Duration `default:"10s" env:"TANDEM_GRACE" help:"How long requests in hand may take after the process was told to stop."`
	// SecretInterval is how often secret files are re-read.
	SecretInterval time.Duration `default:"5s" env:"TANDEM_SECRET_INTERVAL" help:"How often the secret files are looked at for a change."`

	// LogLevel is the least level that is logged.
	LogLevel string `default:"info" enum:"debug,info,warn,error" env:"TANDEM_LOG_LEVEL" help:"Least level that is logged: ${enum}."`
	// OTLPEndpoint is where traces go.
	OTLPEndpoint string `name:"otlp-endpoint" env:"TANDEM_OTLP_ENDPOINT" placeholder:"URL" help:"OTLP/gRPC collector for traces, e.g. http://jaeger:4317. Empty: none."`
	// SampleRatio is the share of traces that is kept.
	SampleRatio float64 `default:"1" env:"TANDEM_SAMPLE_RATIO" help:"Share of new traces that are kept, above 0 to 1."`

	// LogOutput is where the log goes. Required; not a flag.
	LogOutput io.Writer `kong:"-"`
	// Version is shown in traces and metrics; not a flag.
	Version string `kong:"-"`
}

// CoreTLS names the files that protect the way to sync-core. They are re-read for each
// connection.
type CoreTLS struct {
	// CA holds the authorities of sync-core's certificate.
	CA string `env:"CA" placeholder:"PATH" help:"PEM file with the authorities that sign sync-core's certificate."`
	// Cert and Key are the certificate by which sync-core knows the gateway.
	Cert string `env:"CERT" placeholder:"PATH" help:"PEM file with the certificate by which sync-core knows the gateway, instead of a token."`
	Key  string `env:"KEY" placeholder:"PATH" help:"PEM file with its private key."`
	// ServerName is the name in sync-core's certificate.
	ServerName string `env:"SERVER_NAME" placeholder:"NAME" help:"Name in sync-core's certificate. Empty: the host of its address."`
}

// ServingTLS names the files of the gateway's own certificate. They are re-read when they
// change.
type ServingTLS struct {
	// Cert and Key are PEM files. Both or neither.
	Cert string `env:"CERT" placeholder:"PATH" help:"PEM file with the certificate to serve webhooks and the API with, over HTTP/1.1 and HTTP/2. Re-read when it changes. Empty: plaintext, for a proxy in front."`
	Key  string `env:"KEY" placeholder:"PATH" help:"PEM file with its private key."`
}

// ErrHelp says that the arguments asked for help, which has been printed.
var ErrHelp = errors.New("help was printed")

// Parse reads flags and TANDEM_… environment variables; a flag wins. Help goes to
// out. Nothing is opened or checked beyond single values; New does that.
func Parse(args []string, out io.Writer) (Config, error) {
	var cfg Config
	helped := false
	parser, err := kong.New(&cfg,
		kong.Name("gateway"),
		kong.Description("The edge of Tandem: receives the webhooks of Azure DevOps and Alvao and serves the API of sync-core as REST. The word health in front asks a running one whether it is ready, version tells which it is."),
		kong.Writers(out, out),
		kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 80}),
		kong.Exit(func(int) { helped = true }),
	)
	if err != nil {
		return Config{}, fmt.Errorf("setting up the flags: %w", err)
	}
	_, err = parser.Parse(args)
	if helped {
		return Config{}, ErrHelp
	}
	if err != nil {
		return Config{}, fmt.Errorf("reading flags and environment: %w", err)
	}
	return cfg, nil
}

// check finds all mistakes that can be seen without opening anything.
func (c *Config) check() error {
	var errs []error
	refuse := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch n := len(c.HookSecretFile); {
	case n == 0:
		refuse("no hook secret is given, so no webhook could be told from a forged one; name a file with --hook-secret-file (TANDEM_HOOK_SECRET_FILE)")
	case n > 2:
		refuse("%d hook secret files are given but only two may be valid at once, the current and the previous one", n)
	}
	c.checkCore(refuse)
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		refuse("--tls-cert and --tls-key come together; give both of them")
	}
	if c.CallbackAuth != CallbackOpen && c.CallbackAuth != CallbackBasic {
		refuse("--callback-auth is %q but must be open or basic", c.CallbackAuth)
	}
	if c.CallbackRate <= 0 || c.CallbackBurst <= 0 {
		refuse("--callback-rate and --callback-burst must be above 0; to let in nothing without credentials use --callback-auth=basic")
	}
	if c.MaxBody <= 0 || c.MaxInFlight <= 0 {
		refuse("--max-body and --max-in-flight must be above 0")
	}
	if c.CoreTimeout <= 0 || c.ReadTimeout <= 0 || c.Grace <= 0 || c.SecretInterval <= 0 {
		refuse("--core-timeout, --read-timeout, --grace and --secret-interval must be above 0")
	}
	if c.SampleRatio <= 0 || c.SampleRatio > 1 {
		refuse("--sample-ratio is %g but must be above 0 and at most 1", c.SampleRatio)
	}
	for flag, address := range map[string]string{"--listen": c.Listen, "--admin-listen": c.AdminListen} {
		if _, _, err := net.SplitHostPort(address); err != nil {
			refuse("%s is %q, which is no address like :8080 or 127.0.0.1:8080", flag, address)
		}
	}
	if _, err := c.level(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// checkCore finds mistakes about the way to sync-core.
func (c *Config) checkCore(refuse func(string, ...any)) {
	switch {
	case c.InsecureGRPC && c.CoreTLS != (CoreTLS{}):
		refuse("--insecure-grpc and --core-ca, --core-cert, --core-key or --core-server-name contradict each other; give one of them")
	case !c.InsecureGRPC && c.CoreTLS.CA == "":
		refuse("how sync-core is told from somebody else is not said; name the authority of its certificate with --core-ca (TANDEM_CORE_CA), or ask for plaintext on a private network with --insecure-grpc (TANDEM_INSECURE_GRPC)")
	}
	if (c.CoreTLS.Cert == "") != (c.CoreTLS.Key == "") {
		refuse("--core-cert and --core-key come together; give both of them")
	}
	if c.CoreTokenFile == "" && c.CoreTLS.Cert == "" {
		refuse("the gateway has nothing to show to sync-core, which would refuse its events; give --core-token-file (TANDEM_CORE_TOKEN_FILE), or --core-cert and --core-key")
	}
}

func (c *Config) level() (slog.Level, error) { return telemetry.ParseLevel(c.LogLevel) }
