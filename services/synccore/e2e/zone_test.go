//go:build e2e

package e2e_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/tandem-sync/tandem/services/sandbox"
	"github.com/tandem-sync/tandem/services/sandbox/alvao"
	"github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/sandbox/stack"
)

// TestTimeZone: a time that the tenant tells without a zone is read in the configured
// one, and shown to people in it. The deadline is put into the stand-in's answer, which tells
// zones.
func TestTimeZone(t *testing.T) {
	t.Parallel()
	s := start(t, stack.Options{
		Alvao:    "      timeZone: Europe/Prague\n",
		Settings: strings.Replace(stack.Settings, "[$LatestImportantMessage$]", "until [$TicketDeadline$]", 1),
	})
	ticket := open(t, s, "By the first of July")
	s.Box.Alvao.PauseHooks()
	setStatus(t, s, ticket, "Development")
	path := fmt.Sprintf("/AlvaoRestApi/v1/tickets/%d", ticket)
	status, body, _ := send(t, http.MethodGet, s.PageURL+path, "", func(r *http.Request) {
		r.SetBasicAuth(alvao.ApplicationAccount, sandbox.Password)
	})
	if status != http.StatusOK {
		t.Fatalf("the ticket's reading answers %d %s", status, body)
	}
	due := regexp.MustCompile(`"dueDate":"[^"]*"`)
	if !due.MatchString(body) {
		t.Fatalf("the ticket has no deadline: %s", body)
	}
	body = due.ReplaceAllString(body, `"dueDate":"2026-07-01T10:00:00"`)
	if _, err := s.Box.Faults.Add(fault.Rule{Method: "GET", Path: path, Kind: fault.KindStatus, Status: http.StatusOK, Body: body}); err != nil {
		t.Fatal(err)
	}
	s.Box.Alvao.ResumeHooks(false)
	await(t, patience, "the work item", func() (bool, string) {
		return len(s.Box.AzureDevOps.Tagged(fmt.Sprintf("ALVAO-%d", ticket))) == 1, "there is none"
	})
	made := s.Box.AzureDevOps.Tagged(fmt.Sprintf("ALVAO-%d", ticket))[0]
	if got, want := fmt.Sprint(made.Fields["System.Description"]), "until 2026-07-01 10:00 CEST"; !strings.Contains(got, want) {
		t.Errorf("the description is %q, want %q", got, want)
	}
}
