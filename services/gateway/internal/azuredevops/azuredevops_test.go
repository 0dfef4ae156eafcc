package azuredevops_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/time/rate"

	"github.com/tandem-sync/tandem/services/gateway/internal/azuredevops"
	"github.com/tandem-sync/tandem/services/gateway/internal/envelope"
	"github.com/tandem-sync/tandem/services/gateway/internal/webhook"
)

const (
	user     = "tandem"
	current  = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00"
	previous = "decade00decade00decade00decade00decade00decade00decade00decade00"
)

func credentials(passwords ...string) azuredevops.Credentials {
	return azuredevops.Credentials{User: user, Passwords: func() []string { return passwords }}
}

func request(t *testing.T, connector string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
	if connector != "" {
		r.SetPathValue("connector", connector)
	}
	return r
}

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	basic := func(user, password string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(user, password) }
	}
	header := func(value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", value) }
	}
	none := func(*http.Request) {}
	const (
		yes = iota
		no
		onlyOpen // let in by the callback path alone
	)
	tests := []struct {
		name   string
		change func(*http.Request)
		want   int
	}{
		{"current", basic(user, current), yes},
		{"previous", basic(user, previous), yes},
		{"none", none, onlyOpen},
		{"empty header", header(""), no},
		{"wrong password", basic(user, strings.Repeat("0", 64)), no},
		{"empty password", basic(user, ""), no},
		{"no user", basic("", current), no},
		{"wrong user", basic("Tandem", current), no},
		{"near miss at the end", basic(user, current[:63]+"1"), no},
		{"near miss at the start", basic(user, "d"+current[1:]), no},
		{"cut short", basic(user, current[:63]), no},
		{"with a tail", basic(user, current+"0"), no},
		{"in capitals", basic(user, strings.ToUpper(current)), no},
		{"both passwords", basic(user, current+previous), no},
		{"bearer", header("Bearer " + current), no},
		{"not base64", header("Basic !!!"), no},
		{"no colon", header("Basic dGFuZGVt"), no},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			now := func() time.Time { return time.Unix(1_790_000_000, 0) }
			hooks := map[bool]*azuredevops.Hook{
				false: azuredevops.NewHook(credentials(current, previous)),
				true:  azuredevops.NewCallback(credentials(current, previous), rate.NewLimiter(1, 1), now),
			}
			for open, hook := range hooks {
				r := request(t, "")
				tt.change(r)
				err := hook.Authenticate(r)
				if in := err == nil; in != (tt.want == yes || tt.want == onlyOpen && open) {
					t.Errorf("open path %v: Authenticate = %v", open, err)
				}
				if err == nil {
					continue
				}
				refusal, ok := errors.AsType[*webhook.RefusalError](err)
				if !ok || refusal.Outcome != webhook.Unauthorized || refusal.Challenge == "" {
					t.Errorf("open path %v: Authenticate = %#v, want a 401 with a challenge", open, err)
				}
			}
		})
	}
}

// TestRotation: a password is valid as long as the function returns it.
func TestRotation(t *testing.T) {
	t.Parallel()
	valid := []string{previous}
	hook := azuredevops.NewHook(azuredevops.Credentials{User: user, Passwords: func() []string { return valid }})
	try := func(password string) bool {
		r := request(t, "")
		r.SetBasicAuth(user, password)
		return hook.Authenticate(r) == nil
	}
	for _, step := range []struct {
		valid                 []string
		wantOld, wantNew, any bool
	}{
		{[]string{previous}, true, false, true},
		{[]string{current, previous}, true, true, true},
		{[]string{current}, false, true, true},
		{nil, false, false, false},
	} {
		valid = step.valid
		if got := try(previous); got != step.wantOld {
			t.Errorf("with %d passwords valid the old one is accepted: %v", len(valid), got)
		}
		if got := try(current); got != step.wantNew {
			t.Errorf("with %d passwords valid the new one is accepted: %v", len(valid), got)
		}
		if try("") {
			t.Error("an empty password is accepted")
		}
	}
}

