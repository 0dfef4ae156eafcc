//go:build mono

package app_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
)

const alvaoFolder = "../../../../deploy/alvao"

// TestAlvaoApplication compiles the scripts as the package holds them and runs them over
// stubs of Alvao's documented interfaces, against a real gateway and against bad ones. It
// needs Mono (Debian: mono-mcs, mono-runtime and the libraries that .ci/system.sh names).
func TestAlvaoApplication(t *testing.T) {
	t.Parallel()
	program := compiled(t)
	for name, test := range map[string]func(*testing.T, monoProgram){
		"its signature is the gateway's":                signsAlike,
		"what happens is told":                          tells,
		"without content the marks alone are told":      tellsBare,
		"the hourly round tells again":                  tellsAgain,
		"a long round goes on where it stopped":         tellsInParts,
		"what was not taken is not told as told":        claimsNothing,
		"no gateway makes people wait":                  delaysNobody,
		"what failed is tried again":                    triesAgain,
		"nothing that breaks reaches the user's action": breaksNothing,
		"the command opens the work item":               opens,
		"solvers are told of comments":                  notifies,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, program)
		})
	}
}

type monoProgram struct{ mono, path string }

// compiled makes the program, each script a file of its own, without any warning.
func compiled(t *testing.T) monoProgram {
	t.Helper()
	mono, mcs := tool(t, "mono"), tool(t, "mcs")
	newtonsoft := "/usr/lib/cli/Newtonsoft.Json-5.0/Newtonsoft.Json.dll"
	if _, err := os.Stat(newtonsoft); err != nil {
		missing(t, "libnewtonsoft-json5.0-cil")
	}
	dir := t.TempDir()
	text, err := os.ReadFile(filepath.Join(alvaoFolder, "TandemApplication.xml"))
	if err != nil {
		t.Fatal(err)
	}
	var application struct {
		Scripts []struct {
			Name string
			Code string
		} `xml:"Applications>Application>Scripts>Script"`
	}
	if err := xml.Unmarshal(text, &application); err != nil || len(application.Scripts) < 4 {
		t.Fatalf("%d scripts, %v", len(application.Scripts), err)
	}
	files, err := filepath.Glob(filepath.Join(alvaoFolder, "stubs", "*.cs"))
	if err != nil || len(files) == 0 {
		t.Fatalf("the stubs are away: %v", err)
	}
	for _, s := range application.Scripts {
		file := filepath.Join(dir, s.Name+".cs")
		if err := os.WriteFile(file, []byte(s.Code), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	library, err := os.ReadFile(newtonsoft)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "Newtonsoft.Json.dll"), library, 0o600); err != nil {
		t.Fatal(err)
	}
	p := monoProgram{mono, filepath.Join(dir, "application.exe")}
	args := append([]string{
		"-langversion:6", "-warn:4", "-warnaserror", "-out:" + p.path, "-r:System.Data.dll", "-r:System.Net.Http.dll", "-r:" + newtonsoft,
	}, files...)
	if out, err := exec.CommandContext(t.Context(), mcs, args...).CombinedOutput(); err != nil {
		t.Fatalf("compiling: %v\n%s", err, out)
	}
	return p
}

func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, name)
	}
	return path
}

func missing(t *testing.T, what string) {
	t.Helper()
	text := what + " is missing: .ci/system.sh installs it, or: sudo apt-get install mono-mcs mono-runtime libmono-system-net-http4.0-cil libmono-system-data4.0-cil libnewtonsoft-json5.0-cil"
	if os.Getenv("CI") == "true" {
		t.Fatal(text)
	}
	t.Skip(text)
}

// run runs a scenario and gives what it printed.
func (p monoProgram) run(t *testing.T, input string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, p.mono, append([]string{p.path}, args...)...)
	command.Stdin = strings.NewReader(input)
	var out, errors bytes.Buffer
	command.Stdout, command.Stderr = &out, &errors
	if err := command.Run(); err != nil {
		t.Fatalf("%v: %v\n%s%s", args, err, &out, &errors)
	}
	return out.String()
}

