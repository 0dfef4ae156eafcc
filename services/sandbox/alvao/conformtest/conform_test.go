package conformtest_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tandem-sync/tandem/services/sandbox/alvao/conformtest"
	"github.com/tandem-sync/tandem/services/sandbox/deviationtest"
	"github.com/tandem-sync/tandem/services/sandbox/tape"
)

// tapes is the environment variable that names the folders with what a run of all tests has kept.
const tapes = "TANDEM_TAPES"

// TestTheWholeRunConforms holds every exchange with Alvao that the test suites kept against Alvao's document. `make
// conformance` runs it.
func TestTheWholeRunConforms(t *testing.T) {
	t.Parallel()
	dirs := os.Getenv(tapes)
	if dirs == "" {
		t.Skipf("%s names no folder with kept exchanges; make conformance does", tapes)
	}
	document := conformtest.Load(t)
	ledger := deviationtest.NewLedger(conformtest.Deviations())
	asked, answered, uncovered := map[string]int{}, map[string]int{}, map[string]int{}
	unlisted := map[string][]string{}
	exchanges := 0
	for _, dir := range filepath.SplitList(dirs) {
		all, err := tape.Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(all) == 0 {
			t.Errorf("%s is empty: run the tests with %s set to it first", dir, tape.Variable)
		}
		for _, x := range all {
			out := document.Check(x)
			if out.Operation == "" {
				continue
			}
			exchanges++
			if out.Request {
				asked[out.Operation]++
				if !out.Covered {
					uncovered[out.Operation]++
				}
			}
			if out.Answer && x.Status < 300 {
				answered[out.Operation]++
			}
			for _, p := range out.Problems {
				if !ledger.Listed(p) {
					unlisted[p.String()] = append(unlisted[p.String()], x.By+" of "+x.Test+": "+x.Method+" "+x.Path+"?"+x.Query)
				}
			}
		}
	}
	for _, problem := range slices.Sorted(maps.Keys(unlisted)) {
		t.Errorf("not in deviations.go: %s\n\t%d times, first in %s", problem, len(unlisted[problem]), unlisted[problem][0])
	}
	for _, name := range ledger.Unused() {
		t.Errorf("deviations.go lists %q, which does not occur any more: take it out", name)
	}
	t.Logf("%d shapes of exchanges with Alvao", exchanges)
	t.Logf("requests of sync-core that the document covers:\n%s", table(asked, uncovered))
	t.Logf("answers of the stand-in:\n%s", table(answered, nil))
	t.Logf("deviations:\n%s", strings.Join(ledger.Counts(), "\n"))
	var list strings.Builder
	for _, u := range conformtest.UncoveredCalls() {
		fmt.Fprintf(&list, "\t%-10s %s: %d (%s)\n", u.Mark, u.Operation, uncovered[u.Operation], u.Evidence)
		if uncovered[u.Operation] == 0 {
			t.Errorf("uncovered.go lists %s, which sync-core does not call any more: take it out", u.Operation)
		}
		delete(uncovered, u.Operation)
	}
	t.Logf("requests of sync-core that the document does not cover:\n%s", list.String())
	for operation := range uncovered {
		t.Errorf("sync-core calls %s, which neither the document nor uncovered.go has", operation)
	}
	// What sync-core is built on; without it a run proved nothing.
	for _, o := range []string{
		"GET /v1/tickets/{ticketId}", "PATCH /v1/tickets/{ticketId}", "PUT /v1/tickets/{ticketId}/state", "POST /v1/tickets/{ticketId}/log",
		"GET /v1/users", "GET /webhooks/suggestcolumnsforticket", "POST /webhooks/tickettransitionstostatus",
		"POST /webhooks/ticketfieldchanged", "DELETE /webhooks/{webhookId}",
	} {
		if asked[o] == 0 || answered[o] == 0 {
			t.Errorf("%s was sent %d times and answered well %d times", o, asked[o], answered[o])
		}
	}
}

// table lists counts, but those of operations in without.
func table(counts, without map[string]int) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		if without[name] == 0 {
			fmt.Fprintf(&b, "\t%s: %d\n", name, counts[name])
		}
	}
	return b.String()
}