// TestOpenLimit: events without credentials have a bucket of their own; credentials
// pass it by.
func TestOpenLimit(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_790_000_000, 0)
	hook := azuredevops.NewCallback(credentials(current), rate.NewLimiter(20, 100), func() time.Time { return now })
	pass := func(n int) int {
		passed := 0
		for range n {
			err := hook.Authenticate(request(t, ""))
			if err == nil {
				passed++
				continue
			}
			if refusal, ok := errors.AsType[*webhook.RefusalError](err); !ok || refusal.Outcome.Status() != 503 {
				t.Fatalf("Authenticate = %v, want an answer of 503", err)
			}
		}
		return passed
	}
	if got := pass(150); got != 100 {
		t.Errorf("%d of 150 at once were let in, want 100", got)
	}
	now = now.Add(time.Second)
	if got := pass(150); got != 20 {
		t.Errorf("%d of 150 a second later were let in, want 20", got)
	}
	r := request(t, "")
	r.SetBasicAuth(user, current)
	if err := hook.Authenticate(r); err != nil {
		t.Errorf("right credentials are limited too: %v", err)
	}
	r.SetBasicAuth(user, "wrong")
	if refusal, ok := errors.AsType[*webhook.RefusalError](hook.Authenticate(r)); !ok || refusal.Outcome.Status() != 401 {
		t.Error("wrong credentials are not refused with 401")
	}
}

