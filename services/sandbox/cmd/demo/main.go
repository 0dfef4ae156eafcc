// Command demo starts Tandem's two programs and both stand-in systems, plays the
// example process of Alvao's manual through real webhooks and gRPC, prints the story
// as it happens and checks each step. It exits 0 only if all held. With --keep, all
// stays up afterwards, with a page that shows both systems.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/sandbox/stack"
)

type options struct {
	Keep      bool          `help:"Keep everything running afterwards, with a page that shows both systems."`
	Bin       string        `type:"path" help:"Folder with the programs gateway and synccore; default: where this program is."`
	Redis     string        `default:"embedded" env:"TANDEM_REDIS" help:"Redis for sync-core, e.g. redis://127.0.0.1:6379/0; embedded forgets everything at the end."`
	Collector string        `name:"otlp-endpoint" env:"TANDEM_OTLP_ENDPOINT" help:"OTLP/gRPC collector for traces, e.g. http://127.0.0.1:4317."`
	Patience  time.Duration `default:"15s" help:"How long a step may take before it counts as failed."`
	Fault     []string      `sep:"none" help:"Plant a fault in the stand-in systems before the story, as JSON, e.g. {\"method\":\"PUT\",\"kind\":\"unavailable\"}, of kind pass (with a delay), throttle, unavailable, status, sign-in, cut or lost-reply; with a number and a colon in front, before that step."`
	NoHooks   bool          `help:"Enter no webhooks at the stand-in systems: Tandem then hears of changes by polling, which is too late for the story."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var o options
	helped := false
	parser, err := kong.New(&o, kong.Name("demo"), kong.Description("Plays the example process through both programs."),
		kong.Writers(out, out), kong.Exit(func(int) { helped = true }))
	if err != nil {
		return fmt.Errorf("reading the command line: %w", err)
	}
	_, err = parser.Parse(args)
	if helped {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the command line: %w", err)
	}
	if o.Bin == "" {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("finding the programs: %w", err)
		}
		o.Bin = filepath.Dir(self)
	}
	dir, err := os.MkdirTemp("", "tandem-demo-")
	if err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	err = play(ctx, o, dir, out)
	if err != nil {
		return fmt.Errorf("%w (logs in %s)", err, dir)
	}
	return os.RemoveAll(dir)
}

func play(ctx context.Context, o options, dir string, out io.Writer) (err error) {
	began := time.Now() //nolint:forbidigo // the story tells how long the start takes
	settings := stack.Options{
		Bin: o.Bin, Dir: dir, Redis: o.Redis, Collector: o.Collector, NoHooks: o.NoHooks, Notices: true,
		// Alvao has no webhook for a new message, so polls find it.
		Connector: "    pollInterval: 1s\n",
	}
	if o.NoHooks {
		settings.Connector = "" // the usual interval, or polls would tell the story
	}
	if o.Keep {
		settings.SandboxListen, settings.GatewayListen, settings.CoreListen = "127.0.0.1:8090", "127.0.0.1:8080", "127.0.0.1:9000"
	}
	starting, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	s, err := stack.Start(starting, settings)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	faults, err := readFaults(o.Fault)
	if err != nil {
		return err
	}
	t := teller{out: out, stack: s, patience: o.Patience, faults: faults}
	t.say("Tandem is up after %s: gateway %s, sync-core %s, both stand-in systems %s", round(time.Since(began)), s.GatewayURL, s.CoreAddr, s.PageURL)
	if err := t.story(ctx); err != nil {
		return err
	}
	if !o.Keep {
		return nil
	}
	t.say("")
	t.say("Open %s/ : change a ticket's status on the left, or a work item's state on the right.", s.PageURL)
	t.say("The API is at %s/v1/connectors and, over gRPC, at %s. Metrics are at %s/metrics and %s/metrics, logs in %s. Ctrl-C ends everything.",
		s.GatewayURL, s.CoreAddr, s.GatewayAdmin, s.CoreAdmin, dir)
	<-ctx.Done()
	return nil
}

// readFaults reads rules by the step before which they are planted.
func readFaults(texts []string) (map[int][]fault.Rule, error) {
	rules := map[int][]fault.Rule{}
	for _, text := range texts {
		step := 1
		if number, rest, ok := strings.Cut(text, ":"); ok {
			if n, err := strconv.Atoi(number); err == nil {
				step, text = n, rest
			}
		}
		var rule fault.Rule
		if err := json.Unmarshal([]byte(text), &rule); err != nil {
			return nil, fmt.Errorf("reading the fault %s: %w", text, err)
		}
		// What can't be planted is told now, not in the middle of the story.
		if _, err := fault.NewSet(1).Add(rule); err != nil {
			return nil, fmt.Errorf("reading the fault %s: %w", text, err)
		}
		rules[step] = append(rules[step], rule)
	}
	return rules, nil
}
