//go:build e2e

package e2e_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The demo passes, and breaking any of its steps makes it fail and say which.
func TestDemo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, fault, says string
	}{
		{"nothing broken", "", ""},
		{"creating", `2:{"method":"POST","path":"/azuredevops/*/*/_apis/wit/workitems/*","kind":"unavailable"}`, "step 2"},
		{"the external id", `2:{"method":"PATCH","path":"/AlvaoRestApi/v1/tickets/*","kind":"unavailable"}`, "step 2"},
		{"a ticket's status", `3:{"method":"PUT","path":"/AlvaoRestApi/v1/tickets/*/state","kind":"unavailable"}`, "step 3"},
		{"the next status", `4:{"method":"PUT","path":"/AlvaoRestApi/v1/tickets/*/state","kind":"unavailable"}`, "step 4"},
		{"a work item's state", `5:{"method":"PATCH","path":"/azuredevops/**","kind":"unavailable"}`, "step 5"},
		{"the mail server", `7:{"method":"SMTP","path":"/mail/**","kind":"unavailable"}`, "step 7"},
		{"a mail that is not taken", `7:{"method":"SMTP","path":"/mail/recipient","kind":"status","status":550}`, "step 7"},
		{"Teams", `7:{"path":"/teams/**","kind":"unavailable"}`, "step 7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			args := []string{}
			if c.fault != "" {
				args = append(args, "--patience", "3s", "--fault", c.fault)
			}
			out, err := exec.CommandContext(ctx, filepath.Join(bin, "demo"), args...).CombinedOutput()
			text := string(out)
			switch {
			case c.says == "" && (err != nil || !strings.Contains(text, "steps held")):
				t.Errorf("failed: %v\n%s", err, text)
			case c.says != "" && (err == nil || !strings.Contains(text, "demo: "+c.says)):
				t.Errorf("broken, yet it ended with %v and\n%s", err, text)
			}
		})
	}
}