// signsAlike compares byte for byte, whatever the key, the time and the body are.
func signsAlike(t *testing.T, p monoProgram) {
	t.Helper()
	var input strings.Builder
	var want []string
	for n := range 200 {
		key, body := rand.Text()+"ž\U0001F600", make([]byte, n*n)
		if _, err := rand.Read(body); err != nil {
			t.Fatal(err)
		}
		timestamp := strconv.Itoa(n * 7_777_777)
		for _, part := range [][]byte{[]byte(key), []byte(timestamp), body} {
			input.WriteString(base64.StdEncoding.EncodeToString(part) + " ")
		}
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write([]byte(timestamp + "."))
		mac.Write(body)
		want = append(want, hex.EncodeToString(mac.Sum(nil)))
		s := input.String()
		input.Reset()
		input.WriteString(strings.TrimSuffix(s, " ") + "\n")
	}
	got := strings.Fields(p.run(t, input.String(), "sign"))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// told runs a scenario against a real gateway and gives what sync-core was told.
func told(t *testing.T, p monoProgram, scenario string) (string, []*tandemv1.IngestEventRequest) {
	t.Helper()
	g := start(t, newCore(t), nil)
	out := p.run(t, "", scenario, "http://"+g.Addr().String(), g.keys(t).AlvaoApplicationKeys("development")[0])
	g.core.mu.Lock()
	defer g.core.mu.Unlock()
	var requests []*tandemv1.IngestEventRequest
	for _, r := range g.core.requests {
		if r.GetConnector() != "development" || r.GetSystem() != tandemv1.System_SYSTEM_ALVAO || r.GetEventId() == "" || len(r.GetPayload()) == 0 ||
			bytes.Contains(r.GetPayload(), []byte("About")) {
			t.Errorf("sync-core was told %v", r)
		}
		requests = append(requests, r)
	}
	return out, requests
}

func shorthand(requests []*tandemv1.IngestEventRequest) []string {
	var short []string
	for _, r := range requests {
		line := fmt.Sprintf("%s %d", r.GetEventType(), r.GetItemId())
		if r.GetRound() != nil {
			line = r.GetEventType()
			if took := r.GetRound().GetTook().AsDuration(); took < 0 || took > time.Hour {
				line += " after " + took.String()
			}
		}
		if p := r.GetPushed(); p != nil {
			line += fmt.Sprintf(" record %d own=%t again=%t removed=%t bare=%t %s", p.GetRecordId(), p.GetOwn(), p.GetAgain(), p.GetRemoved(), p.GetBare(), p.GetContentHtml())
		}
		short = append(short, strings.TrimSpace(line))
	}
	return short
}

const firstHTML = "<p>Kůň \"&\" \\ \u2028 \U0001F600</p>"

func tells(t *testing.T, p monoProgram) {
	t.Helper()
	out, requests := told(t, p, "story")
	if out != "settled True\n" {
		t.Errorf("it said %q", out)
	}
	want := []string{
		"ticket.created 1001",
		"act.created 1001 record 9001 own=false again=false removed=false bare=false " + firstHTML,
		"act.changed 1001 record 9001 own=false again=false removed=false bare=false " + firstHTML,
		"act.created 1001 record 9003 own=true again=false removed=false bare=false <p>use water</p>",
		"ticket.changed 1002",
		"act.changed 1001 record 9001 own=false again=false removed=false bare=false <p>as committed</p>",
		"act.removed 1001 record 9001 own=false again=false removed=true bare=false",
	}
	if diff := cmp.Diff(want, shorthand(requests)); diff != "" {
		t.Fatalf("told (-want +got):\n%s", diff)
	}
	size := int64(123)
	record := &tandemv1.PushedRecord{
		RecordId: 9001, AsOfTime: timestamppb.New(time.Date(2026, 3, 2, 8, 0, 0, 1_234_500, time.UTC)), Mark: tandemv1.PushedRecord_MARK_IMPORTANT,
		ShowToRequester: true, Subject: "About", ContentHtml: firstHTML, ContentPlain: "plain", Kind: "Note", From: "Eve",
		CreateTime: timestamppb.New(time.Date(2026, 3, 1, 7, 0, 0, 0, time.UTC)),
		Files:      []*tandemv1.PushedFile{{FileId: 77, Name: "kůň.png", SizeBytes: &size, Link: "v1/attachments/77"}, {FileId: 78, Name: "page"}},
	}
	if diff := cmp.Diff(record, requests[1].GetPushed(), protocmp.Transform()); diff != "" {
		t.Errorf("the record (-want +got):\n%s", diff)
	}
	last := time.Time{}
	for _, r := range requests {
		if at := r.GetPushed().GetAsOfTime(); at != nil {
			if !at.AsTime().After(last) {
				t.Errorf("record %d is told as of %v, after %v", r.GetPushed().GetRecordId(), at.AsTime(), last)
			}
			last = at.AsTime()
		}
	}
	if want := `{"event":"ticket.changed","ticketId":1002,"personId":10,"properties":"tHdTicket.liHdTicketHdSectionId"}`; string(requests[4].GetPayload()) != want {
		t.Errorf("people are shown %s", requests[4].GetPayload())
	}
}

func tellsBare(t *testing.T, p monoProgram) {
	t.Helper()
	_, requests := told(t, p, "bare")
	if len(requests) < 3 {
		t.Fatalf("told %v", requests)
	}
	for _, r := range requests {
		p := proto.CloneOf(r.GetPushed())
		if p == nil || p.GetRemoved() {
			continue
		}
		if !p.GetBare() || !p.GetShowToRequester() || p.GetRecordId() == 9001 && p.GetMark() != tandemv1.PushedRecord_MARK_IMPORTANT {
			t.Errorf("told %v", p)
		}
		if p.GetSubject()+p.GetContentHtml()+p.GetContentPlain()+p.GetFrom() != "" || len(p.GetFiles()) > 0 {
			t.Errorf("texts are told: %v", p)
		}
	}
}

func tellsAgain(t *testing.T, p monoProgram) {
	t.Helper()
	_, requests := told(t, p, "round")
	want := []string{
		"act.swept 1001 record 9003 own=true again=true removed=false bare=false <p>use water</p>",
		"act.swept 1001 record 9001 own=false again=true removed=false bare=false " + firstHTML,
		"round.finished",
	}
	if diff := cmp.Diff(want, shorthand(requests)); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

// tellsInParts: a round that has no time left, or breaks off, goes on where it stopped, and
// says that it told all only when it did.
func tellsInParts(t *testing.T, p monoProgram) {
	t.Helper()
	out, requests := told(t, p, "long round")
	if !strings.Contains(out, "goes on with the rest in an hour") {
		t.Errorf("it said %q", out)
	}
	var got []string
	for _, r := range requests {
		if r.GetRound() != nil {
			got = append(got, r.GetEventType())
			continue
		}
		got = append(got, strconv.FormatInt(r.GetPushed().GetRecordId(), 10))
	}
	want := strings.Fields("9008 9007 9006 9005 9004 9003 9001 round.finished 9008 9007 9006 9005 9004 9003 9001 round.finished")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

// claimsNothing: a round of which the gateway did not take one record does not say that it
// told all, for then what stands in Alvao would be written there again.
func claimsNothing(t *testing.T, p monoProgram) {
	t.Helper()
	for fails := range 3 {
		var mu sync.Mutex
		var events []string
		gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var told struct{ Event string }
			err := json.NewDecoder(r.Body).Decode(&told)
			mu.Lock()
			defer mu.Unlock()
			if events = append(events, told.Event); len(events) == fails+1 || err != nil {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			w.WriteHeader(http.StatusAccepted)
		}))
		t.Cleanup(gateway.Close)
		p.run(t, "", "round", gateway.URL, "key")
		want := []string{"act.swept", "act.swept", "round.finished"}[:fails+1]
		if !slices.Equal(events, want) {
			t.Errorf("call %d was not taken, and it went on: %v, want %v", fails+1, events, want)
		}
	}
}

// badGateways are gateways that fail in a way of their own; each gives its address.
func badGateways(t *testing.T) map[string]string {
	t.Helper()
	serve := func(handler http.HandlerFunc) string {
		s := httptest.NewServer(handler)
		t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
		return s.URL
	}
	raw := func(talk func(net.Conn)) string {
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() })
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				go func() { defer func() { _ = conn.Close() }(); talk(conn) }()
			}
		}()
		return "http://" + listener.Addr().String()
	}
	closed, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	wait := func(conn net.Conn) {
		var some [1024]byte
		for {
			if _, err := conn.Read(some[:]); err != nil {
				return
			}
		}
	}
	return map[string]string{
		"away":    "http://" + closed.Addr().String(),
		"hanging": raw(wait),
		"cutting": raw(func(net.Conn) {}),
		"garbling": raw(func(conn net.Conn) {
			_, _ = conn.Write(bytes.Repeat([]byte("\x00\xff garbage \r\n"), 10_000))
			wait(conn)
		}),
		"half":     raw(func(conn net.Conn) { _, _ = conn.Write([]byte("HTTP/1.1 202 Acc")); wait(conn) }),
		"failing":  serve(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }),
		"busy":     serve(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }),
		"refusing": serve(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }),
		"endless": serve(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusAccepted)
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}),
	}
}

