package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tandem-sync/tandem/services/internal/telemetry"
	"github.com/tandem-sync/tandem/services/synccore/internal/app"
	"github.com/tandem-sync/tandem/services/synccore/internal/config"
	"github.com/tandem-sync/tandem/services/synccore/internal/transport"
)

// commands is the command line. It is cobra's, since libraries that find commands by the
// names of methods keep the linker from leaving any method out.
func commands(out io.Writer) *cobra.Command {
	root := serveCommand(out)
	root.Use = "synccore"
	root.Long = "Keeps ALVAO Service Desk tickets and Azure DevOps work items moving together. Without a command it serves."
	root.Args = nil // what follows has to be a command
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(serveCommand(out), checkCommand(out), schemaCommand(out), hooksCommand(out), resyncCommand(out), driftCommand(out), rebuildCommand(out), checkConnectorCommand(out), tokenCommand(out), healthCommand(), versionCommand(out))
	return root
}

func serveCommand(out io.Writer) *cobra.Command {
	var cfg app.Config
	c := &cobra.Command{Use: "serve", Short: "Serve until stopped (the default).", Args: cobra.NoArgs}
	s := settingsOf(c)
	s.text(&cfg.File, "config", "", "Configuration file with the connectors (YAML or JSON); required.", "TANDEM_CONFIG")
	s.text(&cfg.Listen, "listen", "127.0.0.1:9000",
		"Address of the gRPC API. Who may call it is said by callers in the configuration file.", "TANDEM_LISTEN")
	s.text(&cfg.TLS.Certificate, "tls-cert", "", "PEM file with the certificate of the gRPC API; re-read for each connection.", "TANDEM_TLS_CERT")
	s.text(&cfg.TLS.Key, "tls-key", "", "PEM file with its private key.", "TANDEM_TLS_KEY")
	s.text(&cfg.TLS.CA, "tls-client-ca", "", "PEM file with the authorities of clients' certificates; with it callers may show one.", "TANDEM_TLS_CLIENT_CA")
	s.toggle(&cfg.InsecureGRPC, "insecure-grpc", "Serve the gRPC API in plaintext. The network must be private: tokens can be read on it.", "TANDEM_INSECURE_GRPC")
	s.text(&cfg.AdminListen, "admin-listen", "127.0.0.1:9001", "Address of /health/live, /health/ready and /metrics.", "TANDEM_ADMIN_LISTEN")
	s.text(&cfg.Redis, "redis", "redis://127.0.0.1:6379/0",
		"Redis, as redis:// or unix://, redis+sentinel:// or redis+cluster:// (rediss with TLS); or the word embedded, which forgets everything at the end and is for demonstrations.", "TANDEM_REDIS")
	s.text(&cfg.RedisPrefix, "redis-prefix", "tandem:", "Beginning of every Redis key.", "TANDEM_REDIS_PREFIX")
	s.text(&cfg.RedisReplicas, "redis-replicas", "auto",
		"How many replicas must have an event before it counts as stored: a number, or auto for one where Redis has any.", "TANDEM_REDIS_REPLICAS")
	s.toggle(&cfg.AllowVolatileRedis, "allow-volatile-redis",
		"Accept a Redis whose settings lose data; allowVolatileRedis in the file does the same.", "TANDEM_ALLOW_VOLATILE_REDIS")
	s.count(&cfg.Workers, "workers", 32, "How many items are served at once.", "TANDEM_WORKERS")
	s.span(&cfg.Grace, "grace", 10*time.Second, "How long work in hand may go on after a stop was asked for.", "TANDEM_GRACE")
	s.text(&cfg.OTLPEndpoint, "otlp-endpoint", "",
		"URL of the OTLP/gRPC collector, e.g. http://jaeger:4317; empty: traces are not exported.", "TANDEM_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
	s.share(&cfg.SampleRatio, "sample-ratio", 1, "Share of traces that are kept, above 0 to 1.", "TANDEM_SAMPLE_RATIO")
	s.text(&cfg.LogLevel, "log-level", "info", "debug, info, warn or error.", "TANDEM_LOG_LEVEL")
	s.run(func(c *cobra.Command, _ []string) error {
		if _, err := telemetry.ParseLevel(cfg.LogLevel); err != nil {
			return fmt.Errorf("reading --log-level: %w", err)
		}
		if err := given(&cfg.File); err != nil {
			return err
		}
		cfg.Version = telemetry.Version()
		core, err := app.New(c.Context(), cfg, out)
		if err != nil {
			return err
		}
		return core.Run(c.Context())
	})
	return c
}

func checkCommand(out io.Writer) *cobra.Command {
	c := &cobra.Command{
		Use: "check-config <file>", Short: "Check a configuration file without opening anything, and tell every problem at once.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("%w: check-config <file>", errArguments)
			}
			return nil
		},
	}
	show := c.Flags().Bool("print", false, "Print the configuration that is in effect, defaults included and secrets as references only.")
	c.RunE = func(_ *cobra.Command, args []string) error {
		file := args[0]
		if err := given(&file); err != nil {
			return err
		}
		if !config.Check(out, file, *show) {
			return errNotFine
		}
		return nil
	}
	return c
}

