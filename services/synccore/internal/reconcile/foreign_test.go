package reconcile_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tandem-sync/tandem/services/sandbox/fault"
)

// witness dials as a transport would and notes every address but one. What it notes is
// refused before a name is looked up.
type witness struct {
	home string

	mu      sync.Mutex
	strange []string
}

func (w *witness) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if address == w.home {
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	}
	w.note("dialled " + address)
	return nil, fmt.Errorf("%s is none of ours", address)
}

func (w *witness) note(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.strange = append(w.strange, what)
}

// taken gives what was noted since it was called last.
func (w *witness) taken() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.strange
	w.strange = nil
	return all
}

// canary is a server that nobody has any business at, on all of loopback, and its port.
func canary(t *testing.T, w *witness) string {
	t.Helper()
	listener, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		w.note(fmt.Sprintf("reached: %s http://%s%s, credential %q", r.Method, r.Host, r.URL, r.Header.Get("Authorization")))
	})}}
	server.Start()
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// elsewhere are addresses that lead to another place than the configured one, home, or to
// a part of it that is no attachment. Each ends where a path may follow.
func elsewhere(home, port string) map[string]string {
	_, homePort, _ := net.SplitHostPort(home)
	return map[string]string{
		"loopback, another port":        "http://127.0.0.1:" + port,
		"loopback by name":              "http://localhost:" + port,
		"loopback, short":               "http://127.1:" + port,
		"loopback, all of the net":      "http://127.255.255.254:" + port,
		"no address":                    "http://0.0.0.0:" + port,
		"loopback of IPv6":              "http://[::1]:" + port,
		"mapped into IPv6":              "http://[::ffff:127.0.0.1]:" + port,
		"mapped into IPv6, hexadecimal": "http://[::ffff:7f00:1]:" + port,
		"translated into IPv6":          "http://[64:ff9b::7f00:1]:" + port,
		"decimal":                       "http://2130706433:" + port,
		"octal":                         "http://0177.0.0.1:" + port,
		"hexadecimal":                   "http://0x7f.0x0.0x0.0x1:" + port,
		"hexadecimal in one":            "http://0x7f000001:" + port,
		"home in decimal":               "http://2130706433:" + homePort,
		"home by its IPv6":              "http://[::ffff:127.0.0.1]:" + homePort,
		"link-local metadata":           "http://169.254.169.254",
		"link-local metadata, IPv6":     "http://[fd00:ec2::254]",
		"metadata by name":              "http://metadata.google.internal",
		"metadata in decimal":           "http://2852039166",
		"a private net":                 "http://10.0.0.1",
		"home as the user":              "http://" + home + "@127.0.0.1:" + port,
		"home as user and password":     "http://" + strings.Replace(home, ":", ":x@127.0.0.1:"+port+"#", 1),
		"a user at home":                "http://u:p@" + home,
		"a backslash for the end":       `http://127.0.0.1:` + port + `\@` + home,
		"backslashes":                   `http:\\127.0.0.1:` + port,
		"home as a fragment":            "http://127.0.0.1:" + port + "#@" + home,
		"home as a query":               "http://127.0.0.1:" + port + "?@" + home,
		"home as a subdomain":           "http://127.0.0.1." + "rebind.example:" + homePort,
		"home with more":                "http://" + home + "0",
		"home without its port":         "http://127.0.0.1",
		"another scheme":                "https://" + home,
		"without a scheme":              "//127.0.0.1:" + port,
		"a name of two answers":         "http://rebind.example:" + homePort,
		"a name of home's address":      "http://localhost:" + homePort,
		"an international name":         "http://dev.\u0430zure.com", // a Cyrillic а
		"wide digits":                   "http://\uff11\uff12\uff17.0.0.1:" + port,
		"circled digits":                "http://\u2460\u2461\u2466.0.0.1:" + port,
		"a dot of another script":       "http://127\u30020\u30020\u30021:" + port,
		"a tab in the host":             "http://127.0.0.1\t:" + port,
		"a line end in the host":        "http://" + home + "\n.127.0.0.1:" + port,
		"a name that ends in a dot":     "http://localhost.:" + port,
		"a file":                        "file:///etc/passwd?",
		"gopher":                        "gopher://127.0.0.1:" + port,
		"ftp":                           "ftp://127.0.0.1:" + port,
		"dict":                          "dict://127.0.0.1:" + port,
		"LDAP":                          "ldap://127.0.0.1:" + port,
		"a jar":                         "jar:http://127.0.0.1:" + port + "!",
		"a database's port":             "http://127.0.0.1:6379",
		"up and away":                   "http://" + home + "/azuredevops/contoso/..",
		"up and away, escaped":          "http://" + home + "/azuredevops/contoso/%2e%2e/%2e%2e",
		"another account":               "http://" + home + "/azuredevops/fabrikam",
	}
}

