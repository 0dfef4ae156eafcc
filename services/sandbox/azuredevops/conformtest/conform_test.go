package conformtest_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tandem-sync/tandem/services/sandbox/azuredevops/conformtest"
	"github.com/tandem-sync/tandem/services/sandbox/deviationtest"
	"github.com/tandem-sync/tandem/services/sandbox/tape"
)

// tapes is the environment variable that names the folders with what a run of all tests has kept.
const tapes = "TANDEM_TAPES"

// TestTheWholeRunConforms holds every exchange that the test suites kept against Microsoft's documents. `make
// conformance` runs it.
func TestTheWholeRunConforms(t *testing.T) {
	t.Parallel()
	dirs := os.Getenv(tapes)
	if dirs == "" {
		t.Skipf("%s names no folder with kept exchanges; make conformance does", tapes)
	}
	documents := conformtest.Load(t)
	ledger := deviationtest.NewLedger(conformtest.Deviations())
	exchanges, cut := 0, 0
	asked, answered, programs := map[string]int{}, map[string]int{}, map[string]int{}
	unlisted := map[string][]string{}
	for _, dir := range filepath.SplitList(dirs) {
		all, err := tape.Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(all) == 0 {
			t.Errorf("%s is empty: run the tests with %s set to it first", dir, tape.Variable)
		}
		for _, x := range all {
			out := documents.Check(x)
			if out.Operation == "" {
				continue
			}
			exchanges++
			programs[x.Test]++
			if x.Request.Cut || x.Reply.Cut && x.By != tape.Client {
				cut++
			}
			if out.Request {
				asked[out.Operation]++
			}
			if out.Answer {
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
	t.Logf("%d shapes of exchanges, %d with a body too long to be kept, from %v", exchanges, cut, programs)
	t.Logf("requests of sync-core, by operation:\n%s", table(asked))
	t.Logf("answers of the stand-in, by operation:\n%s", table(answered))
	t.Logf("deviations:\n%s", strings.Join(ledger.Counts(), "\n"))
	// What sync-core is built on; without it a run proved nothing.
	for _, o := range []string{
		"GET wit/workitems/{id}", "PATCH wit/workitems/{id}", "POST wit/workitems/${type}", "POST wit/workitemsbatch", "POST wit/wiql",
		"GET wit/workItems/{workItemId}/comments", "POST wit/workItems/{workItemId}/comments?format={format}",
		"POST wit/attachments", "GET wit/attachments/{id}", "GET wit/workitemtypes/{type}/states", "GET identities",
	} {
		if asked[o] == 0 || answered[o] == 0 {
			t.Errorf("%s was sent %d times and answered %d times", o, asked[o], answered[o])
		}
	}
}

func table(counts map[string]int) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		b.WriteString("\t" + name + ": " + strconv.Itoa(counts[name]) + "\n")
	}
	return b.String()
}

// A checker that finds nothing proves nothing: each exchange here departs from the documents in the one way named.
func TestTheCheckerFindsFaults(t *testing.T) {
	t.Parallel()
	documents := conformtest.Load(t)
	const good = `[{"op":"add","path":"/fields/System.Title","value":{}}]`
	patch := func(change func(*tape.Exchange)) tape.Exchange {
		x := tape.Exchange{
			By: tape.Client, Method: "PATCH", Host: "dev.azure.com", Path: "/contoso/P/_apis/wit/workitems/7", Query: "api-version=7.1", Scheme: "Basic",
			Header:  map[string]string{"Content-Type": "application/json-patch+json; charset=utf-8"},
			Request: tape.Body{Size: int64(len(good)), Text: good},
		}
		change(&x)
		return x
	}
	answer := func(status int, body string) tape.Exchange {
		return tape.Exchange{
			By: tape.Server, Method: "GET", Path: "/contoso/P/_apis/wit/workItems/7/comments/3", Query: "api-version=7.1-preview.4", Status: status,
			Answer: map[string]string{"Content-Type": "application/json; charset=utf-8", "Activityid": "x"}, Reply: tape.Body{Size: int64(len(body)), Text: body},
		}
	}
	text := func(s string) func(*tape.Exchange) { return func(x *tape.Exchange) { x.Request.Text = s } }
	for name, c := range map[string]struct {
		exchange tape.Exchange
		want     string
	}{
		"nothing":         {patch(func(*tape.Exchange) {}), ""},
		"legacy host":     {patch(func(x *tape.Exchange) { x.Host, x.Path = "contoso.visualstudio.com", "/P/_apis/wit/workitems/7" }), ""},
		"server":          {patch(func(x *tape.Exchange) { x.Host, x.Path = "tfs.example", "/tfs/Coll/P/_apis/wit/workitems/7" }), ""},
		"no API":          {patch(func(x *tape.Exchange) { x.Path = "/contoso/P/_workitems/edit/7" }), ""},
		"media type":      {patch(func(x *tape.Exchange) { x.Header["Content-Type"] = "application/json" }), `PATCH wit/workitems/{id} | request | body | header Content-Type has unexpected value "application/json"`},
		"operation":       {patch(text(`[{"op":"set","path":"/x"}]`)), `PATCH wit/workitems/{id} | request | body/*/op | value is not one of the allowed values ["add","remove","replace","move","copy","test"]`},
		"patch key":       {patch(text(`[{"op":"add","path":"/x","val":1}]`)), `PATCH wit/workitems/{id} | request | body/* | property "val" is unsupported`},
		"no list":         {patch(text(`{}`)), "PATCH wit/workitems/{id} | request | body | value must be an array"},
		"no body":         {patch(func(x *tape.Exchange) { x.Request = tape.Body{} }), "PATCH wit/workitems/{id} | request | body | value is required but missing"},
		"no number":       {patch(func(x *tape.Exchange) { x.Path = "/contoso/P/_apis/wit/workitems/seven" }), `PATCH wit/workitems/{id} | request | path id | it can't be read: an invalid integer`},
		"parameter":       {patch(func(x *tape.Exchange) { x.Query += "&expand=all" }), "PATCH wit/workitems/{id} | request | query expand | the parameter is not in the document"},
		"parameter value": {patch(func(x *tape.Exchange) { x.Query += "&$expand=everything" }), `PATCH wit/workitems/{id} | request | query $expand | value is not one of the allowed values ["none","relations","fields","links","all"]`},
		"version":         {patch(func(x *tape.Exchange) { x.Query = "api-version=4.1" }), "PATCH wit/workitems/{id} | request | query api-version | 4.1 is sent, not 7.1"},
		"no version":      {patch(func(x *tape.Exchange) { x.Query = "" }), "PATCH wit/workitems/{id} | request | query api-version | value is required but missing"},
		"no credential":   {patch(func(x *tape.Exchange) { x.Scheme = "" }), "PATCH wit/workitems/{id} | request | header Authorization | no credential is sent"},
		"unknown call":    {patch(func(x *tape.Exchange) { x.Path = "/contoso/P/_apis/wit/nonsense/7" }), "PATCH wit/nonsense/{} | request | path | no document has this call"},
		"letter case":     {patch(func(x *tape.Exchange) { x.Path = "/contoso/P/_apis/WIT/workitems/7" }), "PATCH wit/workitems/{id} | request | path | the path is in another letter case"},

		"a comment":         {answer(200, `{"id":3,"version":1,"text":"x","format":"html"}`), ""},
		"a comment's key":   {answer(200, `{"id":3,"body":"x"}`), `GET wit/workItems/{workItemId}/comments/{commentId} | answer | body | property "body" is unsupported`},
		"a person's key":    {answer(200, `{"id":3,"createdBy":{"nickname":"x"}}`), `GET wit/workItems/{workItemId}/comments/{commentId} | answer | body/createdBy | property "nickname" is unsupported`},
		"a comment's type":  {answer(200, `{"id":"3"}`), `GET wit/workItems/{workItemId}/comments/{commentId} | answer | body/id | value must be an integer`},
		"a comment's time":  {answer(200, `{"id":3,"createdDate":"yesterday"}`), `GET wit/workItems/{workItemId}/comments/{commentId} | answer | body/createdDate | string doesn't match the format "date-time" (no time of RFC 3339)`},
		"a comment's value": {answer(200, `{"format":"plain"}`), `GET wit/workItems/{workItemId}/comments/{commentId} | answer | body/format | value is not one of the allowed values ["markdown","html"]`},
		"status":            {answer(202, `{"id":3}`), `GET wit/workItems/{workItemId}/comments/{commentId} | answer | status | 202, not 200`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, p := range documents.Check(c.exchange).Problems {
				got = append(got, p.String())
			}
			if strings.Join(got, "\n") != c.want {
				t.Errorf("got  %s\nwant %s", strings.Join(got, "\n     "), c.want)
			}
		})
	}
	for _, body := range []string{`{"message":"no"}`, `no`, `{"count":1,"value":{"Text":"x"}}`, ``} {
		if out := documents.Check(answer(404, body)); len(out.Problems) != 2 {
			t.Errorf("a refusal with %q gives %v", body, out.Problems)
		}
	}
	out := documents.Check(answer(404, `{"$id":"1","innerException":null,"message":"m","typeName":"t","typeKey":"k","errorCode":0,"eventId":3200}`))
	if len(out.Problems) != 1 {
		t.Errorf("a refusal as recorded gives %v", out.Problems)
	}
}

// Every deviation is named once, says why, and can be found unused.
func TestDeviationsAreInOrder(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, d := range conformtest.Deviations() {
		if names[d.Name] || d.Name == "" || len(d.Evidence) < 20 {
			t.Errorf("%q has no name of its own or no evidence", d.Name)
		}
		names[d.Name] = true
	}
	ledger := deviationtest.NewLedger([]deviationtest.Deviation{{Name: "a", Pattern: `GET x \| .*`}, {Name: "b", Pattern: "POST"}})
	if !ledger.Listed(deviationtest.Problem{Operation: "GET x", Side: "answer"}) || ledger.Listed(deviationtest.Problem{Operation: "POST x"}) ||
		!slices.Equal(ledger.Unused(), []string{"b"}) {
		t.Errorf("unused: %v", ledger.Unused())
	}
}
