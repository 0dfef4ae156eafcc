// Command sandbox runs a stand-in Azure DevOps and a stand-in Alvao on one listener, with a page at `/` that shows both
// side by side and lets a person work in them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/tandem-sync/tandem/services/sandbox"
	"github.com/tandem-sync/tandem/services/sandbox/alvao"
	"github.com/tandem-sync/tandem/services/sandbox/azuredevops"
)

// options are the command line; each can also be given by the environment.
type options struct {
	Listen        string        `default:"127.0.0.1:8090" env:"TANDEM_SANDBOX_LISTEN" help:"Address to listen on; port 0 takes any."`
	BaseURL       string        `name:"base-url" env:"TANDEM_SANDBOX_BASE_URL" help:"Scheme, host and port under which others reach it, if not the address listened on."`
	Token         string        `default:"${token}" env:"TANDEM_SANDBOX_TOKEN" help:"Personal access token that Azure DevOps takes."`
	AlvaoPassword string        `default:"${password}" env:"TANDEM_SANDBOX_ALVAO_PASSWORD" help:"Password of Alvao's application account ${login}."`
	Gateway       string        `env:"TANDEM_SANDBOX_GATEWAY" help:"Base URL of the gateway; given, both systems send their webhooks there."`
	Connector     string        `default:"development" env:"TANDEM_SANDBOX_CONNECTOR" help:"Connector's name in the webhooks' URLs."`
	SecretFile    string        `name:"hook-secret-file" type:"existingfile" env:"TANDEM_SANDBOX_HOOK_SECRET_FILE" help:"File with the hook secret that gateway and sync-core share."`
	Callback      bool          `help:"Let Azure DevOps call the path of Alvao's own connector, as Alvao's manual sets it up."`
	Field         bool          `name:"field-webhook" help:"Watch the status by one field webhook instead of one webhook for each status."`
	Application   bool          `help:"Switch on Alvao's companion application, which also tells of messages."`
	Bodies        bool          `help:"Let the application send the messages' contents."`
	RetryScale    float64       `default:"1" help:"Factor on the waits between Azure DevOps' retries."`
	HookDelay     time.Duration `default:"0s" help:"How late Azure DevOps sends its webhooks; the real ones come about 7s late."`
	Tickets       int           `default:"0" help:"Number of tickets to begin with."`
	Language      string        `enum:",en,cs" default:"" help:"Alvao's default language: en or cs."`
	Seed          uint64        `default:"1" help:"Seed of chance in faults and deliveries."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "sandbox:", err)
		os.Exit(1)
	}
}

// run serves until the context ends. It writes one line to stdout when it is ready.
func run(ctx context.Context, args []string, stdout io.Writer) error {
	var o options
	done := false
	parser, err := kong.New(&o, kong.Name("sandbox"), kong.Description("A stand-in Azure DevOps and a stand-in Alvao."),
		kong.Vars{"token": sandbox.Token, "password": sandbox.Password, "login": sandbox.Login},
		kong.Writers(stdout, stdout), kong.Exit(func(int) { done = true }))
	if err != nil {
		return fmt.Errorf("building command line: %w", err)
	}
	_, err = parser.Parse(args)
	if done {
		return nil // help was asked for
	}
	if err != nil {
		return fmt.Errorf("reading command line: %w", err)
	}
	return serve(ctx, o, stdout)
}

func serve(ctx context.Context, o options, stdout io.Writer) error {
	var secret []byte
	if o.Gateway != "" {
		if o.SecretFile == "" {
			return errors.New("--gateway needs --hook-secret-file")
		}
		var err error
		if secret, err = os.ReadFile(o.SecretFile); err != nil {
			return fmt.Errorf("reading hook secret: %w", err)
		}
	}
	box, err := sandbox.New(o.sandbox())
	if err != nil {
		return err //nolint:wrapcheck // it says what was done
	}
	defer func() { _ = box.Close() }()
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", o.Listen)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	base := o.BaseURL
	if base == "" {
		base = reachable(listener.Addr())
	}
	box.SetBaseURL(base)
	if o.Gateway != "" {
		h := sandbox.Hooks{
			Gateway: o.Gateway, Connector: o.Connector, Secret: string(secret), Callback: o.Callback, Field: o.Field,
			Application: o.Application, Bodies: o.Bodies,
		}
		if err := box.Connect(h); err != nil {
			_ = listener.Close()
			return err //nolint:wrapcheck // it says what was done
		}
	}
	if err := fill(ctx, box.Alvao, o.Tickets); err != nil {
		_ = listener.Close()
		return err
	}
	srv := &http.Server{Handler: box.Handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(listener) }()
	_, _ = fmt.Fprintf(stdout, "sandbox ready: page %s/ · Azure DevOps %s · Alvao %s\n", base, box.ProjectURL(), sandbox.AlvaoURL(base))
	select {
	case err := <-failed:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	// Event streams do not end by themselves, so the page goes first.
	box.Page.Close()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		_ = srv.Close()
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}

// reachable is the URL of a listener on this machine, also when it listens on all addresses.
func reachable(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return "http://" + addr.String()
	}
	host := tcp.IP.String()
	if tcp.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, strconv.Itoa(tcp.Port))
}

// sandbox makes the options of the stand-ins.
func (o options) sandbox() sandbox.Options {
	accounts := alvao.DefaultAccounts()
	accounts[0].Password = o.AlvaoPassword
	language := strings.TrimPrefix(o.Language, "en")
	return sandbox.Options{
		Seed:  o.Seed,
		Alvao: alvao.Options{Accounts: accounts, Tenant: alvao.Tenant{Language: language}},
		AzureDevOps: azuredevops.Options{
			Tokens: []azuredevops.Token{{Secret: o.Token, Owner: "tandem@contoso.com", Rights: azuredevops.AllRights}},
			Hooks:  azuredevops.Hooks{RetryScale: o.RetryScale, Delay: o.HookDelay},
		},
	}
}

// fill creates tickets to begin with, spread over the statuses before development.
func fill(ctx context.Context, desk *alvao.Server, n int) error {
	for i := range n {
		t := alvao.NewTicket{
			Name:        fmt.Sprintf("Sample ticket %d", i+1),
			Description: "<p>The report <b>Monthly sales</b> shows an empty page since the last update.</p>",
			Solver:      alvao.Solver,
		}
		if i%3 == 1 {
			t.Status = "Analysis"
		}
		if _, err := desk.CreateTicket(ctx, alvao.Requester, t); err != nil {
			return fmt.Errorf("creating sample ticket: %w", err)
		}
	}
	return nil
}