// delaysNobody: whatever the gateway does, a user's action waits for nothing.
func delaysNobody(t *testing.T, p monoProgram) {
	t.Helper()
	var other atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { other.Add(1) }))
	t.Cleanup(elsewhere.Close)
	gateways := badGateways(t)
	redirecting := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	t.Cleanup(redirecting.Close)
	gateways["redirecting"] = redirecting.URL
	const changes = 200
	for name, address := range gateways {
		out := p.run(t, "", "burst", address, "key", strconv.Itoa(changes))
		var worst, all float64
		if _, err := fmt.Sscanf(out, "worst %f\nall %f\n", &worst, &all); err != nil {
			t.Fatalf("%s: %v: %s", name, err, out)
		}
		// A busy machine may stop a process for a while, but a wait for a gateway is 5 s.
		if worst > 2000 || all/changes > 20 {
			t.Errorf("%s: one change waited %.1f ms, all %.1f ms: %s", name, worst, all, out)
		}
		// Nothing but the settings was read in somebody's transaction, and those once; not even
		// those where the thread that posts was faster.
		if !strings.Contains(out, "in transaction 2\n") && !strings.Contains(out, "in transaction 0\n") ||
			!strings.Contains(out, "waiting True\n") || strings.Contains(out, "key\n") {
			t.Errorf("%s: %s", name, out)
		}
		t.Logf("%s: %d changes took %.1f ms, the longest %.2f ms", name, changes, all, worst)
	}
	if other.Load() != 0 {
		t.Error("a signed request was sent on to another address")
	}
}

