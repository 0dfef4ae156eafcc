package check_test

import (
	"os"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// read decodes a YAML file.
func read[T any](t *testing.T, file string) T {
	t.Helper()
	var value T
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(raw, &value); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return value
}

// TestAlertsAreTested sees that each alert has a test that causes and then clears it, and
// a section in the guide that its annotation leads to.
func TestAlertsAreTested(t *testing.T) {
	t.Parallel()
	rules := read[struct {
		Groups []struct {
			Rules []struct {
				Alert       string            `json:"alert"`
				Annotations map[string]string `json:"annotations"`
			} `json:"rules"`
		} `json:"groups"`
	}](t, "../helm/tandem/files/rules.yaml")
	tests := read[struct {
		Tests []struct {
			Cases []struct {
				Alert string `json:"alertname"`
				Fires []any  `json:"exp_alerts"`
			} `json:"alert_rule_test"`
		} `json:"tests"`
	}](t, "../prometheus/rules_test.yaml")
	guide, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	// fired and cleared hold the alerts that fire, and that do not any more after that.
	fired, cleared := map[string]bool{}, map[string]bool{}
	for _, test := range tests.Tests {
		now := map[string]bool{}
		for _, c := range test.Cases {
			if len(c.Fires) > 0 {
				fired[c.Alert], now[c.Alert] = true, true
			} else if now[c.Alert] {
				cleared[c.Alert] = true
			}
		}
	}
	alerts := 0
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			if rule.Alert == "" {
				continue
			}
			alerts++
			if !fired[rule.Alert] || !cleared[rule.Alert] {
				t.Errorf("%s: a test causes it: %t, and clears it: %t", rule.Alert, fired[rule.Alert], cleared[rule.Alert])
			}
			if !strings.Contains(string(guide), "\n#### "+rule.Alert+"\n") {
				t.Errorf("%s has no section in the guide", rule.Alert)
			}
			if at := "deploy/README.md#" + strings.ToLower(rule.Alert); !strings.HasSuffix(rule.Annotations["runbook_url"], at) {
				t.Errorf("%s leads to %q, not to %s", rule.Alert, rule.Annotations["runbook_url"], at)
			}
		}
	}
	if alerts < 10 {
		t.Errorf("there are %d alerts", alerts)
	}
}
