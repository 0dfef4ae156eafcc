package webhook_test

import (
	"net/http"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/tandem-sync/tandem/services/gateway/internal/webhook"
)

// TestOutcomeStatus pins every answer. 410 disables a hook at Azure DevOps at once,
// 429, 500 and other errors put it on probation; 503 is resent (azure-devops.md §1.7).
func TestOutcomeStatus(t *testing.T) {
	t.Parallel()
	want := map[webhook.Outcome]int{
		webhook.Stored: 202, webhook.Duplicate: 202, webhook.Tested: 202, webhook.Skipped: 202,
		webhook.Malformed: 400, webhook.Unauthorized: 401, webhook.UnknownConnector: 404,
		webhook.WrongMethod: 405, webhook.TooLarge: 413, webhook.WrongMediaType: 415,
		webhook.Broken: 503, webhook.Interrupted: 503, webhook.Overloaded: 503, webhook.Unavailable: 503,
	}
	names := map[string]webhook.Outcome{}
	for _, outcome := range webhook.Outcomes() {
		status, ok := want[outcome]
		if !ok {
			t.Errorf("outcome %d (%s) has no line in this table", outcome, outcome)
		}
		if got := outcome.Status(); got != status {
			t.Errorf("%s is answered %d, want %d", outcome, got, status)
		}
		if other, taken := names[outcome.String()]; taken || outcome.String() == "unknown" {
			t.Errorf("outcomes %d and %d are both called %s", other, outcome, outcome)
		}
		names[outcome.String()] = outcome
	}
	if len(want) != len(webhook.Outcomes()) {
		t.Errorf("the table has %d lines for %d outcomes", len(want), len(webhook.Outcomes()))
	}
	if got := webhook.Outcome(99).Status(); got != http.StatusServiceUnavailable {
		t.Errorf("an unknown outcome is answered %d, want 503", got)
	}
}

// TestNeverSent goes through everything that can decide an answer.
func TestNeverSent(t *testing.T) {
	t.Parallel()
	var statuses []int
	for _, outcome := range webhook.Outcomes() {
		statuses = append(statuses, outcome.Status())
	}
	for code := range codes.Code(40) {
		statuses = append(statuses, webhook.OutcomeOf(code).Status())
	}
	for _, status := range statuses {
		switch status {
		case http.StatusGone, http.StatusTooManyRequests, http.StatusInternalServerError:
			t.Errorf("%d can be sent", status)
		}
	}
}

// TestOutcomeOf pins what sync-core's codes mean for the sender.
func TestOutcomeOf(t *testing.T) {
	t.Parallel()
	for code := codes.OK; code <= codes.Unauthenticated+1; code++ {
		want := webhook.Unavailable
		switch code {
		case codes.OK:
			want = webhook.Stored
		case codes.InvalidArgument:
			want = webhook.Malformed
		case codes.NotFound:
			want = webhook.UnknownConnector
		default:
		}
		if got := webhook.OutcomeOf(code); got != want {
			t.Errorf("OutcomeOf(%s) = %s, want %s", code, got, want)
		}
	}
}
