package alvao_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/tandem-sync/tandem/services/sandbox/alvao"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// desk is a running stand-in and a client of it.
type desk struct {
	t *testing.T
	*alvao.Server
	url    string
	client *http.Client
	login  string
	pass   string
}

func newDesk(t *testing.T, set func(*alvao.Options)) *desk {
	t.Helper()
	var opts alvao.Options
	if set != nil {
		set(&opts)
	}
	s, err := alvao.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(func() {
		srv.Close()
		s.Close()
		client.CloseIdleConnections()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections() //nolint:errcheck // it is one
	})
	return &desk{t: t, Server: s, url: srv.URL + "/AlvaoRestApi", client: client, login: "tandem", pass: "tandem"}
}

// do makes a call and returns status, header and body.
func (d *desk) do(method, path, body string) (int, http.Header, string) {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.t.Context(), method, d.url+strings.ReplaceAll(path, " ", "%20"), strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	req.SetBasicAuth(d.login, d.pass)
	resp, err := d.client.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(raw)
}

// want makes a call that must answer with a status, and returns the body.
func (d *desk) want(status int, method, path, body string) string {
	d.t.Helper()
	got, _, raw := d.do(method, path, body)
	if got != status {
		d.t.Fatalf("%s %s: got %d, want %d: %s", method, path, got, status, raw)
	}
	return raw
}

// create makes a ticket through REST and returns its id.
func (d *desk) create(body string) string {
	d.t.Helper()
	return decode[struct{ ID json.Number }](d.t, d.want(201, "POST", "/v1/tickets", body)).ID.String()
}

// ticket makes a ticket as a person.
func (d *desk) ticket(in alvao.NewTicket) alvao.Ticket {
	d.t.Helper()
	if in.Name == "" {
		in.Name = "A ticket"
	}
	t, err := d.CreateTicket(d.t.Context(), alvao.Requester, in)
	if err != nil {
		d.t.Fatal(err)
	}
	return t
}

func decode[T any](t *testing.T, raw string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(raw), &v); err != nil {
		t.Fatalf("decoding %s: %v", raw, err)
	}
	return v
}

func idOf(t alvao.Ticket) string { return strconv.Itoa(t.ID) }

// list asks for tickets and returns their ids.
func (d *desk) list(query string) []int {
	d.t.Helper()
	var out []int
	for _, t := range decode[struct{ Value []struct{ ID int } }](d.t, d.want(200, "GET", "/v1/tickets?"+query, "")).Value {
		out = append(out, t.ID)
	}
	return out
}
