// Package ctl is the command line of tandemctl: each command is one or a few calls of
// the gRPC API, and what they tell as a table, as JSON or as YAML.
//
// Its one invariant: it knows no more than the API tells, and shows it; what goes to
// the standard output is the answer alone, so that it can be piped.
package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/synccore/internal/transport"
)

// ErrShown ends a command whose answer, which was printed, says that all is not well.
var ErrShown = errors.New("the answer says that all is not well")

var (
	errOutput      = errors.New("--output must be table, json or yaml")
	errColour      = errors.New("--color must be auto, always or never")
	errPlaintext   = errors.New("TANDEM_INSECURE_GRPC must be true or false")
	errNoConnector = errors.New("sync-core has no connector, or none that this caller may see")
	errConnector   = errors.New("there are several connectors; name one with --connector or TANDEM_CONNECTOR (tandemctl connectors list shows them)")
	errArguments   = errors.New("the arguments are wrong")
)

// Terminal is where a command runs.
type Terminal struct {
	Out, Err io.Writer
	Env      func(name string) string
	Version  string
	// Dial replaces the connection in tests; nil: the flags decide.
	Dial func() (*grpc.ClientConn, error)
}

// calls repeats what another worker kept from being done: nothing was done then.
const calls = `{"methodConfig": [{
	"name": [{"service": "tandem.v1.ConnectorService"}, {"service": "tandem.v1.LinkService"}, {"service": "tandem.v1.EventService"}, {"service": "tandem.v1.ResyncService"}],
	"retryPolicy": {"maxAttempts": 5, "initialBackoff": "0.3s", "maxBackoff": "2s", "backoffMultiplier": 2, "retryableStatusCodes": ["ABORTED"]}
}]}`

// callTimeout bounds each call but a watch. A check asks both vendors.
const callTimeout = 60 * time.Second

// ctl is one run.
type ctl struct {
	terminal  Terminal
	client    transport.Client
	output    string
	colour    string
	plaintext string
	connector string
	conn      *grpc.ClientConn
	// began tells that the words of the command were understood.
	began bool
}

// Run runs one command. An error is for people; ErrShown needs no more words.
func Run(ctx context.Context, args []string, terminal Terminal) error {
	c := &ctl{terminal: terminal}
	root := c.root() //nolint:contextcheck // cobra hands ctx over
	root.SetArgs(args)
	root.SetOut(terminal.Out)
	root.SetErr(terminal.Err)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !c.began {
		// What is wrong is how the command was written.
		err = fmt.Errorf("%s. Write it as in: %s (%s --help tells more)", //nolint:err113 // a sentence for a person
			strings.TrimRight(strings.ReplaceAll(err.Error(), "\n", " "), " ."), cmd.UseLine(), cmd.CommandPath())
	}
	if c.conn != nil {
		_ = c.conn.Close() // nothing is under way
	}
	return err
}

func (c *ctl) root() *cobra.Command {
	root := &cobra.Command{
		Use: "tandemctl", Short: "Look at Tandem and tell it what to do.", Version: c.terminal.Version,
		SilenceErrors: true, SilenceUsage: true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if !slices.Contains(outputs(), c.output) {
				return fmt.Errorf("%w, not %q", errOutput, c.output)
			}
			if !slices.Contains(colours(), c.colour) {
				return fmt.Errorf("%w, not %q", errColour, c.colour)
			}
			if err := c.plain(); err != nil {
				return err
			}
			c.began = true
			return nil
		},
	}
	flags := root.PersistentFlags()
	env := func(name, otherwise string) string {
		if value := c.terminal.Env(name); value != "" {
			return value
		}
		return otherwise
	}
	flags.StringVar(&c.client.Target, "address", env("TANDEM_ADDRESS", "127.0.0.1:9000"), "Address of sync-core's gRPC API; TANDEM_ADDRESS.")
	flags.StringVar(&c.client.TokenFile, "token-file", env("TANDEM_TOKEN_FILE", ""), "File with the bearer token to show; TANDEM_TOKEN_FILE.")
	flags.StringVar(&c.client.Files.CA, "ca-file", env("TANDEM_CA_FILE", ""), "PEM file of the authorities of the server's certificate; TANDEM_CA_FILE. Empty: the system's.")
	flags.StringVar(&c.client.Files.Certificate, "cert-file", env("TANDEM_CERT_FILE", ""), "PEM file with a client certificate; TANDEM_CERT_FILE.")
	flags.StringVar(&c.client.Files.Key, "key-file", env("TANDEM_KEY_FILE", ""), "PEM file with its private key; TANDEM_KEY_FILE.")
	flags.StringVar(&c.client.ServerName, "server-name", env("TANDEM_SERVER_NAME", ""), "Name in the server's certificate; TANDEM_SERVER_NAME. Empty: the address' host.")
	flags.BoolVar(&c.client.Insecure, "insecure-grpc", false, "Go in plaintext, as to the demonstration; TANDEM_INSECURE_GRPC=true.")
	flags.StringVarP(&c.connector, "connector", "c", env("TANDEM_CONNECTOR", ""), "Connector; TANDEM_CONNECTOR. May be left out where there is only one.")
	flags.StringVarP(&c.output, "output", "o", env("TANDEM_OUTPUT", tableOutput), "table, json or yaml; TANDEM_OUTPUT.")
	flags.StringVar(&c.colour, "color", env("TANDEM_COLOR", "auto"), "auto, always or never; NO_COLOR is heeded.")
	c.plaintext = env("TANDEM_INSECURE_GRPC", "")
	root.AddCommand(c.connectors(), c.links(), c.events(), c.resync(), c.explain(), c.preview(), c.diff(), c.test(), c.examples())
	for _, group := range root.Commands() {
		if group.HasSubCommands() {
			// Without this a word that is none of its commands would print help, and be no error.
			group.Args, group.SuggestionsMinimumDistance = unknownCommand, 2
			group.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
	}
	c.complete(root)
	return root
}

