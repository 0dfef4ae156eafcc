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
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/synccore/internal/transport"
)

// ErrShown ends a command whose answer, which was printed, says that all is not well.
var ErrShown = errors.New("the answer says that all is not well")

var (
	errOutput    = errors.New("--output must be table, json or yaml")
	errConnector = errors.New("name a connector with --connector or TANDEM_CONNECTOR, since there is not exactly one")
	errArguments = errors.New("the arguments are wrong")
)

// Terminal is where a command runs.
type Terminal struct {
	Out, Err io.Writer
	Env      func(name string) string
	Version  string
	// Dial replaces the connection in tests; nil: the flags decide.
	Dial func() (*grpc.ClientConn, error)
}

// callTimeout bounds each call but a watch. A check asks both vendors.
const callTimeout = 60 * time.Second

// ctl is one run.
type ctl struct {
	terminal  Terminal
	client    transport.Client
	output    string
	colour    string
	connector string
	conn      *grpc.ClientConn
}

// Run runs one command. An error is for people; ErrShown needs no more words.
func Run(ctx context.Context, args []string, terminal Terminal) error {
	c := &ctl{terminal: terminal}
	root := c.root() //nolint:contextcheck // cobra hands ctx over
	root.SetArgs(args)
	root.SetOut(terminal.Out)
	root.SetErr(terminal.Err)
	err := root.ExecuteContext(ctx)
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
			switch c.output {
			case tableOutput, jsonOutput, yamlOutput:
				return nil
			default:
				return fmt.Errorf("%w, not %q", errOutput, c.output)
			}
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
	flags.BoolVar(&c.client.Insecure, "insecure-grpc", env("TANDEM_INSECURE_GRPC", "") == "true", "Go in plaintext, as to the demonstration; TANDEM_INSECURE_GRPC=true.")
	flags.StringVarP(&c.connector, "connector", "c", env("TANDEM_CONNECTOR", ""), "Connector; TANDEM_CONNECTOR. May be left out where there is only one.")
	flags.StringVarP(&c.output, "output", "o", env("TANDEM_OUTPUT", tableOutput), "table, json or yaml; TANDEM_OUTPUT.")
	flags.StringVar(&c.colour, "color", env("TANDEM_COLOR", "auto"), "auto, always or never; NO_COLOR is heeded.")
	root.AddCommand(c.connectors(), c.links(), c.events(), c.resync(), c.explain(), c.preview(), c.diff(), c.test(), c.examples())
	return root
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
			return transport.Dial(c.client, grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(largest)))
		}
	}
	conn, err := dial()
	c.conn = conn
	return conn, err
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
	state := status.Convert(err)
	text := state.Message()
	switch state.Code() {
	case codes.Unavailable:
		if strings.Contains(text, "connection") || strings.Contains(text, "transport") || strings.Contains(text, "authentication handshake") {
			text = "sync-core can't be reached at " + c.client.Target + " (" + text + "). Check --address; where it serves in plaintext, give --insecure-grpc."
		}
	case codes.Unauthenticated:
		text += " Give a token with --token-file."
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
	if len(all.GetConnectors()) != 1 {
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
	content, err := io.ReadAll(io.LimitReader(file, most))
	if err != nil {
		return "", fmt.Errorf("reading the file: %w", err)
	}
	return string(content), nil
}
