package ctl

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"
	"google.golang.org/protobuf/encoding/protojson"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
)

func (c *ctl) preview() *cobra.Command {
	settings, sample := "", ""
	cmd := &cobra.Command{
		Use: "preview [TICKET]", Short: "Render the work item that would be created. Nothing is written.", Args: cobra.MaximumNArgs(1),
		Example: "  tandemctl preview 1001\n  tandemctl preview 1001 --settings draft.json\n  tandemctl preview --sample '{title: A printer, status: Development}'",
	}
	cmd.Flags().StringVar(&settings, "settings", "", "File with connector settings to use in place of the connector's; - is the standard input.")
	cmd.Flags().StringVar(&sample, "sample", "", "A made-up ticket as YAML or JSON, in place of the number of one.")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		request, err := c.previewRequest(cmd, settings)
		if err != nil {
			return err
		}
		switch {
		case len(args) == 1 && sample == "":
			if request.TicketId, err = strconv.ParseInt(args[0], 10, 64); err != nil {
				return fmt.Errorf("%w: %q is no ticket number", errArguments, args[0])
			}
		case len(args) == 0 && sample != "":
			request.Sample = &tandemv1.SampleTicket{}
			if err := decode([]byte(sample), request.Sample); err != nil {
				return fmt.Errorf("%w: --sample is no ticket: %s", errArguments, plainProto(err))
			}
		default:
			return fmt.Errorf("%w: give the number of a ticket, or --sample", errArguments)
		}
		got, err := call(cmd.Context(), c, tandemv1.NewConnectorServiceClient, tandemv1.ConnectorServiceClient.PreviewWorkItem, request)
		if err != nil {
			return err
		}
		if err := c.show(got, func() { c.previewed(got) }); err != nil {
			return err
		}
		return worst(got.GetWarnings())
	}
	return cmd
}

func (c *ctl) previewRequest(cmd *cobra.Command, settings string) (*tandemv1.PreviewWorkItemRequest, error) {
	name, err := c.parent(cmd.Context())
	if err != nil {
		return nil, err
	}
	request := &tandemv1.PreviewWorkItemRequest{Name: name}
	if settings != "" {
		request.Settings, err = readText(settings)
	}
	return request, err
}

func (c *ctl) previewed(got *tandemv1.PreviewWorkItemResponse) {
	reporter := got.GetReporter()
	if reporter == "" {
		reporter = "the access token's account"
	}
	c.say("A %s for ticket %d, reported by %s, %s\n", got.GetType(), got.GetTicketId(), reporter, way(got.GetStates()))
	var rows [][]string
	for _, f := range got.GetFields() {
		rows = append(rows, []string{f.GetReference(), f.GetValue()})
	}
	rows = append(rows, []string{"(tag)", got.GetTag()}, []string{"(hyperlink)", got.GetTicketUrl()})
	c.table("", []string{"FIELD", "VALUE"}, rows)
	if len(got.GetWarnings()) > 0 {
		c.say("")
		c.findings(got.GetWarnings())
	}
}

func way(states []string) string {
	switch len(states) {
	case 0:
		return "which would not be created."
	case 1:
		return "created in " + states[0] + "."
	default:
		return "created in " + states[0] + " and moved to " + strings.Join(states[1:], ", ") + "."
	}
}

