package azuredevops_test

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandem-sync/tandem/services/sandbox/azuredevops"
)

func basic(secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(":"+secret))
}

// The 203 is reported, not recorded.
func TestUnknownCallersAreSignedIn(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, auth := range []string{"", basic("wrong"), basic(""), "Bearer wrong", "Bearer " + pat, basic("entra")} {
		for method, want := range map[string]int{"GET": 203, "POST": 203, "PATCH": 401, "DELETE": 401} {
			r := w.call(method, "/_apis/wit/workitems/1", nil, "Authorization", auth)
			if r.status != want || r.header.Get("Activityid") == "" {
				t.Errorf("%s with %q: %d", method, auth, r.status)
			}
			if page := strings.Contains(string(r.raw), "<html"); page != (want == 203) || page && !strings.HasPrefix(r.header.Get("Content-Type"), "text/html") {
				t.Errorf("%s with %q: %s %q", method, auth, r.header.Get("Content-Type"), r.raw)
			}
			if want == 401 && !strings.HasPrefix(r.header.Get("Www-Authenticate"), "Basic realm=") {
				t.Errorf("no challenge: %v", r.header)
			}
		}
	}
	if len(w.CallCounts()) != 0 {
		t.Error("refused calls were counted")
	}
}

func TestRefuse401(t *testing.T) {
	t.Parallel()
	w := setup(t, func(o *azuredevops.Options) { o.Refuse401 = true })
	w.must(401, "GET", "/_apis/projects", nil, "Authorization", basic("wrong"))
}

func TestTokensComeAndGo(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.must(200, "GET", "/_apis/projects", nil, "Authorization", "Bearer entra")
	w.must(200, "GET", "/_apis/projects", nil, "Authorization", basic(pat))
	w.RevokeToken(pat)
	w.must(203, "GET", "/_apis/projects", nil)
	w.AddToken(azuredevops.Token{Secret: "fresh", Owner: "new@contoso.com", Rights: azuredevops.AllRights})
	r := w.must(200, "GET", "/_apis/connectionData", nil, "Authorization", basic("fresh"))
	if got := r.get("authenticatedUser", "properties", "Account", "$value"); got != "new@contoso.com" {
		t.Errorf("account %v", got)
	}
}

func TestRights(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.task("x")
	cases := []struct {
		token, method, path string
		body                any
		status              int
		message             string
	}{
		{manual, "GET", "/_apis/identities?searchFilter=General&filterValue=x", nil, 401, "TF400813"},
		{manual, "GET", "/_apis/hooks/subscriptions", nil, 403, "Edit Subscriptions"},
		{manual, "PATCH", "/_apis/wit/workitems/1?bypassRules=true", []op{add("System.Title", "y")}, 403, "Bypass rules"},
		{manual, "PATCH", "/_apis/wit/workitems/1", []op{add("System.Title", "y")}, 200, ""},
		{reader, "GET", "/_apis/wit/workitems/1", nil, 200, ""},
		{reader, "PATCH", "/_apis/wit/workitems/1", []op{add("System.Title", "z")}, 401, "TF400813"},
		{pat, "GET", "/_apis/identities?searchFilter=General&filterValue=x", nil, 200, ""},
	}
	for _, c := range cases {
		r := w.call(c.method, c.path, c.body, "Authorization", basic(c.token))
		if r.status != c.status || !strings.Contains(string(r.raw), c.message) {
			t.Errorf("%s %s %s: %d %s", c.token, c.method, c.path, r.status, r.raw)
		}
	}
}

func TestWhoAmI(t *testing.T) {
	t.Parallel()
	w := setup(t)
	r := w.must(200, "GET", "/_apis/ConnectionData", nil)
	me, _ := r.get("authenticatedUser", "id").(string)
	if me == "" || r.header.Get("X-Vss-Userdata") != me+":"+service {
		t.Errorf("id %q, header %q", me, r.header.Get("X-Vss-Userdata"))
	}
	made := w.must(200, "POST", "/Alvaoproject/_apis/wit/workitems/$Task", []op{add("System.Title", "x")})
	if got := made.get("fields", "System.CreatedBy", "id"); got != me {
		t.Errorf("created by %v, I am %v", got, me)
	}
	if got := w.call("GET", "/_apis/connectionData?api-version=7.1", nil); got.status != 400 || got.get("typeKey") != "VssInvalidPreviewVersionException" {
		t.Errorf("without -preview: %d %s", got.status, got.raw)
	}
}