func triesAgain(t *testing.T, p monoProgram) {
	t.Helper()
	var mu sync.Mutex
	seen := map[string]bool{}
	asked := 0
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked++
		seen[r.Header.Get("X-Tandem-Signature")] = true
		w.WriteHeader(map[bool]int{true: http.StatusServiceUnavailable, false: http.StatusAccepted}[asked < 3])
	}))
	t.Cleanup(gateway.Close)
	out := p.run(t, "", "one", gateway.URL, "key")
	if asked != 3 || len(seen) != 3 || !strings.HasPrefix(out, "settled True\n") {
		t.Errorf("asked %d times with %d signatures: %s", asked, len(seen), out)
	}
	// What is refused for good is not tried again, and told in Alvao's log once.
	asked = 0
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked++
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(refusing.Close)
	out = p.run(t, "", "one", refusing.URL, "key")
	if asked != 1 || out != "settled True\nlog: Tandem: the gateway answered 401 for connector development; compare the key with what 'synccore hooks' prints, and the clocks.\n" {
		t.Errorf("asked %d times: %s", asked, out)
	}
}

func breaksNothing(t *testing.T, p monoProgram) {
	t.Helper()
	out := p.run(t, "", "broken", "http://127.0.0.1:1", "canary-key")
	if !strings.HasPrefix(out, "show False, run Error\n") || strings.Contains(out, "canary-key") {
		t.Error(out)
	}
	if out := p.run(t, "", "unreadable", "http://127.0.0.1:1", "key"); !strings.HasPrefix(out, "in transaction 1\n") {
		t.Error(out)
	}
	// Without encryption nothing is sent but to the same machine, and nothing to what is no
	// address: there is nobody to wait for.
	for _, address := range []string{"", "http://tandem.invalid", "ftp://tandem.invalid", "https://user:password@tandem.invalid", "tandem", "file:///tmp"} {
		if out := p.run(t, "", "one", address, "key"); out != "settled True\n" {
			t.Errorf("%q: %s", address, out)
		}
	}
}

