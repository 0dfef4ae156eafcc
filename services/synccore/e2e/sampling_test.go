//go:build e2e

package e2e_test

import (
	"os"
	"regexp"
	"slices"
	"testing"

	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.yaml.in/yaml/v4"

	"github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/sandbox/stack"
)

// policy is a policy of the collector's tail sampling.
type policy struct {
	Name       string `yaml:"name"`
	Type       string `yaml:"type"`
	StatusCode struct {
		StatusCodes []string `yaml:"status_codes"`
	} `yaml:"status_code"`
	StringAttribute struct {
		Key    string   `yaml:"key"`
		Values []string `yaml:"values"`
	} `yaml:"string_attribute"`
	Condition struct {
		ErrorMode string   `yaml:"error_mode"`
		Span      []string `yaml:"span"`
	} `yaml:"ottl_condition"`
	Probabilistic struct {
		Percentage float64 `yaml:"sampling_percentage"`
	} `yaml:"probabilistic"`
}

// policies reads the example; its pipeline must name only parts that are there.
func policies(t *testing.T) []policy {
	t.Helper()
	raw, err := os.ReadFile("../../../deploy/otel-collector.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var example struct {
		Receivers  map[string]any       `yaml:"receivers"`
		Processors map[string]yaml.Node `yaml:"processors"`
		Exporters  map[string]any       `yaml:"exporters"`
		Service    struct {
			Pipelines map[string]struct{ Receivers, Processors, Exporters []string } `yaml:"pipelines"`
		} `yaml:"service"`
	}
	if err := yaml.Unmarshal(raw, &example); err != nil {
		t.Fatal(err)
	}
	traces := example.Service.Pipelines["traces"]
	for _, name := range traces.Receivers {
		if example.Receivers[name] == nil {
			t.Errorf("the pipeline receives from %s, which is not there", name)
		}
	}
	for _, name := range traces.Processors {
		if _, ok := example.Processors[name]; !ok {
			t.Errorf("the pipeline uses %s, which is not there", name)
		}
	}
	for _, name := range traces.Exporters {
		if example.Exporters[name] == nil {
			t.Errorf("the pipeline sends to %s, which is not there", name)
		}
	}
	var sampling struct {
		Policies []policy `yaml:"policies"`
	}
	node := example.Processors["tail_sampling"]
	if err := node.Decode(&sampling); err != nil || !slices.Contains(traces.Processors, "tail_sampling") {
		t.Fatalf("no tail sampling in the pipeline: %v", err)
	}
	return sampling.Policies
}

// TestTailSampling sees that what the collector's example looks for is in our traces: a
// misspelt name would drop what it was written to keep.
func TestTailSampling(t *testing.T) {
	t.Parallel()
	sink := collect(t)
	s := start(t, stack.Options{Collector: sink.url})
	ticket, workItem := develop(t, s, "Keep me")
	rest(t, s)
	if _, err := s.Box.Faults.Add(fault.Rule{ID: "away", Method: "PUT", Path: "/AlvaoRestApi/v1/tickets/*/state", Kind: fault.KindUnavailable}); err != nil {
		t.Fatal(err)
	}
	from := len(s.Core.Lines())
	setState(t, s, workItem, "Doing")
	awaitLine(t, s.Core, from, "a failed try", func(l stack.Line) bool {
		return l.Text("msg") == "sync.handled" && l.Text("outcome") == "retry"
	})
	s.Box.Faults.Remove("away")
	awaitStatus(t, s, ticket, "Development pending", patience)
	if err := s.Gateway.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := s.Core.Stop(); err != nil {
		t.Fatal(err)
	}

	seen := func(is func(span) bool) bool {
		sink.mu.Lock()
		defer sink.mu.Unlock()
		return slices.ContainsFunc(sink.all, is)
	}
	named := regexp.MustCompile(`\bname == "([^"]+)"`)
	kind := regexp.MustCompile(`\bkind == (\w+)`)
	kinds := map[string]bool{}
	for _, p := range policies(t) {
		kinds[p.Type] = true
		switch p.Type {
		case "status_code":
			if !slices.Equal(p.StatusCode.StatusCodes, []string{"ERROR"}) ||
				!seen(func(s span) bool { return s.GetStatus().GetCode() == trace.Status_STATUS_CODE_ERROR }) {
				t.Errorf("%s: no span failed, or others are asked for: %v", p.Name, p.StatusCode)
			}
		case "string_attribute":
			if !seen(func(s span) bool { return slices.Contains(p.StringAttribute.Values, s.text(p.StringAttribute.Key)) }) {
				t.Errorf("%s: no span has %s in %v", p.Name, p.StringAttribute.Key, p.StringAttribute.Values)
			}
		case "ottl_condition":
			for _, condition := range p.Condition.Span {
				name, of := named.FindStringSubmatch(condition), kind.FindStringSubmatch(condition)
				if name == nil && of == nil {
					t.Errorf("%s asks for neither a name nor a kind: %s", p.Name, condition)
				}
				if !seen(func(s span) bool {
					return (name == nil || s.GetName() == name[1]) && (of == nil || s.GetKind().String() == of[1])
				}) {
					t.Errorf("%s: no span fits %s", p.Name, condition)
				}
			}
		case "probabilistic":
			if p.Probabilistic.Percentage <= 0 {
				t.Errorf("%s keeps nothing", p.Name)
			}
		default:
			t.Errorf("%s is of the type %s, which is not checked here", p.Name, p.Type)
		}
	}
	for _, want := range []string{"status_code", "string_attribute", "ottl_condition", "probabilistic"} {
		if !kinds[want] {
			t.Errorf("there is no policy of the type %s", want)
		}
	}
}