// schemaCommand prints what may stand in a configuration file, made of the same tables that
// the reader goes by.
func schemaCommand(out io.Writer) *cobra.Command {
	c := &cobra.Command{
		Use: "config-schema", Short: "Print what may stand in a configuration file: as a JSON Schema, by which editors complete and explain it, or as a page to read.", Args: cobra.NoArgs,
		Example: "  synccore config-schema > config.schema.json   # then, as the first line of the file: # yaml-language-server: $schema=config.schema.json",
	}
	format := c.Flags().String("format", "json", "json for a JSON Schema, markdown for a page.")
	c.RunE = func(*cobra.Command, []string) error {
		write, known := map[string]func() ([]byte, error){"json": config.JSONSchema, "markdown": config.Reference}[*format]
		if !known {
			return fmt.Errorf("%w: --format must be json or markdown, not %q", errArguments, *format)
		}
		text, err := write()
		if err != nil {
			return err
		}
		_, err = out.Write(text)
		return err
	}
	return c
}

func hooksCommand(out io.Writer) *cobra.Command {
	file := ""
	c := &cobra.Command{Use: "hooks", Short: "Print the webhook addresses and credentials to enter at Azure DevOps and Alvao.", Args: cobra.NoArgs}
	s := settingsOf(c)
	s.text(&file, "config", "", "Configuration file; required.", "TANDEM_CONFIG")
	s.run(func(*cobra.Command, []string) error {
		if err := given(&file); err != nil {
			return err
		}
		return app.PrintHooks(out, file)
	})
	return c
}

func resyncCommand(out io.Writer) *cobra.Command {
	var cfg app.ResyncConfig
	c := &cobra.Command{
		Use:   "resync",
		Short: "Have a running sync-core compare everything now and wait for the end. Exit code 0: done; 3: what it would write waits for a person; 1: it failed.",
		Args:  cobra.NoArgs,
	}
	c.Flags().StringArrayVar(&cfg.Connectors, "connector", nil, "Connector to resync; may be given several times. Without one: all.")
	s := settingsOf(c)
	clientSettings(s, &cfg.Core)
	s.span(&cfg.Timeout, "timeout", time.Hour, "How long to wait for the end. The resync itself goes on after that.", "TANDEM_RESYNC_TIMEOUT")
	s.run(func(c *cobra.Command, _ []string) error { return app.Resync(c.Context(), cfg, out) })
	return c
}

// clientSettings are the flags of a command that calls a running sync-core.
func clientSettings(s settings, c *transport.Client) {
	s.text(&c.Target, "core", "127.0.0.1:9000", "Address of the gRPC API of a running sync-core.", "TANDEM_CORE")
	s.text(&c.TokenFile, "core-token-file", "", "File with the bearer token to show.", "TANDEM_CORE_TOKEN_FILE")
	s.text(&c.Files.CA, "core-ca", "", "PEM file with the authorities of sync-core's certificate; empty: the system's.", "TANDEM_CORE_CA")
	s.text(&c.Files.Certificate, "core-cert", "", "PEM file with the certificate to show.", "TANDEM_CORE_CERT")
	s.text(&c.Files.Key, "core-key", "", "PEM file with its private key.", "TANDEM_CORE_KEY")
	s.text(&c.ServerName, "core-server-name", "", "Name in sync-core's certificate; empty: the host of its address.", "TANDEM_CORE_SERVER_NAME")
	s.toggle(&c.Insecure, "insecure-grpc", "Call in plaintext, as sync-core serves with the same flag.", "TANDEM_INSECURE_GRPC")
}

// tokenCommand makes a token and tells how it is entered, so that no file has to hold it.
func tokenCommand(out io.Writer) *cobra.Command {
	c := &cobra.Command{
		Use: "token NAME", Short: "Make a bearer token for a caller of the API: it is printed once, and its hash for callers in the configuration file.",
		Example: "  synccore token portal --role viewer",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || strings.TrimSpace(args[0]) == "" {
				return fmt.Errorf("%w: give the caller's name, which the audit log will tell, and its role: synccore token NAME --role viewer|operator|admin|edge", errArguments)
			}
			return nil
		},
	}
	role := c.Flags().String("role", config.RoleViewer, "What the caller may do: viewer, operator, admin or edge.")
	c.RunE = func(_ *cobra.Command, args []string) error { return app.PrintToken(out, args[0], *role) }
	return c
}