func opens(t *testing.T, p monoProgram) {
	t.Helper()
	const there, pasted = "True None https://dev.azure.com/Alvao/Alvaoproject/_workitems/edit/42", "True None https://dev.azure.com/o/p/_workitems/edit/42"
	const hidden = "False Error "
	want := []string{
		"no work item: " + hidden, "plain: " + there, "of another service: " + hidden, "without service: " + hidden, "no number: " + hidden,
		"switched off: " + hidden,
		"pasted : " + there, "pasted {: " + there,
		`pasted {"URL": "https://dev.azure.com/o/p/"}: ` + pasted,
		`pasted {"URL": "javascript:alert(1)"}: ` + hidden,
		`pasted {"DisplayOpenExternalCommand": false}: ` + hidden,
		`pasted {"ShowOpenExternalTicketCommand": "false"}: ` + hidden,
		`pasted {"DisplayOpenExternalCommand": false, "ShowOpenExternalTicketCommand": true}: ` + there,
		`pasted {"ShowOpenExternalTicketCommand": false, "DisplayOpenExternalCommand": true}: ` + hidden,
		`pasted {"ShowOpenExternalTicketCommand": 5}: ` + there,
		"broken: " + hidden,
	}
	got := strings.Split(strings.TrimRight(p.run(t, "", "command", "http://127.0.0.1:1", "key"), "\n"), "\n")
	if diff := cmp.Diff(want, got[:min(len(got), len(want))]); diff != "" {
		t.Error(diff)
	}
}

func notifies(t *testing.T, p monoProgram) {
	t.Helper()
	const copied = `use water\nCopied from Azure DevOps · TANDEM-W12-C5-ZMEYSY`
	const headline, address = "New comment from Azure DevOps: Printer is on fire (T1001SD)", "https://contoso.onalvao.com/Alvao/Ticket/1001"
	mail := "email: alvao@contoso.com | sol@contoso.com | " + headline + " | " + copied + `\r\n\r\n` + address
	want := []string{
		"email " + mail,
		"teams, email teams: 11 | " + headline + " | " + copied + " | Open ticket | " + address,
		"teams, email " + mail,
	}
	got := strings.Split(p.run(t, "", "notice", "http://127.0.0.1:1", "key"), "\n")
	var sent []string
	longest := 0
	for _, line := range got {
		switch {
		case strings.Contains(line, "teams: ") || strings.Contains(line, "email: "):
			sent = append(sent, line)
		case strings.HasPrefix(line, "longest "):
			if _, err := fmt.Sscanf(line, "longest %d", &longest); err != nil {
				t.Error(err)
			}
		}
	}
	if diff := cmp.Diff(want, sent); diff != "" {
		t.Error(diff)
	}
	if longest == 0 || longest > 4300 {
		t.Errorf("the longest notice has %d characters", longest)
	}
}