// TestForeignAddressesAreNeverCalled: whoever writes a message or enters a hyperlink decides where its images and links
// lead. Tandem, which holds the credentials of both systems, goes to none of them, and the text itself crosses.
func TestForeignAddressesAreNeverCalled(t *testing.T) {
	t.Parallel()
	c := chatting(t)
	port := canary(t, c.witness)
	vectors := elsewhere(c.witness.home, port)
	if len(vectors) < 25 {
		t.Fatalf("there are %d vectors", len(vectors))
	}
	const file = "/_apis/wit/attachments/098a279a-60b9-40a8-868b-b7fd00c0a439?fileName=x.png"
	n := 0
	for _, vector := range slices.Sorted(maps.Keys(vectors)) {
		address := vectors[vector]
		n++
		var html, marked strings.Builder
		for _, path := range []string{"/azuredevops/contoso" + file, "/azuredevops/contoso/Alvaoproject" + file, "/AlvaoRestApi/v1/attachments/1", "/AlvaoRestApi/../logo.png", "/logo.png"} {
			fmt.Fprintf(&html, `<img src="%[1]s" alt="x"><a href="%[1]s">link</a> <img srcset="%[1]s 2x"><object data="%[1]s"></object><iframe src="%[1]s"></iframe><div style="background:url(%[1]s)">.</div>`, address+path)
			fmt.Fprintf(&marked, "![x](<%[1]s>) [link](<%[1]s>) ![y](%[1]s =10x10)\n\n", strings.ReplaceAll(address+path, "\n", ""))
		}
		mark := fmt.Sprintf("mark%dx", n)
		c.comment(t, "<p>"+mark+"</p>"+html.String())
		c.write(t, "<p>"+mark+"</p>"+html.String())
		if _, err := c.boards.As(developer).Comment(int(c.workItem), mark+"\n\n"+marked.String(), "markdown"); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(address, "://") && !strings.ContainsAny(address, "\t\n") { // a hyperlink is absolute
			_, _ = c.boards.As(developer).Link(int(c.workItem), "Hyperlink", address+"/AlvaoWebApp/Ticket/1", "see") // some are refused there
			_, _ = c.boards.As(developer).Link(int(c.workItem), "AttachedFile", address+"/azuredevops/contoso"+file, "x.png")
		}
		c.round(t)
		if records, comments := len(c.records(mark)), len(c.comments(mark)); records != 2 || comments != 3 {
			t.Errorf("%s: the texts themselves did not cross: %d records, %d comments", vector, records, comments)
		}
		if strange := c.witness.taken(); len(strange) > 0 {
			t.Errorf("%s: %s", vector, strings.Join(strange, "\n"))
		}
	}
	t.Logf("%d vectors", n)
}

// TestRedirectsAreNotFollowed: a system that sends Tandem elsewhere, be it hijacked or in
// the middle of signing in, gets its credential shown to nobody.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	faults := fault.NewSet(1)
	c := chatting(t, func(o *options) { o.faults = faults })
	port := canary(t, c.witness)
	vectors := elsewhere(c.witness.home, port)
	for _, vector := range slices.Sorted(maps.Keys(vectors)) {
		address := vectors[vector]
		if strings.ContainsAny(address, "\t\n") {
			continue // no header holds it
		}
		for _, code := range []int{301, 302, 303, 307, 308} {
			rule := fault.Rule{ID: "away", Kind: fault.KindStatus, Status: code, Headers: map[string]string{
				"Location": address + "/AlvaoRestApi/x", "Refresh": "0; url=" + address, "Link": "<" + address + ">; rel=next",
			}}
			if _, err := faults.Add(rule); err != nil {
				t.Fatal(err)
			}
			_, _ = c.engine.Handle(t.Context(), c.connector, hints(c.ticket)) // whatever becomes of it
			faults.Clear()
			if strange := c.witness.taken(); len(strange) > 0 {
				t.Errorf("%d to %s: %s", code, vector, strings.Join(strange, "\n"))
			}
		}
	}
}
