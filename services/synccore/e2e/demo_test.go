//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// demo runs the demonstration as `make demo` does, and returns what it says on both
// streams.
func demo(t *testing.T, args ...string) (string, string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, filepath.Join(programs, "demo"), args...)
	command.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	err := command.Run()
	return out.String(), errs.String(), err
}

func TestDemo(t *testing.T) {
	t.Parallel()
	out, errs, err := demo(t, "--patience", patience.String())
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, errs)
	}
	for _, want := range []string{
		"2. The ticket enters Development",
		"✓ one work item of type Task exists, in the type's first state",
		"✓ its title is the ticket's",
		"✓ its description is the ticket's message, as rich text",
		"✓ its hyperlink leads back to the ticket",
		"✓ the ticket carries the work item's number",
		"✓ the ticket follows to Development pending",
		"✓ the ticket follows to Testing",
		"✓ the work item follows to To Do",
		"✓ both sides are in step, and Tandem wrote no more than needed",
		"✓ her message stands as one comment, with her name",
		"✓ the comment stands in the ticket's log once, not shown to the requester",
		"✓ the ticket's solver was told by e-mail, once, with links to both",
		"✓ and in Teams, once",
		"All 8 steps held",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the story does not tell %q:\n%s", want, out)
		}
	}
	timed := regexp.MustCompile(`\d(µs|ms|s)$`)
	for line := range strings.Lines(out) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "✓") && !timed.MatchString(line) {
			t.Errorf("the line does not tell its time: %q", line)
		}
	}
}

// TestDemoNamesWhatBroke breaks each step that depends on a system's answers; the first
// one only opens a ticket, which no fault of an API can hinder.
func TestDemoNamesWhatBroke(t *testing.T) {
	t.Parallel()
	const (
		enters  = `^demo: step 2, The ticket enters Development: expected that `
		unstep  = `"kind":"unavailable"}`
		workers = `"path":"/azuredevops/**/workitems/*",`
	)
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"nothing can be read": {
			[]string{"--fault", `{"method":"GET","path":"/AlvaoRestApi/v1/tickets/*",` + unstep},
			`^demo: step 1, Jana opens a ticket in Alvao: .*: expected that Tandem looks at it`,
		},
		"work items can't be created": {
			[]string{"--fault", `{"method":"POST","path":"/azuredevops/**/workitems/$*",` + unstep},
			enters + `one work item of type Task exists`,
		},
		"work items are refused": {
			[]string{"--fault", `{"method":"POST","path":"/azuredevops/**/workitems/$*","kind":"status","status":400,"body":"{\"message\":\"TF401320: Rule Error\"}"}`},
			enters + `one work item of type Task exists`,
		},
		"the token is refused": {
			[]string{"--fault", `2:{"path":"/azuredevops/**","kind":"sign-in"}`},
			enters + `one work item of type Task exists`,
		},
		"the log can't be read": {
			[]string{"--fault", `{"method":"GET","path":"/AlvaoRestApi/v1/tickets/*/log","kind":"status","status":404}`},
			enters + `its description is the ticket's message, as rich text, but its description is `,
		},
		"the external id can't be written": {
			[]string{"--fault", `{"method":"PATCH","path":"/AlvaoRestApi/v1/tickets/*",` + unstep},
			enters + `the ticket carries the work item's number, but its external id is `,
		},
		"the first status can't be set": {
			[]string{"--fault", `{"method":"PUT","path":"/AlvaoRestApi/v1/tickets/*/state",` + unstep},
			`^demo: step 3, The developer moves the work item to Doing: expected that the ticket follows to Development pending, but it is in Development`,
		},
		"the second status can't be set": {
			[]string{"--fault", `4:{"method":"PUT","path":"/AlvaoRestApi/v1/tickets/*/state",` + unstep},
			`^demo: step 4, The developer moves the work item to Done: expected that the ticket follows to Testing, but it is in Development pending`,
		},
		"the state can't be set": {
			[]string{"--fault", `{"method":"PATCH",` + workers + unstep},
			`^demo: step 5, Testing fails: the ticket goes back to Development: expected that the work item follows to To Do, but it is in Done`,
		},
		"comments can't be written": {
			[]string{"--fault", `6:{"method":"POST","path":"/azuredevops/**/comments",` + unstep},
			`^demo: step 6, Jana writes a message, with a file: expected that her message stands as one comment`,
		},
		"files can't be attached": {
			[]string{"--fault", `6:{"method":"POST","path":"/azuredevops/**/attachments",` + unstep},
			`^demo: step 6, Jana writes a message, with a file: expected that her message stands as one comment`,
		},
		"records can't be written": {
			[]string{"--fault", `7:{"method":"POST","path":"/AlvaoRestApi/v1/tickets/*/**",` + unstep},
			`^demo: step 7, The developer comments, and attaches a file: expected that the comment stands`,
		},
		"the mail server is away": {
			[]string{"--fault", `7:{"method":"SMTP","path":"/mail/**",` + unstep},
			`^demo: step 7, The developer comments, and attaches a file: expected that the ticket's solver was told by e-mail, once, with links to both, but there are 0 mails`,
		},
		"the solver's address is refused": {
			[]string{"--fault", `7:{"method":"SMTP","path":"/mail/recipient","kind":"status","status":550}`},
			`^demo: step 7, The developer comments, and attaches a file: expected that the ticket's solver was told by e-mail`,
		},
		"Teams is away": {
			[]string{"--fault", `7:{"path":"/teams/**",` + unstep},
			`^demo: step 7, The developer comments, and attaches a file: expected that and in Teams, once, but there are 0 cards`,
		},
		"the last look fails": {
			[]string{"--fault", `8:{"method":"GET",` + workers + unstep},
			`^demo: step 8, A person asks Tandem to look at the ticket once more: (expected that both sides are in step|waiting for Tandem to come to rest)`,
		},
		"webhooks are lost": {
			// What a poll or resync at the start happens to see may still hold.
			[]string{"--no-hooks"},
			`^demo: step [2-4], .*: expected that `,
		},
		"no such fault": {
			[]string{"--fault", `{"kind":"magic"}`},
			`^demo: reading the fault .*: unknown kind "magic"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, errs, err := demo(t, append(c.args, "--patience", "5s")...)
			exit, failed := errors.AsType[*exec.ExitError](err)
			if !failed || exit.ExitCode() != 1 {
				t.Fatalf("the demo ended with %v, not 1\n%s\n%s", err, out, errs)
			}
			if !regexp.MustCompile(c.want).MatchString(errs) {
				t.Errorf("it says\n%s\nwhich does not match\n%s\n%s", errs, c.want, out)
			}
		})
	}
}
