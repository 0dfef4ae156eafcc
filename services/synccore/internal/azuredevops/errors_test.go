package azuredevops_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/azuredevops"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
)

// signIn is how a bad token looks (modelled, not recorded).
const signIn = `<!DOCTYPE html><html><head><title>Azure DevOps Services | Sign In</title></head></html>`

func typed(message, typeKey string, code string) string {
	if code == "" {
		code = "0"
	}
	return `{"$id":"1","innerException":null,"message":"` + message + `","typeName":"X, Y","typeKey":"` + typeKey + `","errorCode":` + code + `,"eventId":3000}`
}

// TestErrorModel walks the table of azure-devops.md §2.10. Where not marked recorded
// the bodies are modelled after it.
func TestErrorModel(t *testing.T) {
	t.Parallel()
	const html, plain, json = "text/html; charset=utf-8", "text/plain; charset=utf-8", "application/json; charset=utf-8"
	tests := []struct {
		name          string
		status        int
		media, body   string
		header        http.Header
		want          fault.Kind
		code, typeKey string
		says          string
		wait          time.Duration
	}{
		{name: "203 sign-in page", status: 203, media: html, body: signIn, want: fault.BadToken},
		{name: "203 with JSON", status: 203, media: json, body: `{}`, want: fault.BadToken},
		{name: "200 sign-in page", status: 200, media: html, body: signIn, want: fault.BadToken},
		{name: "200 page without type", status: 200, media: "", body: "\n " + signIn, want: fault.BadToken},
		{
			name: "302 to sign-in", status: 302, media: html, want: fault.BadToken,
			header: http.Header{"Location": {"https://spsprodweu5.vssps.visualstudio.com/_signin?token=s3cret-pat"}},
		},
		{name: "401 empty", status: 401, want: fault.BadToken, says: "access token"},
		{
			name: "401 TF400813", status: 401, media: json, want: fault.BadToken, code: "TF400813",
			body: typed("TF400813: The user 'aaa' is not authorized to access this resource.", "UnauthorizedRequestException", ""),
		},
		{name: "403", status: 403, media: json, body: typed("VS403463: The conditional access policy denies.", "", ""), want: fault.Denied, code: "VS403463", says: "read work item 9"},
		{
			name: "TF200016 (recorded)", status: 404, media: json, want: fault.Misconfigured, code: "TF200016",
			body: typed("TF200016: The following project does not exist: WorkItemCreateShowUpdateDeleteTests. Verify that the name of the project is correct and that the project exists on the specified Azure DevOps Server.", "ProjectDoesNotExistWithNameException", ""),
		},
		{
			name: "no controller (recorded)", status: 404, media: plain, want: fault.Misconfigured,
			body: "The controller for path '/x/_apis/wit/workItems/0' was not found or does not implement IController.",
		},
		{name: "404 page of an unknown organisation", status: 404, media: html, body: "<html>404</html>", want: fault.Misconfigured},
		{name: "VS402323", status: 404, media: json, body: typed("VS402323: Work item type Tsk does not exist in project.", "WorkItemTypeNotFoundException", ""), want: fault.Misconfigured, code: "VS402323"},
		{name: "412", status: 412, media: json, body: typed("VS403208: The work item has been changed.", "TestPatchOperationFailedException", ""), want: fault.Conflict},
		{name: "409 TF26071", status: 409, media: json, body: typed("TF26071: This work item has been changed by someone else.", "WorkItemRevisionMismatchException", "600122"), want: fault.Conflict, code: "TF26071"},
		{name: "400 TF26071", status: 400, media: json, body: typed("TF26071: This work item has been changed.", "", ""), want: fault.Conflict, code: "TF26071"},
		{name: "400 by number", status: 400, media: json, body: typed("geändert", "", "600122"), want: fault.Conflict},
		{
			name: "TF401320", status: 400, media: json, want: fault.Refused, code: "TF401320", typeKey: "RuleValidationException",
			says: "in field System.State",
			body: `{"$id":"1","customProperties":{"FieldReferenceName":"System.State","FieldStatusFlags":"required, invalidListValue","ErrorMessage":"TF401320: no","FieldStatusCode":0,` +
				`"RuleValidationErrors":[{"fieldReferenceName":"System.State"}]},"innerException":null,"message":"TF401320: Rule Error for field State. Error code: InvalidListValue.","typeName":"…","typeKey":"RuleValidationException","errorCode":0,"eventId":3000}`,
		},
		{name: "600171", status: 400, media: json, body: typed("TF401xxx: The identity value 'x' for field 'Assigned To' is an unknown identity.", "WorkItemFieldInvalidException", "600171"), want: fault.Invalid},
		{name: "TF51535", status: 400, media: json, body: typed("TF51535: Cannot find field Custom.Nope.", "WorkItemTrackingFieldDefinitionNotFoundException", ""), want: fault.Misconfigured, code: "TF51535", says: "Custom.Nope"},
		{name: "TF401326", status: 400, media: json, body: typed("TF401326: Invalid field status 'ReadOnly' for field 'System.Id'.", "", ""), want: fault.Misconfigured, code: "TF401326"},
		{name: "unknown API version", status: 400, media: json, body: typed("The requested REST API version of 9.9 is out of range.", "VssVersionOutOfRangeException", ""), want: fault.Misconfigured, says: "apiVersion"},
		{name: "other body form", status: 400, media: json, body: `{"count":1,"value":{"Message":"You must pass a valid patch document."}}`, want: fault.Invalid, says: "valid patch document"},
		{name: "400 without a word", status: 400, want: fault.Invalid},
		{name: "429", status: 429, media: json, body: "{}", header: http.Header{"Retry-After": {"30"}}, want: fault.Throttled, wait: 30 * time.Second},
		{name: "TF400733 as 503", status: 503, media: json, body: typed("TF400733: The request has been canceled: Request was blocked due to exceeding usage.", "", ""), header: http.Header{"Retry-After": {"60"}}, want: fault.Throttled, code: "TF400733", wait: time.Minute},
		{name: "503 with a page", status: 503, media: html, body: "<html>maintenance</html>", header: http.Header{"Retry-After": {"40"}}, want: fault.Unavailable, wait: 40 * time.Second},
		{name: "VS402335 as 400", status: 400, media: json, body: typed("VS402335: The timeout period elapsed prior to completion of the query.", "", ""), want: fault.Unavailable, code: "VS402335"},
		{name: "unreadable answer", status: 200, media: json, body: `{"id":12,"fields":`, want: fault.Unavailable},
		{name: "no work item", status: 200, media: json, body: `{"count":0,"value":[]}`, want: fault.Unavailable},
		{name: "empty answer", status: 200, media: "", body: "", want: fault.Unavailable},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c, _ := answering(t, func(w http.ResponseWriter, _ *http.Request) {
				if tc.media != "" {
					w.Header().Set("Content-Type", tc.media)
				} else {
					w.Header()["Content-Type"] = nil
				}
				maps.Copy(w.Header(), tc.header)
				w.Header().Set("ActivityId", "a-1")
				w.WriteHeader(tc.status)
				_, _ = io.WriteString(w, tc.body)
			})
			// The patience of the client's own retries is for reads; SetState is sent once.
			_, err := c.SetState(t.Context(), 9, 2, "Doing")
			deed := "move to Doing work item 9"
			if tc.status == 403 {
				_, err = c.WorkItem(t.Context(), 9)
				deed = ""
			}
			wantKind(t, err, tc.want)
			f, ok := fault.As(err)
			if !ok {
				return
			}
			if !strings.Contains(f.Text, tc.says) {
				t.Errorf("%q does not say %q", f.Text, tc.says)
			}
			if f.RetryAfter != tc.wait {
				t.Errorf("RetryAfter %s, want %s", f.RetryAfter, tc.wait)
			}
			if tc.want == fault.Refused && !strings.Contains(f.Text, deed) {
				t.Errorf("%q does not name the deed", f.Text)
			}
			if told, ok := errors.AsType[*azuredevops.Error](err); ok {
				if told.ActivityID != "a-1" || told.Status != tc.status || (tc.code != "" && told.Code != tc.code) || (tc.typeKey != "" && told.TypeKey != tc.typeKey) {
					t.Errorf("cause %+v", told)
				}
			} else if tc.status != 200 {
				t.Errorf("no cause for the log behind %v", err)
			}
			if strings.Contains(err.Error(), pat) {
				t.Errorf("the error holds the token: %v", err)
			}
		})
	}
}