func driftCommand(out io.Writer) *cobra.Command {
	var cfg app.DriftConfig
	c := &cobra.Command{
		Use: "drift",
		Short: "Have a running sync-core compare every link of a connector with both of its sides, and print what differs and why. " +
			"Exit code 0: nothing does; 4: something does; 1: it failed.",
		Args: cobra.NoArgs,
	}
	c.Flags().StringVar(&cfg.Connector, "connector", "", "Connector to compare; required.")
	c.Flags().Int64SliceVar(&cfg.Tickets, "ticket", nil, "Ticket to show and repair; may be given several times. Without one: all.")
	c.Flags().StringVar(&cfg.Repair, "repair", "", "Repair what differs; the side that wins: alvao or azure-devops, or policy for what the configuration says.")
	s := settingsOf(c)
	clientSettings(s, &cfg.Core)
	s.span(&cfg.Timeout, "timeout", time.Hour, "How long it may take.", "TANDEM_DRIFT_TIMEOUT")
	s.run(func(c *cobra.Command, _ []string) error {
		if cfg.Connector == "" {
			return fmt.Errorf("%w: drift --connector <name>", errArguments)
		}
		return app.Drift(c.Context(), cfg, out)
	})
	return c
}

func checkConnectorCommand(out io.Writer) *cobra.Command {
	var cfg app.CheckConnectorConfig
	c := &cobra.Command{
		Use:   "check-connector",
		Short: "Have a running sync-core ask both systems whether its connectors can work, and tell what was found. Exit code 0: they can; 1: one can't.",
		Args:  cobra.NoArgs,
	}
	c.Flags().StringArrayVar(&cfg.Connectors, "connector", nil, "Connector to check; may be given several times. Without one: all.")
	s := settingsOf(c)
	clientSettings(s, &cfg.Core)
	s.span(&cfg.Timeout, "timeout", 5*time.Minute, "How long to wait for the answers.", "TANDEM_CHECK_TIMEOUT")
	s.run(func(c *cobra.Command, _ []string) error { return app.CheckConnector(c.Context(), cfg, out) })
	return c
}

func rebuildCommand(out io.Writer) *cobra.Command {
	var cfg app.RebuildConfig
	c := &cobra.Command{
		Use: "rebuild-links",
		Short: "Make the links of a connector anew, after Redis was lost, from the marks on both sides. Nothing is made twice; sync-core may run meanwhile. " +
			"Run it again if some pairs could not be looked at (exit code 1).",
		Args: cobra.NoArgs,
	}
	c.Flags().StringVar(&cfg.Connector, "connector", "", "Connector whose links are made anew; required.")
	c.Flags().BoolVar(&cfg.DryRun, "dry-run", false, "Only print what would be done.")
	c.Flags().StringVar(&cfg.NewSince, "new-since", "",
		"From when on tickets without a work item get one, e.g. 2026-03-02T14:05:00+01:00: when the connector was first started. Without it those in a mapped status now are left alone.")
	s := settingsOf(c)
	s.text(&cfg.File, "config", "", "Configuration file; required.", "TANDEM_CONFIG")
	s.text(&cfg.Redis, "redis", "redis://127.0.0.1:6379/0", "Redis, as sync-core is given it.", "TANDEM_REDIS")
	s.text(&cfg.RedisPrefix, "redis-prefix", "tandem:", "Beginning of every Redis key.", "TANDEM_REDIS_PREFIX")
	s.toggle(&cfg.AllowVolatileRedis, "allow-volatile-redis", "Accept a Redis whose settings lose data.", "TANDEM_ALLOW_VOLATILE_REDIS")
	s.run(func(c *cobra.Command, _ []string) error {
		if cfg.Connector == "" {
			return fmt.Errorf("%w: rebuild-links --connector <name>", errArguments)
		}
		if err := given(&cfg.File); err != nil {
			return err
		}
		cfg.Version = telemetry.Version()
		return app.RebuildLinks(c.Context(), cfg, out, c.ErrOrStderr())
	})
	return c
}

func healthCommand() *cobra.Command {
	address := ""
	c := &cobra.Command{Use: "health", Short: "Ask the sync-core of this machine whether it is ready; the health check of its image.", Args: cobra.NoArgs}
	s := settingsOf(c)
	s.text(&address, "admin-listen", "127.0.0.1:9001", "Address of /health/ready, as sync-core was given it.", "TANDEM_ADMIN_LISTEN")
	s.run(func(c *cobra.Command, _ []string) error { return telemetry.Probe(c.Context(), address) })
	return c
}

func versionCommand(out io.Writer) *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version.", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
		_, err := fmt.Fprintln(out, telemetry.Version())
		return err
	}}
}

var (
	errArguments = errors.New("wrong arguments")
	errNoConfig  = errors.New("--config (TANDEM_CONFIG) is missing: name the configuration file")
)

// given makes a file's name whole; it must not be empty.
func given(file *string) error {
	if *file == "" {
		return errNoConfig
	}
	whole, err := filepath.Abs(*file)
	if err != nil {
		return fmt.Errorf("finding %s: %w", *file, err)
	}
	*file = whole
	return nil
}