// TestRead holds forms of the envelope that were seen in the wild or are documented
// (azure-devops.md §1.2 to §1.9). The bodies are modelled after the recorded ones,
// which package webhook's tests replay.
func TestRead(t *testing.T) {
	t.Parallel()
	const (
		subscription = "98bd70de-8422-4fb4-a4fb-d2f8d9e50ee9"
		event        = "5497320c-a2d3-4a44-9cf8-94bae49a821d"
		dedup        = "azure-devops/" + subscription + "/4"
		head         = `"subscriptionId":"` + subscription + `","notificationId":4,"id":"` + event + `"`
	)
	azure := func(n webhook.Notice) webhook.Notice {
		n.System = webhook.AzureDevOps
		return n
	}
	tests := []struct {
		name, body string
		want       webhook.Notice
	}{
		{
			"updated: the item is workItemId, not id",
			`{` + head + `,"eventType":"workitem.updated","resource":{"id":18,"workItemId":30,"rev":5,"revision":{"id":30,"fields":{"System.TeamProject":"P"}}}}`,
			webhook.Notice{EventType: "workitem.updated", ItemID: 30, Revision: 5, EventID: dedup, Origin: webhook.Origin{ProjectName: "P"}},
		},
		{
			"created: the item is id",
			`{` + head + `,"eventType":"workitem.created","resource":{"id":5,"rev":1,"fields":{"System.TeamProject":"P"}}}`,
			webhook.Notice{EventType: "workitem.created", ItemID: 5, Revision: 1, EventID: dedup, Origin: webhook.Origin{ProjectName: "P"}},
		},
		{
			"commented",
			`{` + head + `,"eventType":"workitem.commented","resource":{"id":13,"rev":3}}`,
			webhook.Notice{EventType: "workitem.commented", ItemID: 13, Revision: 3, EventID: dedup},
		},
		{
			"deleted",
			`{` + head + `,"eventType":"workitem.deleted","resource":{"id":13,"rev":4}}`,
			webhook.Notice{EventType: "workitem.deleted", ItemID: 13, Revision: 4, EventID: dedup},
		},
		{
			"restored, with numbers as strings",
			`{"subscriptionId":"` + subscription + `","notificationId":"4","id":"` + event + `","eventType":"workitem.restored","resource":{"id":"13","rev":"4"}}`,
			webhook.Notice{EventType: "workitem.restored", ItemID: 13, Revision: 4, EventID: dedup},
		},
		{
			"PascalCase throughout",
			`{"SubscriptionId":"` + subscription + `","NotificationId":4,"Id":"` + event + `","EventType":"workitem.updated","Resource":{"Id":18,"WorkItemId":30,"Rev":5},
			  "ResourceContainers":{"Collection":{"Id":"c","BaseUrl":"https://dev.azure.com/contoso/"},"Project":{"Id":"p"}}}`,
			webhook.Notice{EventType: "workitem.updated", ItemID: 30, Revision: 5, EventID: dedup, Origin: webhook.Origin{AccountURL: "https://dev.azure.com/contoso/", ProjectID: "p"}},
		},
		{
			"server instead of account",
			`{` + head + `,"eventType":"workitem.deleted","resource":{"id":13},
			  "resourceContainers":{"server":{"id":"s","baseUrl":"https://tfs.contoso.com/"},"collection":{"id":"c","baseUrl":"https://tfs.contoso.com/Collection/"},"project":{"id":"p","baseUrl":"https://x/"}}}`,
			webhook.Notice{EventType: "workitem.deleted", ItemID: 13, EventID: dedup, Origin: webhook.Origin{AccountURL: "https://tfs.contoso.com/Collection/", ProjectID: "p"}},
		},
		{
			"account without collection",
			`{` + head + `,"eventType":"workitem.deleted","resource":{"id":13},"resourceContainers":{"account":{"baseUrl":"https://dev.azure.com/contoso/"},"collection":{"id":"c"}}}`,
			webhook.Notice{EventType: "workitem.deleted", ItemID: 13, EventID: dedup, Origin: webhook.Origin{AccountURL: "https://dev.azure.com/contoso/"}},
		},
		{
			"server alone",
			`{` + head + `,"eventType":"workitem.deleted","resource":{"id":13},"resourceContainers":{"server":{"baseUrl":"https://tfs/"},"more":{"id":"x","baseUrl":"y"},"project":null}}`,
			webhook.Notice{EventType: "workitem.deleted", ItemID: 13, EventID: dedup, Origin: webhook.Origin{AccountURL: "https://tfs/"}},
		},
		{
			"moved between projects: where it is now counts",
			`{` + head + `,"eventType":"workitem.updated","resource":{"id":18,"workItemId":30,"fields":{"System.TeamProject":{"oldValue":"Old","newValue":"New"}},"revision":{"id":30,"fields":{"System.TeamProject":"New"}}}}`,
			webhook.Notice{EventType: "workitem.updated", ItemID: 30, EventID: dedup, Origin: webhook.Origin{ProjectName: "New"}},
		},
		{
			"fields with an old or a new value alone, with numbers as text, with a person as text and as object",
			`{` + head + `,"message":null,"eventType":"workitem.updated","resource":{"id":18,"workItemId":30,"rev":5,"fields":{"System.AssignedTo":{"oldValue":"CONTOSO\\jan"},"System.History":{"newValue":"x"},
			  "System.Rev":{"oldValue":"4","newValue":"5"},"System.TeamProject":{"oldValue":"Old"}},"revision":{"id":30,"fields":{"System.AssignedTo":{"displayName":"Jan"},"System.ChangedBy":"Jan <jan@contoso.com>","System.TeamProject":"P"}}}}`,
			webhook.Notice{EventType: "workitem.updated", ItemID: 30, Revision: 5, EventID: dedup, Origin: webhook.Origin{ProjectName: "P"}},
		},
		{
			"updated, minimal resource with revision",
			`{` + head + `,"eventType":"workitem.updated","resource":{"id":18,"revision":{"id":30}}}`,
			webhook.Notice{EventType: "workitem.updated", ItemID: 30, EventID: dedup},
		},
		{
			"updated, minimal resource with address",
			`{` + head + `,"eventType":"workitem.updated","resource":{"id":18,"url":"https://dev.azure.com/contoso/p/_apis/wit/workItems/30/updates/18"}}`,
			webhook.Notice{EventType: "workitem.updated", ItemID: 30, EventID: dedup},
		},
		{
			"updated, address of no update",
			`{` + head + `,"eventType":"workitem.updated","resource":{"id":18,"url":"https://dev.azure.com/contoso/_apis/wit/workItems/x/updates/18"}}`,
			webhook.Notice{EventType: "workitem.updated", EventID: dedup, Ignored: webhook.IgnoredNoItem},
		},
		{
			"no subscription: no duplicate can be told",
			`{"id":"` + event + `","notificationId":4,"eventType":"workitem.created","resource":{"id":5}}`,
			webhook.Notice{EventType: "workitem.created", ItemID: 5},
		},
		{
			"subscription of zeros",
			`{"subscriptionId":"00000000-0000-0000-0000-000000000000","notificationId":4,"eventType":"workitem.created","resource":{"id":5}}`,
			webhook.Notice{EventType: "workitem.created", ItemID: 5},
		},
		{
			"no notification number",
			`{"subscriptionId":"` + subscription + `","eventType":"workitem.created","resource":{"id":5}}`,
			webhook.Notice{EventType: "workitem.created", ItemID: 5},
		},
		{
			"subscription that is no GUID but a book",
			`{"subscriptionId":"` + strings.Repeat("9", 300) + `","notificationId":4,"eventType":"workitem.created","resource":{"id":5}}`,
			webhook.Notice{EventType: "workitem.created", ItemID: 5},
		},

		{"Test: work item 0", `{` + head + `,"eventType":"workitem.updated","resource":{"id":2,"workItemId":0}}`, webhook.Notice{EventType: "workitem.updated", EventID: dedup, Ignored: webhook.IgnoredTest}},
		{"Test: a sample's id in capitals", `{"id":"D2D46FB1-DBA5-403C-9373-427583F19E8C","eventType":"workitem.created","resource":{"id":5}}`, webhook.Notice{EventType: "workitem.created", Ignored: webhook.IgnoredTest}},
		{"created with workItemId 0 is no Test", `{` + head + `,"eventType":"workitem.created","resource":{"id":5,"workItemId":0}}`, webhook.Notice{EventType: "workitem.created", ItemID: 5, EventID: dedup}},

		{"resource none: absent", `{` + head + `,"eventType":"workitem.created"}`, webhook.Notice{EventType: "workitem.created", EventID: dedup, Ignored: webhook.IgnoredNoItem}},
		{"resource null", `{` + head + `,"eventType":"workitem.created","resource":null}`, webhook.Notice{EventType: "workitem.created", EventID: dedup, Ignored: webhook.IgnoredNoItem}},
		{"resource of another kind", `{` + head + `,"eventType":"workitem.created","resource":[5]}`, webhook.Notice{EventType: "workitem.created", EventID: dedup, Ignored: webhook.IgnoredNoItem}},
		{"negative item", `{` + head + `,"eventType":"workitem.created","resource":{"id":-5}}`, webhook.Notice{EventType: "workitem.created", EventID: dedup, Ignored: webhook.IgnoredNoItem}},
		{"item beyond 64 bits", `{` + head + `,"eventType":"workitem.created","resource":{"id":99999999999999999999}}`, webhook.Notice{EventType: "workitem.created", EventID: dedup, Ignored: webhook.IgnoredNoItem}},
		{"negative revision", `{` + head + `,"eventType":"workitem.created","resource":{"id":5,"rev":-1}}`, webhook.Notice{EventType: "workitem.created", ItemID: 5, EventID: dedup}},
		{"kind of no use", `{` + head + `,"eventType":"git.push","resource":{"id":5}}`, webhook.Notice{EventType: "git.push", EventID: dedup, Ignored: webhook.IgnoredEventType}},
		{"kind with a long name", `{` + head + `,"eventType":"` + strings.Repeat("x", 300) + `"}`, webhook.Notice{EventType: strings.Repeat("x", 128), EventID: dedup, Ignored: webhook.IgnoredEventType}},
	}
	hook := azuredevops.NewHook(credentials(current))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, connector := range []string{"", "development"} {
				got, err := hook.Read(request(t, connector), []byte(tt.body))
				if err != nil {
					t.Fatal(err)
				}
				want := azure(tt.want)
				want.Connector = connector
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("notice (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	hook := azuredevops.NewHook(credentials(current))
	for _, body := range []string{`{}`, `{"eventType":""}`, `{"eventType":null}`, `{"eventType":5}`, `{"resource":{"eventType":"workitem.created"}}`} {
		_, err := hook.Read(request(t, ""), []byte(body))
		if refusal, ok := errors.AsType[*webhook.RefusalError](err); !ok || refusal.Outcome != webhook.Malformed {
			t.Errorf("Read(%s) = %v, want a refusal with 400", body, err)
		}
	}
	for _, body := range []string{``, `null`, `[]`, `{"eventType":"workitem.created","resource":{"id":5}`, `{"eventType":"workitem.created","resource":{"id":5}},`} {
		if _, err := hook.Read(request(t, ""), []byte(body)); !errors.Is(err, envelope.ErrMalformed) {
			t.Errorf("Read(%s) = %v, want %v", body, err, envelope.ErrMalformed)
		}
	}
}

// FuzzRead: whatever arrives, the notice keeps the limits that IngestEvent sets.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"subscriptionId":"98bd70de-8422-4fb4-a4fb-d2f8d9e50ee9","notificationId":4,"id":"x","eventType":"workitem.updated","resource":{"id":18,"workItemId":30,"rev":5,"url":"/workItems/3/updates/1"}}`))
	f.Add([]byte(`{"EventType":"workitem.created","Resource":{"Id":"5","Fields":{"System.TeamProject":"P"}},"ResourceContainers":{"Server":{"BaseUrl":"https://x/"}}}`))
	f.Add([]byte(`{"eventType":"workitem.updated","resource":{"workItemId":0}}`))
	f.Add([]byte(`{"eventType":"git.push"}`))
	for _, file := range seedFiles() {
		f.Add(file)
	}
	hook := azuredevops.NewHook(credentials(current))
	f.Fuzz(func(t *testing.T, body []byte) {
		if !utf8.Valid(body) {
			t.Skip("the pipeline refuses what is no UTF-8 before it is read")
		}
		notice, err := hook.Read(request(t, ""), body)
		if err != nil {
			refusal, ok := errors.AsType[*webhook.RefusalError](err)
			if !errors.Is(err, envelope.ErrMalformed) && (!ok || refusal.Outcome != webhook.Malformed) {
				t.Fatalf("Read(%q) = %v, want a 400", body, err)
			}
			return
		}
		if notice.Ignored == "" && notice.ItemID <= 0 || notice.Revision < 0 || notice.EventType == "" ||
			len(notice.EventType) > 128 || len(notice.EventID) > 256 || notice.System != webhook.AzureDevOps {
			t.Fatalf("Read(%q) = %+v, which IngestEvent does not take", body, notice)
		}
	})
}

// seedFiles are the recorded deliveries, if they lie beside the repository.
func seedFiles() [][]byte {
	dir, err := os.Getwd()
	if err != nil {
		return nil
	}
	var bodies [][]byte
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		files, err := filepath.Glob(filepath.Join(dir, "shared", "fixtures", "azure-devops", "webhooks", "*.json"))
		if err != nil {
			return nil
		}
		for _, file := range files {
			if body, err := os.ReadFile(file); err == nil {
				bodies = append(bodies, body)
			}
		}
	}
	return bodies
}