// plain takes in whether the environment asks for plaintext.
func (c *ctl) plain() error {
	if c.plaintext == "" {
		return nil
	}
	insecure, err := strconv.ParseBool(c.plaintext)
	if err != nil {
		return fmt.Errorf("%w, not %q", errPlaintext, c.plaintext)
	}
	// Certificates that are asked for by flags are meant.
	c.client.Insecure = c.client.Insecure || insecure && c.client.Files == (transport.Files{})
	return nil
}

// dial makes the connection when it is first needed.
func (c *ctl) dial() (*grpc.ClientConn, error) {
	if c.conn != nil {
		return c.conn, nil
	}
	dial := c.terminal.Dial
	if dial == nil {
		dial = func() (*grpc.ClientConn, error) {
			const largest = 16 << 20
			return transport.Dial(c.client, grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(largest)), grpc.WithDefaultServiceConfig(calls), grpc.WithDisableServiceConfig())
		}
	}
	conn, err := dial()
	if err != nil {
		if sentence, unreached := c.client.Unreached(err, flagNames()); unreached {
			return nil, &callError{sentence}
		}
		return nil, err
	}
	c.conn = conn
	return conn, nil
}

// flagNames are the flags that sentences about the way to sync-core name.
func flagNames() transport.Flags {
	return transport.Flags{Address: "--address", CA: "--ca-file", Name: "--server-name", Insecure: "--insecure-grpc", Certificate: "--cert-file and --key-file"}
}

// call makes one call of the API. What comes back is told in the API's own words.
func call[Client, Req, Resp any](
	ctx context.Context, c *ctl, client func(grpc.ClientConnInterface) Client,
	method func(Client, context.Context, Req, ...grpc.CallOption) (Resp, error), request Req,
) (Resp, error) {
	var none Resp
	conn, err := c.dial()
	if err != nil {
		return none, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	response, err := method(client(conn), ctx, request)
	if err != nil {
		return none, c.told(err)
	}
	return response, nil
}

// callError is a refusal in words for the terminal.
type callError struct{ text string }

func (e *callError) Error() string { return e.text }

// told gives an error of the API as a sentence, with what to do where the API can't know.
func (c *ctl) told(err error) error {
	if sentence, unreached := c.client.Unreached(err, flagNames()); unreached {
		return &callError{sentence}
	}
	state := status.Convert(err)
	text := state.Message()
	for _, detail := range state.Details() {
		if bad, is := detail.(*errdetails.BadRequest); is && len(bad.GetFieldViolations()) > 1 {
			lines := []string{"The request breaks these rules:"}
			for _, one := range bad.GetFieldViolations() {
				lines = append(lines, one.GetField()+": "+one.GetDescription())
			}
			text = strings.Join(lines, "\n  ")
		}
	}
	switch state.Code() {
	case codes.Aborted:
		text += " It was tried several times; try it again in a moment."
	case codes.Unauthenticated:
		if c.client.TokenFile == "" {
			text += " Give a token with --token-file."
		} else {
			text += " The token shown is that of " + c.client.TokenFile + "."
		}
	case codes.DeadlineExceeded:
		text = "sync-core did not answer within " + callTimeout.String() + "."
	case codes.Unimplemented:
		text = "sync-core does not know this call; it is older than this tandemctl."
	default:
	}
	return &callError{text}
}

// parent is the connector that a command is about, as connectors/{connector}.
func (c *ctl) parent(ctx context.Context) (string, error) {
	if c.connector != "" {
		return "connectors/" + strings.TrimPrefix(c.connector, "connectors/"), nil
	}
	all, err := call(ctx, c, tandemv1.NewConnectorServiceClient, tandemv1.ConnectorServiceClient.ListConnectors, &tandemv1.ListConnectorsRequest{PageSize: 2})
	if err != nil {
		return "", err
	}
	switch len(all.GetConnectors()) {
	case 0:
		return "", errNoConnector
	case 1:
	default:
		return "", errConnector
	}
	return all.GetConnectors()[0].GetName(), nil
}

// readText reads a file, or the standard input for "-".
func readText(path string) (string, error) {
	const most = 1 << 20
	file := os.Stdin
	if path != "-" {
		opened, err := os.Open(path)
		if err != nil {
			return "", fmt.Errorf("reading the file: %w", err)
		}
		defer func() { _ = opened.Close() }() // it was only read
		file = opened
	}
	content, err := io.ReadAll(io.LimitReader(file, most+1))
	if err != nil {
		return "", fmt.Errorf("reading the file: %w", err)
	}
	if len(content) > most {
		return "", fmt.Errorf("%w: %s is larger than 1 MiB", errArguments, path)
	}
	return string(content), nil
}
