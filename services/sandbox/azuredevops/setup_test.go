package azuredevops_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/tandem-sync/tandem/services/sandbox/azuredevops"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	pat      = "sandbox-pat"
	manual   = "manual-pat" // the rights that the manual of Alvao's connector asks for
	reader   = "reader-pat"
	jana     = "jana.dvorakova@contoso.com"
	petr     = "petr.svoboda@contoso.com"
	service  = "tandem@contoso.com"
	patchDoc = "application/json-patch+json"
)

// world is a stand-in behind a real HTTP server, mounted below a prefix as the program does it.
type world struct {
	*azuredevops.Server

	t   *testing.T
	srv *httptest.Server
}

// setup starts a stand-in with the projects Alvaoproject (Basic) and Agile Project (Agile).
func setup(t *testing.T, change ...func(*azuredevops.Options)) *world {
	t.Helper()
	opts := azuredevops.Options{
		Projects: []azuredevops.Project{
			{Name: "Alvaoproject", Areas: []string{"Web", `Web\Shop`}},
			{Name: "Agile Project", Process: azuredevops.Agile()},
		},
		Users: []azuredevops.User{
			{UniqueName: service, DisplayName: "Tandem Service"},
			{UniqueName: jana, DisplayName: "Jana Dvořáková"},
			{UniqueName: petr, DisplayName: "Petr Svoboda", Mail: "petr@home.example"},
			{UniqueName: "gone@contoso.com", DisplayName: "Gone", Inactive: true},
			{UniqueName: "twin1@contoso.com", DisplayName: "Twin"},
			{UniqueName: "twin2@contoso.com", DisplayName: "Twin"},
		},
		Tokens: []azuredevops.Token{
			{Secret: pat, Owner: service, Rights: azuredevops.AllRights},
			{Secret: manual, Owner: service, Rights: azuredevops.WorkItems},
			{Secret: reader, Owner: service, Rights: azuredevops.ReadWorkItems},
			{Secret: "entra", Owner: service, Rights: azuredevops.AllRights, Bearer: true},
		},
		Hooks: azuredevops.Hooks{RetryScale: 1e-4},
	}
	for _, f := range change {
		f(&opts)
	}
	s := azuredevops.New(opts)
	mux := http.NewServeMux()
	mux.Handle("/azuredevops/", http.StripPrefix("/azuredevops", s))
	srv := httptest.NewServer(mux)
	if opts.BaseURL == "" {
		s.SetBaseURL(srv.URL + "/azuredevops")
	}
	t.Cleanup(func() {
		srv.Client().CloseIdleConnections()
		srv.Close()
		if err := s.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return &world{s, t, srv}
}

// response is an answer with its body read.
type response struct {
	status int
	header http.Header
	raw    []byte
}

// get walks into the JSON body: names for objects, numbers for arrays.
func (r response) get(path ...any) any {
	var v any
	if err := json.Unmarshal(r.raw, &v); err != nil {
		return nil
	}
	return walk(v, path...)
}

func walk(v any, path ...any) any {
	for _, p := range path {
		switch key := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[key]
		case int:
			a, _ := v.([]any)
			if key >= len(a) {
				return nil
			}
			v = a[key]
		}
	}
	return v
}

func (r response) field(name string) any { return r.get("fields", name) }

func (r response) id() int {
	n, _ := r.get("id").(float64)
	return int(n)
}

// call sends a request below the organisation; the body may be a string, bytes or anything for JSON.
func (w *world) call(method, path string, body any, headers ...string) response {
	w.t.Helper()
	var reader io.Reader = http.NoBody
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	case []byte:
		reader = bytes.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			w.t.Fatal(err)
		}
		reader = bytes.NewReader(raw)
	}
	if !strings.Contains(path, "api-version") {
		sep := "?"
		if strings.Contains(path, "?") {
			sep = "&"
		}
		path += sep + "api-version=7.1-preview.4"
	}
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.srv.URL+"/azuredevops/contoso"+path, reader)
	if err != nil {
		w.t.Fatal(err)
	}
	req.SetBasicAuth("", pat)
	req.Header.Set("Content-Type", "application/json")
	if raw, isBytes := body.([]byte); isBytes && raw != nil {
		req.Header.Set("Content-Type", "application/octet-stream")
	}
	if strings.Contains(path, "/workitems/") && !strings.Contains(path, "/comments") && (method == http.MethodPatch || method == http.MethodPost) {
		req.Header.Set("Content-Type", patchDoc)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i+1] == "" {
			req.Header.Del(headers[i])
		} else {
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	resp, err := w.srv.Client().Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return response{resp.StatusCode, resp.Header, raw}
}

// must calls and demands a status.
func (w *world) must(status int, method, path string, body any, headers ...string) response {
	w.t.Helper()
	r := w.call(method, path, body, headers...)
	if r.status != status {
		w.t.Fatalf("%s %s: %d, want %d: %s", method, path, r.status, status, r.raw)
	}
	return r
}

// op is one JSON Patch operation.
type op struct {
	Op    any    `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

func add(field string, value any) op { return op{"add", "/fields/" + field, value} }

func relation(rel, url string) op {
	return op{"add", "/relations/-", map[string]any{"rel": rel, "url": url, "attributes": map[string]any{"comment": "c"}}}
}

// task makes a Task through REST and returns its id.
func (w *world) task(title string, more ...op) int {
	w.t.Helper()
	return w.must(200, "POST", "/Alvaoproject/_apis/wit/workitems/$Task", append([]op{add("System.Title", title)}, more...)).id()
}

// shared finds a file of the reference material that lies beside the repository.
func shared(t *testing.T, path string) []byte {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		raw, err := os.ReadFile(filepath.Join(dir, "shared", path))
		if err == nil {
			return bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			if os.Getenv("CI") == "true" {
				t.Fatalf("shared/%s is missing", path)
			}
			t.Skipf("shared/%s is not here: the vendor's documents and recordings lie outside the repository", path)
		}
		dir = parent
	}
}

// direct calls the handler without a network.
func (w *world) direct(tb testing.TB, method, path string, body any) int {
	tb.Helper()
	raw, isText := body.(string)
	if !isText {
		encoded, err := json.Marshal(body)
		if err != nil {
			tb.Fatal(err)
		}
		raw = string(encoded)
	}
	req := httptest.NewRequestWithContext(tb.Context(), method, path, strings.NewReader(raw))
	req.SetBasicAuth("", pat)
	req.Header.Set("Content-Type", "application/json")
	if method == http.MethodPatch || strings.Contains(path, "/$") {
		req.Header.Set("Content-Type", patchDoc)
	}
	rec := httptest.NewRecorder()
	w.ServeHTTP(rec, req)
	return rec.Code
}

func (r response) text(path ...any) string { s, _ := r.get(path...).(string); return s }

func (r response) list(path ...any) []any { a, _ := r.get(path...).([]any); return a }

func (r response) object(path ...any) map[string]any {
	m, _ := r.get(path...).(map[string]any)
	return m
}

func (r response) number(path ...any) float64 { n, _ := r.get(path...).(float64); return n }

// consumer gives the consumer inputs of a subscription body.
func consumer(body map[string]any) map[string]string {
	inputs, _ := body["consumerInputs"].(map[string]string)
	return inputs
}