// TestDeadConnection: modelled, not recorded.
func TestDeadConnection(t *testing.T) {
	t.Parallel()
	c := over(t, dead{})
	_, err := c.Create(t.Context(), draft())
	wantKind(t, err, fault.Unavailable)
	if f, ok := fault.As(err); !ok || !strings.Contains(f.Text, "looks before it tries again") {
		t.Errorf("%v does not say that the outcome is open", err)
	}
	_, err = c.WorkItems(t.Context(), []int64{1})
	wantKind(t, err, fault.Unavailable)
}

type dead struct{}

func (dead) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("connection reset by peer")
}

func TestUnreadableTokenFile(t *testing.T) {
	t.Parallel()
	c, err := azuredevops.New(azuredevops.Options{
		ProjectURL: projectURL, Now: clock, Base: dead{},
		Credential: azuredevops.PAT(func() (string, error) { return "", errors.New("no such file") }),
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.WorkItem(t.Context(), 1)
	wantKind(t, err, fault.BadToken)
}

func TestPauseIsTold(t *testing.T) {
	t.Parallel()
	c, s := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "90")
		answerJSON(w, http.StatusOK, `{"id":1,"rev":1,"fields":{}}`)
	})
	if _, err := c.WorkItem(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	_, err := c.WorkItem(t.Context(), 1)
	wantKind(t, err, fault.Throttled)
	if f, _ := fault.As(err); f.RetryAfter != 90*time.Second || len(s.all()) != 1 {
		t.Errorf("RetryAfter %s after %d calls; want 90 s after 1", f.RetryAfter, len(s.all()))
	}
}

// TestCallerGivesUp: a caller that goes away says nothing about the system.
func TestCallerGivesUp(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	c := over(t, replies(func(*http.Request) *http.Response {
		cancel()
		return plainAnswer(http.StatusServiceUnavailable, nil)
	}))
	_, err := c.WorkItem(ctx, 1)
	if err == nil || !fault.Is(err, fault.Unavailable) {
		t.Errorf("an answer that came counts: %v", err)
	}
	_, err = c.WorkItem(ctx, 1)
	if _, isFault := fault.As(err); !errors.Is(err, context.Canceled) || isFault {
		t.Errorf("got %v", err)
	}
}
