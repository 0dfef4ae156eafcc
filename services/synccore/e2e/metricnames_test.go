//go:build e2e

package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/tandem-sync/tandem/services/sandbox/stack"
)

// query is an expression of PromQL with the place where it stands.
type query struct{ where, text string }

// ruleQueries reads the alerts and recording rules; it also gives what these record.
func ruleQueries(t *testing.T) ([]query, []string) {
	t.Helper()
	raw, err := os.ReadFile("../../../deploy/helm/tandem/files/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert  string `yaml:"alert"`
				Record string `yaml:"record"`
				Expr   string `yaml:"expr"`
			} `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	var queries []query
	var recorded []string
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			queries = append(queries, query{"rule " + rule.Alert + rule.Record, rule.Expr})
			if rule.Record != "" {
				recorded = append(recorded, rule.Record)
			}
		}
	}
	return queries, recorded
}

// panelQueries reads the dashboards.
func panelQueries(t *testing.T) []query {
	t.Helper()
	files, err := filepath.Glob("../../../deploy/helm/tandem/files/dashboards/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dashboards: %v", err)
	}
	var queries []query
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var board struct {
			Title  string `json:"title"`
			Panels []struct {
				Title   string `json:"title"`
				Targets []struct {
					Expr string `json:"expr"`
				} `json:"targets"`
			} `json:"panels"`
			Templating struct {
				List []struct {
					Query any `json:"query"`
				} `json:"list"`
			} `json:"templating"`
		}
		if err := json.Unmarshal(raw, &board); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, panel := range board.Panels {
			for _, target := range panel.Targets {
				queries = append(queries, query{board.Title + ", " + panel.Title, target.Expr})
			}
		}
		for _, variable := range board.Templating.List {
			if inner, ok := variable.Query.(map[string]any); ok {
				// label_values(metric, label) asks for a label of a metric.
				text := regexp.MustCompile(`label_values\((\w+), (\w+)\)`).ReplaceAllString(fmt.Sprint(inner["query"]), `$1{$2=""}`)
				queries = append(queries, query{board.Title + ", variable", text})
			}
		}
	}
	return queries
}

var (
	quoted    = regexp.MustCompile(`"[^"]*"`)
	rangeOf   = regexp.MustCompile(`\[[^\]]*\]`)
	labelList = regexp.MustCompile(`\b(?:by|without|on|ignoring)\s*\(([^)]*)\)`)
	selector  = regexp.MustCompile(`([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(\{[^}]*\})?(\s*\()?`)
	labelName = regexp.MustCompile(`(\w+)\s*(?:=|!)`)
	operators = []string{"and", "or", "unless"}
)

// used gives the metrics of an expression with the labels that are asked of each.
func used(text string) map[string][]string {
	text = rangeOf.ReplaceAllString(quoted.ReplaceAllString(text, `""`), "")
	text = labelList.ReplaceAllString(text, "")
	found := map[string][]string{}
	for _, m := range selector.FindAllStringSubmatch(text, -1) {
		name, labels, call := m[1], m[2], m[3]
		if call != "" || slices.Contains(operators, name) {
			continue
		}
		for _, label := range labelName.FindAllStringSubmatch(labels, -1) {
			found[name] = append(found[name], label[1])
		}
		found[name] = append(found[name], "")
	}
	return found
}

// samples are a scrape's lines by the name of the metric.
type samples map[string]string

// has tells whether any of the metrics has the label.
func (s samples) has(metrics map[string][]string, label string) bool {
	for metric := range metrics {
		if strings.Contains(s[metric], label+`="`) {
			return true
		}
	}
	return false
}

// limitOf finds the limits of buckets that an expression asks for.
var limitOf = regexp.MustCompile(`\ble(=~?)"([^"]*)"`)

// hasLimit tells whether one of the metrics has a bucket with such a limit.
func (s samples) hasLimit(metrics map[string][]string, sign, limit string) bool {
	if sign == "=" {
		limit = regexp.QuoteMeta(limit)
	}
	sought := regexp.MustCompile(`[{,]le="(?:` + limit + `)"`)
	for metric := range metrics {
		if sought.MatchString(s[metric]) {
			return true
		}
	}
	return false
}

// scrape reads the metrics of both programs in a format that Prometheus asks for.
func scrape(t *testing.T, s *stack.Stack, format string) samples {
	t.Helper()
	told := samples{}
	for _, admin := range []string{s.CoreAdmin, s.GatewayAdmin} {
		status, body, _ := send(t, http.MethodGet, admin+"/metrics", "", func(r *http.Request) { r.Header.Set("Accept", format) })
		if status != http.StatusOK {
			t.Fatalf("metrics answer %d", status)
		}
		for line := range strings.Lines(body) {
			if name := regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*`).FindString(line); name != "" {
				told[name] += line
			}
		}
	}
	return told
}

// addedByScraper are the labels that Prometheus adds to every sample.
var addedByScraper = []string{"job", "instance"}

// TestMetricNames sees that each metric and label that a rule or a panel asks for is told
// by the running programs: a misspelt name would make an alert that never fires.
func TestMetricNames(t *testing.T) {
	t.Parallel()
	s := start(t, stack.Options{})
	_, workItem := develop(t, s, "Measure me")
	setState(t, s, workItem, "Doing")
	rest(t, s)
	told := scrape(t, s, "text/plain")
	// What Prometheus prefers; limits of buckets read otherwise there.
	open := scrape(t, s, "application/openmetrics-text;version=1.0.0")
	rules, recorded := ruleQueries(t)
	all := slices.Concat(rules, panelQueries(t))
	checked := 0
	for _, q := range all {
		metrics := used(q.text)
		for _, limit := range limitOf.FindAllStringSubmatch(q.text, -1) {
			if !told.hasLimit(metrics, limit[1], limit[2]) || !open.hasLimit(metrics, limit[1], limit[2]) {
				t.Errorf("%s asks for %s, which no bucket has in each of the two formats", q.where, limit[0])
			}
		}
		for _, list := range labelList.FindAllStringSubmatch(q.text, -1) {
			for label := range strings.SplitSeq(list[1], ",") {
				if label = strings.TrimSpace(label); label != "" && !told.has(metrics, label) {
					t.Errorf("%s parts by the label %s, which none of its metrics has", q.where, label)
				}
			}
		}
		for metric, labels := range metrics {
			checked++
			if slices.Contains(recorded, metric) {
				continue
			}
			lines, ok := told[metric]
			if !ok {
				t.Errorf("%s asks for %s, which no program tells", q.where, metric)
				continue
			}
			for _, label := range labels {
				if label != "" && !slices.Contains(addedByScraper, label) && !strings.Contains(lines, label+`="`) {
					t.Errorf("%s asks for the label %s, which %s has not", q.where, label, metric)
				}
			}
		}
	}
	if checked < len(all) {
		t.Errorf("%d metrics were found in %d expressions", checked, len(all))
	}
}
