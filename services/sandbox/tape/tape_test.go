package tape_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tandem-sync/tandem/services/sandbox/tape"
)

// open gives a tape in a folder of the test's own.
func open(t *testing.T) (*tape.Tape, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tape")
	return tape.In(dir), dir
}

func read(t *testing.T, dir string) []tape.Exchange {
	t.Helper()
	all, err := tape.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func echo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Set-Cookie", "secret")
	data, _ := io.ReadAll(r.Body)
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write(data)
}

func send(t *testing.T, client *http.Client, url, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("", "hush-hush")
	r.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(r)
	if err != nil {
		return // a broken connection is one of the cases
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
}

func TestTheEnvironmentNamesTheFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "named")
	t.Setenv(tape.Variable, dir)
	tape.Open().Handler(tape.Server, http.HandlerFunc(echo)).
		ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/contoso/_apis/x", strings.NewReader("{}")))
	if all := read(t, dir); len(all) != 1 {
		t.Errorf("kept %+v", all)
	}

	t.Setenv(tape.Variable, "")
	kept := tape.Open()
	h := http.HandlerFunc(echo)
	if kept != nil || kept.Transport(http.DefaultTransport) != http.DefaultTransport {
		t.Error("a tape that nobody asked for")
	}
	if w := httptest.NewRecorder(); true {
		kept.Handler(tape.Server, h).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader("{}")))
		if w.Code != http.StatusCreated {
			t.Error(w.Code)
		}
	}
}

func TestShapesAreKeptOnceAndWithoutCredentials(t *testing.T) {
	t.Parallel()
	kept, dir := open(t)
	srv := httptest.NewServer(kept.Handler(tape.Server, http.HandlerFunc(echo)))
	defer srv.Close()
	for _, body := range []string{`{"a":1}`, `{"a":2}`, `{"a":3,"list":[1,2]}`, `{"a":4,"list":[1]}`, `{"a":"x"}`, `{"a":null}`} {
		send(t, srv.Client(), srv.URL+"/contoso/_apis/wit/workitems/7?api-version=7.1&x=1", body)
	}
	send(t, srv.Client(), srv.URL+"/contoso/_apis/wit/workitems/8?api-version=7.1&x=2", `{"a":5}`)
	send(t, srv.Client(), srv.URL+"/contoso/_apis/wit/workitems/8?api-version=7.0&x=2", `{"a":5}`)
	all := read(t, dir)
	if len(all) != 5 {
		t.Fatalf("%d shapes, want 5: %+v", len(all), all)
	}
	for _, x := range all {
		if x.Status != http.StatusCreated || x.Request.Text != x.Reply.Text || x.Request.Text == "" || x.Scheme != "Basic" || x.By != tape.Server {
			t.Errorf("got %+v", x)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 5 {
		t.Errorf("%v, %v", files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		// The second is what Basic makes of the first.
		if err != nil || strings.Contains(string(data), "hush") || strings.Contains(string(data), "Omh1c2g") || strings.Contains(string(data), "Cookie") {
			t.Errorf("%s, %v", data, err)
		}
	}
}

func TestTheClientsSideAndBrokenConnections(t *testing.T) {
	t.Parallel()
	kept, dir := open(t)
	srv := httptest.NewServer(kept.Handler(tape.Fault, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		panic(http.ErrAbortHandler)
	})))
	defer srv.Close()
	client := &http.Client{Transport: kept.Transport(srv.Client().Transport)}
	send(t, client, srv.URL+"/contoso/_apis/x", `{"b":true}`)
	all := read(t, dir)
	if len(all) != 2 {
		t.Fatalf("%+v", all)
	}
	for _, x := range all {
		if x.Status != 0 || x.Method != http.MethodPost || (x.By == tape.Client) != (x.Host != "") {
			t.Errorf("got %+v", x)
		}
		if x.By == tape.Client && x.Request.Text != `{"b":true}` {
			t.Errorf("the request is lost: %+v", x)
		}
	}
}

func TestLongBodiesAreLeftOut(t *testing.T) {
	t.Parallel()
	kept, dir := open(t)
	srv := httptest.NewServer(kept.Handler(tape.Server, http.HandlerFunc(echo)))
	defer srv.Close()
	long := `{"a":"` + strings.Repeat("x", 2<<20) + `"}`
	send(t, srv.Client(), srv.URL+"/contoso/_apis/x", long)
	all := read(t, dir)
	if len(all) != 1 || !all[0].Request.Cut || !all[0].Reply.Cut || all[0].Reply.Text != "" || all[0].Reply.Size != int64(len(long)) {
		t.Errorf("got %d: %.200v", len(all), all)
	}
}

// A request whose sender went away in the middle of it says nothing about what is sent.
func TestARequestThatBreaksOffIsNotKept(t *testing.T) {
	t.Parallel()
	kept, dir := open(t)
	served := make(chan struct{})
	handler := kept.Handler(tape.Server, http.HandlerFunc(echo))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(served)
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("POST /contoso/_apis/x HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"a\":")); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	<-served
	if all := read(t, dir); len(all) != 0 {
		t.Errorf("%+v", all)
	}
}