func (c *ctl) diff() *cobra.Command {
	var days, limit int32
	cmd := &cobra.Command{
		Use: "diff SETTINGS-FILE", Short: "Tell what other settings would have written differently for recent tickets. Nothing is written.", Args: cobra.ExactArgs(1),
		Example: "  tandemctl diff draft.json --days 30",
	}
	cmd.Flags().Int32Var(&days, "days", 7, "How far back tickets must have been active.")
	cmd.Flags().Int32Var(&limit, "limit", 100, "How many tickets at most.")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name, err := c.parent(cmd.Context())
		if err != nil {
			return err
		}
		settings, err := readText(args[0])
		if err != nil {
			return err
		}
		got, err := call(cmd.Context(), c, tandemv1.NewConnectorServiceClient, tandemv1.ConnectorServiceClient.DiffMapping,
			&tandemv1.DiffMappingRequest{Name: name, Settings: settings, Days: days, TicketLimit: limit})
		if err != nil {
			return err
		}
		return c.show(got, func() {
			var rows [][]string
			for _, one := range got.GetDifferences() {
				rows = append(rows, []string{number(one.GetTicketId()), one.GetField(), orNothing(one.GetPresent()), orNothing(one.GetDraft())})
			}
			c.table("Nothing would be different.", []string{"TICKET", "FIELD", "NOW", "WITH THE DRAFT"}, rows)
			c.say("%d of %d tickets differ.", got.GetDifferingCount(), got.GetTicketCount())
			if got.GetTruncated() {
				c.say("There are more tickets; give a greater --limit.")
			}
		})
	}
	return cmd
}

func orNothing(value string) string {
	if value == "" {
		return "–"
	}
	return value
}

func (c *ctl) examples() *cobra.Command {
	return &cobra.Command{Use: "examples", Short: "Show a few items of both systems as they are sent, secrets masked.", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		name, err := c.parent(cmd.Context())
		if err != nil {
			return err
		}
		got, err := call(cmd.Context(), c, tandemv1.NewConnectorServiceClient, tandemv1.ConnectorServiceClient.ListExamples, &tandemv1.ListExamplesRequest{Name: name})
		if err != nil {
			return err
		}
		if c.output == tableOutput {
			c.output = yamlOutput
		}
		return c.show(got, func() {})
	}}
}

// mappingTest is one test of a file.
type mappingTest struct {
	// Name is what it is called.
	Name string `yaml:"name"`
	// Given is a SampleTicket.
	Given yaml.Node `yaml:"given"`
	// Expect is what the work item must be like.
	Expect struct {
		Type     *string           `yaml:"type"`
		Reporter *string           `yaml:"reporter"`
		State    *string           `yaml:"state"`
		Fields   map[string]string `yaml:"fields"`
		Warnings *int              `yaml:"warnings"`
	} `yaml:"expect"`
}

func (c *ctl) test() *cobra.Command {
	settings := ""
	cmd := &cobra.Command{
		Use: "test FILE...", Short: "Run tests of a mapping: given a ticket, expect a work item. Exit code 1: one failed.", Args: cobra.MinimumNArgs(1),
		Example: `  tandemctl test mapping-tests.yaml --settings settings.json

  # mapping-tests.yaml
  - name: a printer becomes a task
    given: {title: Printer is on fire, status: Development}
    expect:
      type: Task
      state: To Do
      fields: {System.Title: Printer is on fire}`,
	}
	cmd.Flags().StringVar(&settings, "settings", "", "File with connector settings to test in place of the connector's.")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		base, err := c.previewRequest(cmd, settings)
		if err != nil {
			return err
		}
		results := []testResult{}
		failed := 0
		for _, path := range args {
			content, err := readText(path)
			if err != nil {
				return err
			}
			var tests []mappingTest
			if err := yaml.Load([]byte(content), &tests, yaml.WithKnownFields()); err != nil {
				return fmt.Errorf("%w: %s is no list of tests as in 'tandemctl test --help': %s", errArguments, path, plainYAML(err))
			}
			for _, one := range tests {
				wrong, err := c.runTest(cmd, base, one)
				if err != nil {
					return fmt.Errorf("test %q of %s: %w", one.Name, path, err)
				}
				if len(wrong) > 0 {
					failed++
				}
				results = append(results, testResult{File: path, Name: one.Name, Passed: len(wrong) == 0, Wrong: wrong})
			}
		}
		if err := c.tested(results, failed); err != nil {
			return err
		}
		if failed > 0 {
			return ErrShown
		}
		return nil
	}
	return cmd
}

// testResult is what came of a test.
type testResult struct {
	File   string   `json:"file"            yaml:"file"`
	Name   string   `json:"name"            yaml:"name"`
	Passed bool     `json:"passed"          yaml:"passed"`
	Wrong  []string `json:"wrong,omitempty" yaml:"wrong,omitempty"`
}