// A checker that finds nothing proves nothing: each exchange here departs from the document in the one way named.
func TestTheCheckerFindsFaults(t *testing.T) {
	t.Parallel()
	document := conformtest.Load(t)
	post := func(body string, change ...func(*tape.Exchange)) tape.Exchange {
		x := tape.Exchange{
			By: tape.Client, Method: "POST", Host: "contoso.onalvao.com", Path: "/AlvaoRestApi/v1/tickets/7/log", Scheme: "Basic",
			Header:  map[string]string{"Content-Type": "application/json", "Accept": "application/json"},
			Request: tape.Body{Size: int64(len(body)), Text: body},
		}
		for _, f := range change {
			f(&x)
		}
		return x
	}
	answer := func(status int, body string) tape.Exchange {
		return tape.Exchange{
			By: tape.Server, Method: "GET", Path: "/AlvaoRestApi/v1/tickets/7", Query: "$expand=objects", Status: status,
			Answer: map[string]string{"Content-Type": "application/json; charset=utf-8"}, Reply: tape.Body{Size: int64(len(body)), Text: body},
		}
	}
	const log = "POST /v1/tickets/{ticketId}/log | request | "
	const ticket = "GET /v1/tickets/{ticketId} | answer | "
	for name, tc := range map[string]struct {
		exchange tape.Exchange
		want     string
	}{
		"nothing":       {post(`{"subject":"x","kind":"Note","showToRequester":false}`), ""},
		"another base":  {post(`{"subject":"x","kind":"Note"}`, func(x *tape.Exchange) { x.Path = "/desk/alvaorestapi/v1/tickets/7/log" }), ""},
		"another API":   {post(`{}`, func(x *tape.Exchange) { x.Path = "/contoso/P/_apis/wit/workitems/7" }), ""},
		"a test's own":  {post(`{}`, func(x *tape.Exchange) { x.By = tape.Server; x.Header = nil }), ""},
		"no kind":       {post(`{"subject":"x"}`), log + `body/kind | property "kind" is missing`},
		"another kind":  {post(`{"subject":"x","kind":"Sms"}`), log + `body/kind | value is not one of the allowed values ["Email","PhoneCall","Meeting","Letter","VoiceMessage","PaperNote","Form","Note","Process","Other","Notification"]`},
		"unknown key":   {post(`{"subject":"x","kind":"Note","html":"y"}`), log + `body | property "html" is unsupported`},
		"a wrong type":  {post(`{"subject":"x","kind":"Note","showToRequester":"yes"}`), log + `body/showToRequester | value must be a boolean`},
		"no body":       {post(``), log + `body | value is required but missing`},
		"no credential": {post(`{"subject":"x","kind":"Note"}`, func(x *tape.Exchange) { x.Scheme = "" }), log + "header Authorization | no credential is sent"},
		"a parameter":   {post(`{"subject":"x","kind":"Note"}`, func(x *tape.Exchange) { x.Query = "notify=1" }), log + "query notify | the parameter is not in the document"},

		"a ticket":           {answer(200, `{"id":7,"name":"x","stateId":1,"createdDate":"2026-01-02T03:04:05Z"}`), ""},
		"a ticket's id":      {answer(200, `{"id":"7"}`), ticket + "body/id | value must be an integer"},
		"a ticket's time":    {answer(200, `{"id":7,"createdDate":"2026-01-02T03:04:05"}`), ticket + `body/createdDate | string doesn't match the format "date-time" (no time of RFC 3339)`},
		"a ticket's key":     {answer(200, `{"id":7,"nickname":"x"}`), ticket + `body | property "nickname" is unsupported`},
		"status":             {answer(201, `{"id":7}`), ticket + "status | 201 is not in the document"},
		"a refusal":          {answer(403, `{"message":"no"}`), ""},
		"a shapeless one":    {answer(403, `{"reason":"no"}`), ticket + "body | a refusal has none of the known shapes"},
		"an unknown refusal": {answer(409, `{"message":"no"}`), ticket + "status | 409 is not in the document"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, p := range document.Check(tc.exchange).Problems {
				got = append(got, p.String())
			}
			if strings.Join(got, "\n") != tc.want {
				t.Errorf("got  %s\nwant %s", strings.Join(got, "\n     "), tc.want)
			}
		})
	}
	unknown := document.Check(post(`{}`, func(x *tape.Exchange) { x.Path = "/AlvaoRestApi/v1/nonsense/9" }))
	if unknown.Covered || unknown.Operation != "POST /v1/nonsense/{id}" || !unknown.Request {
		t.Errorf("a call that the document does not have: %+v", unknown)
	}
}

// Every deviation is named once and says why; every uncovered call has its mark.
func TestListsAreInOrder(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, d := range conformtest.Deviations() {
		if names[d.Name] || d.Name == "" || len(d.Evidence) < 20 {
			t.Errorf("%q has no name of its own or no evidence", d.Name)
		}
		names[d.Name] = true
	}
	for _, u := range conformtest.UncoveredCalls() {
		if names[u.Operation] || u.Mark != conformtest.Fact && u.Mark != conformtest.Assumption || len(u.Evidence) < 20 {
			t.Errorf("%q is listed twice, or without mark or evidence", u.Operation)
		}
		names[u.Operation] = true
	}
}
