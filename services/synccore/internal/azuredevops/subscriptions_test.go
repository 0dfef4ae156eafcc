package azuredevops_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

const (
	hookID  = "fd672255-8b6b-4769-9260-beea83d752ce"
	hookURL = "https://tandem.example/hooks/azure-devops/development"
	hookKey = "h00k-password"
)

func hookDraft() item.HookDraft {
	return item.HookDraft{Event: "workitem.updated", ProjectID: guid, URL: hookURL, User: "tandem"}
}

// TestHookWrites: what is sent is what azure-devops.md §1.10 shows.
func TestHookWrites(t *testing.T) {
	t.Parallel()
	c, s := answering(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		answerJSON(w, http.StatusOK, `{"id":"`+hookID+`","eventType":"workitem.updated","status":"enabled"}`)
	})
	if h, err := c.CreateHook(t.Context(), hookDraft(), hookKey); err != nil || h.ID != hookID {
		t.Errorf("%+v, %v", h, err)
	}
	if h, err := c.ReplaceHook(t.Context(), hookID, hookDraft(), hookKey); err != nil || h.Status != item.HookEnabled {
		t.Errorf("%+v, %v", h, err)
	}
	if err := c.RemoveHook(t.Context(), hookID, "workitem.updated"); err != nil {
		t.Error(err)
	}
	body := `"publisherId":"tfs","eventType":"workitem.updated","resourceVersion":"1.0","consumerId":"webHooks","consumerActionId":"httpRequest",` +
		`"publisherInputs":{"areaPath":"","projectId":"` + guid + `","workItemType":""},"consumerInputs":{"basicAuthPassword":"` + hookKey +
		`","basicAuthUsername":"tandem","detailedMessagesToSend":"none","messagesToSend":"none","resourceDetailsToSend":"all","url":"` + hookURL + `"}}`
	const path, version, kind = "/contoso/_apis/hooks/subscriptions", "api-version=7.1", "application/json"
	want := []request{
		{http.MethodPost, path, version, kind, "{" + body},
		{http.MethodPut, path + "/" + hookID, version, kind, `{"id":"` + hookID + `","status":"enabled",` + body},
		{http.MethodDelete, path + "/" + hookID, version, "", ""},
	}
	if diff := cmp.Diff(want, s.all(), cmp.AllowUnexported(request{})); diff != "" {
		t.Error(diff)
	}
}

// TestHookWritesAreNotRepeated: whether the first one took effect, only the next list
// tells.
func TestHookWritesAreNotRepeated(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]fault.Kind{
		http.StatusServiceUnavailable: fault.Unavailable, http.StatusForbidden: fault.Denied, http.StatusUnauthorized: fault.BadToken, http.StatusBadRequest: fault.Invalid,
	} {
		c, s := answering(t, func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, status, `{"message":"no"}`) })
		_, err := c.CreateHook(t.Context(), hookDraft(), hookKey)
		wantKind(t, err, want)
		_, err = c.ReplaceHook(t.Context(), hookID, hookDraft(), hookKey)
		wantKind(t, err, want)
		wantKind(t, c.RemoveHook(t.Context(), hookID, "workitem.updated"), want)
		if n := len(s.all()); n != 3 {
			t.Errorf("%d: sent %d times", status, n)
		}
		if strings.Contains(fmt.Sprint(err), hookKey) {
			t.Errorf("%v tells the password", err)
		}
	}
	c, s := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, http.StatusNotFound, `{"typeKey":"SubscriptionNotFoundException"}`)
	})
	if err := c.RemoveHook(t.Context(), hookID, "x"); err != nil {
		t.Errorf("one that is gone: %v", err)
	}
	for _, id := range []string{"", "..", "a/b", hookID + "?x=1"} {
		before := len(s.all())
		_, err := c.ReplaceHook(t.Context(), id, hookDraft(), hookKey)
		wantKind(t, err, fault.Invalid)
		wantKind(t, c.RemoveHook(t.Context(), id, "x"), fault.Invalid)
		if len(s.all()) != before {
			t.Errorf("%q was put into a path", id)
		}
	}
}

// TestHooksAreAllOrNone: an answer that may not be the whole list is an error.
func TestHooksAreAllOrNone(t *testing.T) {
	t.Parallel()
	const one = `{"id":"` + hookID + `","eventType":"workitem.updated"}`
	for body, want := range map[string]fault.Kind{
		`{"count":1,"value":[` + one + `]}`: fault.Internal, // which is none here
		`{"value":[]}`:                      fault.Internal,
		`{"count":2,"value":[` + one + `]}`: fault.Unavailable,
		`{}`:                                fault.Unavailable,
		`null`:                              fault.Unavailable,
		`{"value":null}`:                    fault.Unavailable,
		`{"value":{}}`:                      fault.Unavailable,
		`{"value":[7]}`:                     fault.Unavailable,
		`{"value":[null]}`:                  fault.Unavailable,
		`{"value":[{"status":"enabled"}]}`:  fault.Unavailable,
		`{"value":[` + one:                  fault.Unavailable,
	} {
		c, s := answering(t, func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, http.StatusOK, body) })
		hooks, err := c.Hooks(t.Context())
		switch {
		case want == fault.Internal && err != nil:
			t.Errorf("%s: %v", body, err)
		case want != fault.Internal && (!fault.Is(err, want) || hooks != nil):
			t.Errorf("%s: %v, %v", body, hooks, err)
		}
		if asked := s.all()[0]; asked.query != "api-version=7.1&publisherId=tfs&consumerId=webHooks&consumerActionId=httpRequest" {
			t.Errorf("asked %s", asked.query)
		}
	}
}