func TestIdentities(t *testing.T) {
	t.Parallel()
	w := setup(t)
	cases := []struct {
		value string
		want  []any
	}{
		{"JANA.Dvorakova@contoso.com", []any{jana}},
		{"petr@home.example", []any{petr}},
		{"Twin", []any{"twin1@contoso.com", "twin2@contoso.com"}},
		{"nobody@contoso.com", nil},
	}
	for _, c := range cases {
		r := w.must(200, "GET", "/_apis/identities?searchFilter=General&queryMembership=None&filterValue="+c.value, nil)
		if r.get("count") != float64(len(c.want)) {
			t.Fatalf("%s: %s", c.value, r.raw)
		}
		for i, name := range c.want {
			if got := r.get("value", i, "properties", "Account", "$value"); got != name {
				t.Errorf("%s: %v", c.value, got)
			}
			if r.get("value", i, "isActive") != true {
				t.Errorf("%s is not active", name)
			}
		}
	}
	for filter, value := range map[string]string{"MailAddress": "petr@home.example", "AccountName": petr, "DisplayName": "petr svoboda", "DirectoryAlias": "petr.svoboda"} {
		r := w.must(200, "GET", "/_apis/identities?searchFilter="+filter+"&filterValue="+strings.ReplaceAll(value, " ", "%20"), nil)
		if r.get("count") != 1.0 || r.get("value", 0, "properties", "Account", "$value") != petr {
			t.Errorf("%s %s: %s", filter, value, r.raw)
		}
		byID := w.must(200, "GET", "/_apis/identities?identityIds="+r.text("value", 0, "id"), nil)
		if byID.get("count") != 1.0 {
			t.Errorf("%s", byID.raw)
		}
	}
	r := w.must(200, "GET", "/_apis/identities?searchFilter=General&filterValue=gone@contoso.com", nil)
	if has := strings.Contains(string(r.raw), "isActive"); has || r.get("count") != 1.0 {
		t.Errorf("an inactive identity has no isActive key: %s", r.raw)
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.task("x")
	const item = "/_apis/wit/workitems/1"
	patch := []op{add("System.Title", "y")}
	cases := []struct {
		method, path, accept string
		body                 any
		status               int
		typeKey              any
	}{
		{"PATCH", item + "?api-version=", "application/json", patch, 400, "VssVersionNotSpecifiedException"},
		{"PATCH", item + "?api-version=", "application/json;api-version=5.0", patch, 200, nil},
		{"PATCH", item + "?api-version=7.1", "", patch, 200, nil},
		{"PATCH", item + "?api-version=9.0", "", patch, 400, "VssVersionOutOfRangeException"},
		{"GET", item + "?api-version=", "", nil, 200, nil},
		{"GET", item + "?api-version=nonsense", "", nil, 400, "VssInvalidApiResourceVersionException"},
		{"GET", "/Alvaoproject" + item + "/comments?api-version=7.1", "", nil, 400, "VssInvalidPreviewVersionException"},
		{"GET", "/Alvaoproject" + item + "/comments?api-version=7.1-preview.4", "", nil, 200, nil},
	}
	for _, c := range cases {
		r := w.call(c.method, c.path, c.body, "Accept", c.accept)
		if r.status != c.status || r.get("typeKey") != c.typeKey {
			t.Errorf("%s %s %s: %d %s", c.method, c.path, c.accept, r.status, r.raw)
		}
	}
	if got := w.call("GET", item+"?api-version=7.1", nil).header.Get("Content-Type"); got != "application/json; charset=utf-8; api-version=7.1" {
		t.Errorf("content type %q", got)
	}
}

func TestPathsThatLeadNowhere(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for path, want := range map[string]string{
		"/_apis/wit/workitems/0":                      "text/plain; charset=utf-8", // recorded
		"/_apis/nothing":                              "text/plain; charset=utf-8",
		"/Unknown/_apis/wit/workitems/1":              "application/json; charset=utf-8",
		"/_apis/wit/workitems/1/comments":             "text/plain; charset=utf-8", // the project is required
		"/a/b/c/_apis/wit/workitems/1":                "text/plain; charset=utf-8",
		"/_apis/wit/workitems/4711":                   "application/json; charset=utf-8",
		"/Alvaoproject/_apis/wit/workitems/$Nonsense": "application/json; charset=utf-8",
	} {
		r := w.must(404, "GET", path, nil)
		if got := r.header.Get("Content-Type"); got != want {
			t.Errorf("%s: %s %s", path, got, r.raw)
		}
	}
	resp, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.srv.URL+"/azuredevops/fabrikam/_apis/projects", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp.SetBasicAuth("", pat)
	got, err := w.srv.Client().Do(resp)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	if got.StatusCode != http.StatusNotFound {
		t.Errorf("another organisation answers %d", got.StatusCode)
	}
}

func TestProjectsByNameAndGUID(t *testing.T) {
	t.Parallel()
	w := setup(t)
	byName := w.must(200, "GET", "/_apis/projects/agile%20PROJECT?includeCapabilities=true", nil)
	guid, _ := byName.get("id").(string)
	if byName.get("capabilities", "processTemplate", "templateName") != "Agile" {
		t.Errorf("%s", byName.raw)
	}
	if !w.RenameProject("Agile Project", "Renamed") {
		t.Fatal("not renamed")
	}
	if r := w.must(200, "GET", "/_apis/projects/"+guid, nil); r.get("name") != "Renamed" {
		t.Errorf("%s", r.raw)
	}
	r := w.must(404, "GET", "/_apis/projects/Agile%20Project", nil)
	if r.get("typeKey") != "ProjectDoesNotExistWithNameException" || !strings.HasPrefix(r.text("message"), "TF200016: ") {
		t.Errorf("%s", r.raw)
	}
	w.must(200, "GET", "/"+guid+"/_apis/wit/workitemtypes", nil)
}

// The thresholds are modelled; the header names and 429 with TF400733 are documented.
func TestThrottling(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	w := setup(t, func(o *azuredevops.Options) {
		o.Now = func() time.Time { return now }
		o.Throttle = azuredevops.Throttle{Budget: 1, Window: 100 * time.Second, ReadCost: 0.1, SoftFactor: 1.2}
	})
	for i := range 10 {
		if r := w.must(200, "GET", "/_apis/projects", nil); r.header.Get("Retry-After") != "" {
			t.Fatalf("call %d is slowed down", i)
		}
	}
	r := w.must(200, "GET", "/_apis/projects", nil)
	if r.header.Get("Retry-After") == "" || r.header.Get("X-Ratelimit-Remaining") != "0" || r.header.Get("X-Ratelimit-Limit") != "1" {
		t.Errorf("over the budget: %v", r.header)
	}
	w.must(200, "GET", "/_apis/projects", nil)
	r = w.must(429, "GET", "/_apis/projects", nil)
	if r.header.Get("Retry-After") == "" || !strings.HasPrefix(r.text("message"), "TF400733: ") {
		t.Errorf("far over: %v %s", r.header, r.raw)
	}
	now = now.Add(100 * time.Second)
	w.must(200, "GET", "/_apis/projects", nil)
	w.SetThrottle(azuredevops.Throttle{})
	for range 50 {
		w.must(200, "GET", "/_apis/projects", nil)
	}
}

func TestDiscovery(t *testing.T) {
	t.Parallel()
	w := setup(t)
	areas := w.must(200, "GET", "/_apis/resourceAreas", nil)
	if got := areas.get("value", 0, "locationUrl"); got != w.URL()+"/" {
		t.Errorf("location %v", got)
	}
	wit := w.must(200, "OPTIONS", "/_apis/wit", nil)
	all := w.must(200, "OPTIONS", "/_apis", nil)
	if n, _ := wit.get("count").(float64); n < 10 || n >= all.number("count") {
		t.Errorf("wit %v of %v", n, all.get("count"))
	}
	if !strings.Contains(string(wit.raw), "72c7ddf8-2cdc-4f60-90cd-ab71c14a399b") {
		t.Error("work items are not located")
	}
}

// The delay grows from the budget to the refusal; what is left is told beforehand where
// that is switched on. Usage leaves the window as it came.
func TestThrottlingDelaysAndSlides(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := azuredevops.New(azuredevops.Options{Throttle: azuredevops.Throttle{
			Budget: 10, Window: 100 * time.Second, ReadCost: 1, SoftFactor: 1.2, NoticeFactor: .5, LongestDelay: 30 * time.Second,
		}})
		defer func() { _ = s.Close() }()
		get := func() *httptest.ResponseRecorder {
			req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/contoso/_apis/projects", http.NoBody)
			req.SetBasicAuth("", "sandbox-pat")
			w := httptest.NewRecorder()
			s.ServeHTTP(w, req)
			return w
		}
		began := time.Now()
		for n := 1; n <= 10; n++ {
			told := get().Header().Get("X-Ratelimit-Remaining")
			if want := map[bool]string{true: strconv.Itoa(10 - n), false: ""}[n >= 5]; told != want {
				t.Errorf("call %d is told that %q is left, want %q", n, told, want)
			}
			<-time.After(time.Second)
		}
		if d := time.Since(began); d != 10*time.Second {
			t.Errorf("calls within the budget took %s", d-10*time.Second)
		}
		for n, want := range []time.Duration{15 * time.Second, 30 * time.Second} {
			began := time.Now()
			resp := get()
			if d := time.Since(began); d != want || resp.Code != http.StatusOK || resp.Header().Get("Retry-After") == "" {
				t.Errorf("call %d over the budget: %d after %s, %v; want it after %s", n+1, resp.Code, d, resp.Header(), want)
			}
		}
		resp := get()
		if resp.Code != http.StatusTooManyRequests || s.PeakUsage() != 12 {
			t.Errorf("%d at %v units", resp.Code, s.PeakUsage())
		}
		wait, err := strconv.Atoi(resp.Header().Get("Retry-After"))
		if err != nil || wait < 40 || wait > 50 {
			t.Errorf("asked to wait %d s; want until three calls of the first seconds have left the window", wait)
		}
		<-time.After(time.Duration(wait) * time.Second)
		if resp := get(); resp.Code != http.StatusOK || resp.Header().Get("Retry-After") != "" {
			t.Errorf("after that: %d, %v", resp.Code, resp.Header())
		}
	})
}