func (c *ctl) tested(results []testResult, failed int) error {
	switch c.output {
	case jsonOutput:
		encoder := json.NewEncoder(c.terminal.Out)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		return encoder.Encode(results)
	case yamlOutput:
		text, err := yaml.Marshal(results)
		if err != nil {
			return fmt.Errorf("writing the results: %w", err)
		}
		_, err = c.terminal.Out.Write(text)
		return err
	}
	rows := make([][]string, 0, len(results))
	for _, one := range results {
		verdict := "pass"
		if !one.Passed {
			verdict = "fail"
		}
		rows = append(rows, []string{c.state(verdict), one.Name, strings.Join(one.Wrong, "\n")})
	}
	c.table("There are no tests.", []string{"RESULT", "TEST", "WHAT"}, rows)
	c.say("%d of %d failed.", failed, len(rows))
	return nil
}

// plainYAML is an error of YAML without the names of our types.
func plainYAML(err error) string {
	text := strings.TrimPrefix(err.Error(), "yaml: construct errors: ")
	text = strings.ReplaceAll(text, " not found in type ctl.mappingTest", " is not known")
	text = strings.ReplaceAll(text, "cannot construct !!map into []ctl.mappingTest", "a list is wanted")
	return strings.TrimSpace(text)
}

// runTest tells what a test finds wrong.
func (c *ctl) runTest(cmd *cobra.Command, base *tandemv1.PreviewWorkItemRequest, one mappingTest) ([]string, error) {
	request := &tandemv1.PreviewWorkItemRequest{Name: base.GetName(), Settings: base.GetSettings(), Sample: &tandemv1.SampleTicket{}}
	given, err := yaml.Marshal(&one.Given)
	if err == nil {
		err = decode(given, request.GetSample())
	}
	if err != nil {
		return nil, fmt.Errorf("%w: given is no ticket: %s", errArguments, plainProto(err))
	}
	got, err := call(cmd.Context(), c, tandemv1.NewConnectorServiceClient, tandemv1.ConnectorServiceClient.PreviewWorkItem, request)
	if err != nil {
		return nil, err
	}
	var wrong []string
	compare := func(what string, want *string, is string) {
		if want != nil && *want != is {
			wrong = append(wrong, fmt.Sprintf("%s is %q, want %q", what, is, *want))
		}
	}
	state := ""
	if states := got.GetStates(); len(states) > 0 {
		state = states[len(states)-1]
	}
	compare("type", one.Expect.Type, got.GetType())
	compare("reporter", one.Expect.Reporter, got.GetReporter())
	compare("state", one.Expect.State, state)
	values := map[string]string{}
	for _, f := range got.GetFields() {
		values[f.GetReference()] = f.GetValue()
	}
	for _, field := range sortedKeys(one.Expect.Fields) {
		want := one.Expect.Fields[field]
		compare(field, &want, values[field])
	}
	if want := one.Expect.Warnings; want != nil && *want != len(got.GetWarnings()) {
		wrong = append(wrong, fmt.Sprintf("%d warnings, want %d", len(got.GetWarnings()), *want))
		for _, warning := range got.GetWarnings() {
			wrong = append(wrong, warning.GetDetail())
		}
	}
	return wrong, nil
}

var protoPlace = regexp.MustCompile(`^proto:[\s\x{a0}]*(\(line \d+:\d+\):[\s\x{a0}]*)?`)

// plainProto is an error of protojson without the place in a text that nobody wrote.
func plainProto(err error) string { return protoPlace.ReplaceAllString(err.Error(), "") }

// decode reads a ticket written as YAML or JSON; names may be as in JSON or as in the
// protos, and unknown ones are refused.
func decode(content []byte, into *tandemv1.SampleTicket) error {
	var value map[string]any
	if err := yaml.Unmarshal(content, &value); err != nil {
		return err
	}
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return protojson.Unmarshal(text, into)
}