// TestHookReading: filters and other forms are told, and what the server adds is not.
func TestHookReading(t *testing.T) {
	t.Parallel()
	read := func(publisher, consumer, rest string) item.Hook {
		t.Helper()
		c, _ := answering(t, func(w http.ResponseWriter, _ *http.Request) {
			answerJSON(w, http.StatusOK, fmt.Sprintf(`{"value":[{"id":%q,"eventType":"workitem.updated",%s"createdDate":"2026-01-02T03:04:05.67Z",`+
				`"publisherInputs":{"projectId":%q%s},"consumerInputs":{"url":%q,"basicAuthUsername":"tandem","basicAuthPassword":"********"%s}}]}`,
				hookID, rest, guid, publisher, hookURL, consumer))
		})
		hooks, err := c.Hooks(t.Context())
		if err != nil || len(hooks) != 1 {
			t.Fatalf("%v, %v", hooks, err)
		}
		if hooks[0].URL != hookURL || hooks[0].ProjectID != guid || hooks[0].User != "tandem" || hooks[0].Created.IsZero() {
			t.Errorf("%+v", hooks[0])
		}
		return hooks[0]
	}
	const silent = `,"messagesToSend":"none","detailedMessagesToSend":"none"`
	for name, tc := range map[string]struct {
		publisher, consumer, rest string
		narrowed, bare, odd       bool
	}{
		"as asked":             {"", silent + `,"resourceDetailsToSend":"all"`, `"resourceVersion":"1.0",`, false, false, false},
		"as the server has it": {`,"hostId":"x","tfsSubscriptionId":"y","areaPath":"","workItemType":"","tag":"","changedFields":"","linksChanged":"false"`, silent + `,"resourceDetailsToSend":"","acceptUntrustedCerts":"false","added":"later"`, `"resourceVersion":null,"new":{},`, false, false, false},
		"an area":              {`,"areaPath":"A"`, silent, "", true, false, false},
		"a type":               {`,"workItemType":"Bug"`, silent, "", true, false, false},
		"a tag":                {`,"tag":"x"`, silent, "", true, false, false},
		"a field":              {`,"changedFields":"System.State"`, silent, "", true, false, false},
		"a pattern":            {`,"commentPattern":"x"`, silent, "", true, false, false},
		"links alone":          {`,"linksChanged":"true"`, silent, "", true, false, false},
		"nothing told":         {"", silent + `,"resourceDetailsToSend":"none"`, "", false, true, true},
		"keys alone":           {"", silent + `,"resourceDetailsToSend":"minimal"`, "", false, false, true},
		"messages":             {"", `,"messagesToSend":"","detailedMessagesToSend":"none"`, "", false, false, true},
		"long messages":        {"", `,"messagesToSend":"none","detailedMessagesToSend":"all"`, "", false, false, true},
		"another version":      {"", silent, `"resourceVersion":"3.1-preview.3",`, false, false, true},
		"headers":              {"", silent + `,"httpHeaders":"X: y"`, "", false, false, true},
		"any certificate":      {"", silent + `,"acceptUntrustedCerts":"true"`, "", false, false, true},
	} {
		h := read(tc.publisher, tc.consumer, tc.rest)
		if h.Narrowed != tc.narrowed || h.Bare != tc.bare || h.Plain == tc.odd {
			t.Errorf("%s: %+v", name, h)
		}
	}
	for word, want := range map[string]item.HookStatus{
		`null`: item.HookEnabled, `"enabled"`: item.HookEnabled, `"OnProbation"`: item.HookOnProbation, `"disabledByUser"`: item.HookDisabledByUser, `"disabledBySystem"`: item.HookDisabledBySystem, `"disabledByInactiveIdentity"`: item.HookDisabledByInactiveIdentity, `"resting"`: "resting",
	} {
		if got := read("", silent, `"status":`+word+`,`).Status; got != want {
			t.Errorf("%s is read as %s", word, got)
		}
	}
}

// TestHookRight: a refusal names the right that is missing.
func TestHookRight(t *testing.T) {
	t.Parallel()
	c, _ := answering(t, func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, http.StatusForbidden, `{}`) })
	_, err := c.Hooks(t.Context())
	if !strings.Contains(fault.Sentence(err), "right to view and edit service hook subscriptions") {
		t.Errorf("%v", err)
	}
	sentence(t, fault.Sentence(err))
}
