package azuredevops_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/sandbox/azuredevops"
)

// hookBody is a subscription as a caller makes it.
func hookBody(event, url string, inputs map[string]string) map[string]any {
	publisher := map[string]string{"projectId": ""}
	maps.Copy(publisher, inputs)
	return map[string]any{
		"publisherId": "tfs", "eventType": event, "resourceVersion": "1.0", "consumerId": "webHooks", "consumerActionId": "httpRequest", "publisherInputs": publisher,
		"consumerInputs": map[string]string{
			"url": url, "basicAuthUsername": "tandem", "basicAuthPassword": "s3cret", "resourceDetailsToSend": "all", "messagesToSend": "none", "detailedMessagesToSend": "none",
		},
	}
}

// receiver takes notifications and answers as told, 202 by default.
type receiver struct {
	*httptest.Server

	mu      sync.Mutex
	answers []int // used up one by one
	got     chan notification
}

type notification struct {
	response

	auth string
}

func (n notification) event() string { s, _ := n.get("eventType").(string); return s }

func listen(t *testing.T, answers ...int) *receiver {
	t.Helper()
	r := &receiver{answers: answers, got: make(chan notification, 10_000)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		raw, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		status := http.StatusAccepted
		r.mu.Lock()
		if len(r.answers) > 0 {
			status, r.answers = r.answers[0], r.answers[1:]
		}
		r.mu.Unlock()
		w.WriteHeader(status)
		r.got <- notification{response{header: req.Header, raw: raw}, req.Header.Get("Authorization")}
	}))
	t.Cleanup(r.Close)
	return r
}

// next waits for a notification.
func (r *receiver) next(t *testing.T) notification {
	t.Helper()
	select {
	case n := <-r.got:
		return n
	case <-time.After(10 * time.Second):
		t.Fatal("no notification came")
		return notification{}
	}
}

// settle waits until nothing is to be delivered any more.
func (w *world) settle() {
	w.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); w.PendingDeliveries() > 0; {
		if time.Now().After(deadline) {
			w.t.Fatalf("deliveries don't settle: %+v", w.Deliveries())
		}
		<-time.After(time.Millisecond)
	}
}

func (w *world) subscribe(event, url string, inputs map[string]string) string {
	w.t.Helper()
	id, _ := w.must(200, "POST", "/_apis/hooks/subscriptions", hookBody(event, url, inputs)).get("id").(string)
	return id
}

// The keys of a real workitem.updated delivery of 2020, at resourceVersion 1.0 with messages None, compared with one of
// the same kind of change here.
func TestUpdatedEventHasTheRecordedShape(t *testing.T) {
	t.Parallel()
	w, r := setup(t), listen(t)
	id := w.task("x", add("System.Description", "<div>add description</div>"), add("System.AssignedTo", jana), add("System.Tags", "a"))
	parent := w.task("parent")
	w.must(200, "PATCH", w.item(id), []op{relation("System.LinkTypes.Hierarchy-Reverse", fmt.Sprintf("%s/_apis/wit/workItems/%d", w.URL(), parent))})
	w.must(200, "PATCH", w.item(id), []op{add("System.State", "Doing")})
	w.subscribe("workitem.updated", r.URL, nil)
	w.must(200, "PATCH", w.item(id), []op{add("System.Description", "<div>added description</div>")})
	n := r.next(t)
	var recorded, here map[string]any
	if err := json.Unmarshal(shared(t, "fixtures/azure-devops/webhooks/ResourceVersion-1.0.json"), &recorded); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(n.raw, &here); err != nil {
		t.Fatal(err)
	}
	// What newer captures have and this one has not, and fields of a board or of another type.
	for _, v := range []map[string]any{here, recorded} {
		prune(v, []string{"multilineFieldsFormat", "comment"})
		fields, _ := walk(v, "resource", "revision", "fields").(map[string]any)
		maps.DeleteFunc(fields, func(k string, _ any) bool {
			return strings.HasPrefix(k, "WEF_") || strings.HasPrefix(k, "System.Board") || k == "Microsoft.VSTS.Common.ValueArea" || k == "System.Parent"
		})
		links, _ := walk(v, "resource", "_links").(map[string]any)
		delete(links, "parent") // in the captures of 2021 and later
	}
	if diff := cmp.Diff(shape(recorded), shape(here)); diff != "" {
		t.Errorf("-recorded +here\n%s", diff)
	}
	if n.get("resource", "id") != 4.0 || n.get("resource", "workItemId") != float64(id) || n.get("resource", "rev") != 3.0 {
		t.Errorf("update 4 of item %d made revision 3: %s", id, n.raw)
	}
	if n.get("resource", "fields", "System.Description", "oldValue") != "<div>add description</div>" || n.get("resource", "revision", "fields", "System.AssignedTo") != "Jana Dvořáková <"+jana+">" {
		t.Errorf("%s", n.raw)
	}
	if user, password, _ := (&http.Request{Header: n.header}).BasicAuth(); user != "tandem" || password != "s3cret" {
		t.Errorf("credentials %q", n.auth)
	}
	if n.header.Get("X-Vss-Subscriptionid") != n.get("subscriptionId") || n.get("notificationId") != 1.0 {
		t.Errorf("%v", n.header)
	}
}

func TestEachKindOfEvent(t *testing.T) {
	t.Parallel()
	w, r := setup(t, func(o *azuredevops.Options) { o.Hooks.Parallel = 1 }), listen(t)
	for _, kind := range []string{"created", "updated", "commented", "deleted", "restored"} {
		w.subscribe("workitem."+kind, r.URL, nil)
	}
	item, err := w.As(jana).Create("Alvaoproject", "Task", "by hand")
	if err != nil {
		t.Fatal(err)
	}
	expect := func(kinds ...string) []notification {
		t.Helper()
		var got []notification
		for range kinds {
			got = append(got, r.next(t))
		}
		slices.SortFunc(got, func(a, b notification) int { return strings.Compare(a.event(), b.event()) })
		for i, kind := range kinds {
			if got[i].event() != "workitem."+kind {
				t.Fatalf("event %s, want %s: %s", got[i].event(), kind, got[i].raw)
			}
		}
		return got
	}
	created := expect("created")[0]
	if created.get("resource", "id") != float64(item.ID) || created.get("resource", "workItemId") != nil || created.get("resource", "revision") != nil || created.get("message") != nil {
		t.Errorf("%s", created.raw)
	}
	if created.get("resource", "fields", "System.ChangedBy") != "Jana Dvořáková <"+jana+">" || created.get("resourceContainers", "account", "baseUrl") != w.URL()+"/" {
		t.Errorf("%s", created.raw)
	}
	cm, err := w.As(jana).Comment(item.ID, "<div>hello</div>", "")
	if err != nil {
		t.Fatal(err)
	}
	both := expect("commented", "updated")
	if both[0].get("resource", "commentVersionRef", "commentId") != float64(cm.ID) || both[0].get("resource", "fields", "System.History") != "<div>hello</div>" || both[0].get("resource", "id") != float64(item.ID) {
		t.Errorf("%s", both[0].raw)
	}
	changed := slices.Sorted(maps.Keys(both[1].object("resource", "fields")))
	want := []string{"System.AuthorizedDate", "System.ChangedDate", "System.CommentCount", "System.History", "System.Rev", "System.RevisedDate", "System.Watermark"}
	if diff := cmp.Diff(want, changed); diff != "" {
		t.Errorf("fields of the update: %s", diff)
	}
	if both[1].get("resource", "revision", "commentVersionRef", "commentId") != float64(cm.ID) {
		t.Errorf("%s", both[1].raw)
	}
	if err := w.As(jana).Delete(item.ID); err != nil {
		t.Fatal(err)
	}
	deleted := expect("deleted")[0]
	if url, _ := deleted.get("resource", "url").(string); !strings.HasSuffix(url, fmt.Sprintf("/_apis/wit/recyclebin/%d", item.ID)) {
		t.Errorf("%s", deleted.raw)
	}
	if diff := cmp.Diff([]string{"fields", "self", "workItemType"}, slices.Sorted(maps.Keys(deleted.object("resource", "_links")))); diff != "" {
		t.Error(diff)
	}
	if err := w.As(jana).Restore(item.ID); err != nil {
		t.Fatal(err)
	}
	expect("restored")
	w.must(200, "PATCH", w.item(item.ID)+"/comments/"+strconv.Itoa(cm.ID), map[string]string{"text": "edited"})
	expect("updated")
	w.settle()
	if len(r.got) != 0 {
		t.Errorf("more came: %s", (<-r.got).raw)
	}
}

func TestFilters(t *testing.T) {
	t.Parallel()
	w := setup(t)
	project, _ := w.must(200, "GET", "/_apis/projects/Alvaoproject", nil).get("id").(string)
	filters := map[string]map[string]string{
		"any": nil, "project": {"projectId": project}, "other project": {"projectId": "11111111-1111-1111-1111-111111111111"},
		"state": {"changedFields": "System.State"}, "title": {"changedFields": "System.Title"}, "type": {"workItemType": "Task"}, "other type": {"workItemType": "Bug"},
		"area": {"areaPath": `Alvaoproject\Web`}, "other area": {"areaPath": `Alvaoproject\We`}, "tag": {"tag": "ALVAO-1"}, "other tag": {"tag": "ALVAO"}, "links": {"linksChanged": "true"},
	}
	receivers := map[string]*receiver{}
	id := w.task("x", add("System.Tags", "alvao-1"), add("System.AreaPath", `Alvaoproject\Web\Shop`))
	for name, f := range filters {
		receivers[name] = listen(t)
		w.subscribe("workitem.updated", receivers[name].URL, f)
	}
	comments := map[string]*receiver{"hello": listen(t), "bye": listen(t)}
	for pattern, r := range comments {
		w.subscribe("workitem.commented", r.URL, map[string]string{"commentPattern": pattern})
	}
	w.must(200, "PATCH", w.item(id), []op{add("System.State", "Doing")})
	w.must(200, "POST", w.item(id)+"/comments", map[string]string{"text": "Hello!"})
	w.must(200, "PATCH", w.item(id), []op{relation("Hyperlink", "https://a.example/")})
	w.settle()
	got := map[string]int{}
	for name, r := range receivers {
		got[name] = len(r.got)
	}
	want := map[string]int{"any": 3, "project": 3, "other project": 0, "state": 1, "title": 0, "type": 3, "other type": 0, "area": 3, "other area": 0, "tag": 3, "other tag": 0, "links": 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(comments["hello"].got) != 1 || len(comments["bye"].got) != 0 {
		t.Errorf("comment patterns: %d, %d", len(comments["hello"].got), len(comments["bye"].got))
	}
}

func TestDetailsAndMessages(t *testing.T) {
	t.Parallel()
	w := setup(t)
	id := w.task("x <y>")
	subscribe := func(details, messages string) *receiver {
		r := listen(t)
		body := hookBody("workitem.updated", r.URL, nil)
		inputs := consumer(body)
		inputs["resourceDetailsToSend"], inputs["messagesToSend"], inputs["detailedMessagesToSend"] = details, messages, messages
		inputs["httpHeaders"] = "X-One: 1\r\nX-Two:2"
		w.must(200, "POST", "/_apis/hooks/subscriptions", body)
		return r
	}
	all, minimal, none := subscribe("", ""), subscribe("minimal", "text"), subscribe("none", "none")
	w.must(200, "PATCH", w.item(id), []op{add("System.State", "Doing")})
	a, m, n := all.next(t), minimal.next(t), none.next(t)
	if a.get("resource", "revision") == nil || a.get("message", "markdown") == nil || !strings.Contains(a.text("detailedMessage", "html"), "x &lt;y&gt;") {
		t.Errorf("%s", a.raw)
	}
	if m.get("resource", "workItemId") != float64(id) || m.get("resource", "fields") != nil || m.get("message", "text") == nil || m.get("message", "html") != nil {
		t.Errorf("%s", m.raw)
	}
	if n.get("resource") != nil || strings.Contains(string(n.raw), `"resource":`) || n.get("message") != nil || !strings.Contains(string(n.raw), `"message":null`) {
		t.Errorf("%s", n.raw)
	}
	if a.header.Get("X-One") != "1" || a.header.Get("X-Two") != "2" {
		t.Errorf("%v", a.header)
	}
}

func statuses(ds []azuredevops.Delivery) []int {
	out := []int{}
	for _, d := range ds {
		if d.Attempt > 0 {
			out = append(out, d.Status)
		}
	}
	return out
}

func (w *world) status(id string) string {
	s, _ := w.must(200, "GET", "/_apis/hooks/subscriptions/"+id, nil).get("status").(string)
	return s
}

// The classes and waits are documented; what becomes of new events on probation is assumed.
func TestTransientAnswersAreRetriedEightTimes(t *testing.T) {
	t.Parallel()
	w, r := setup(t), listen(t, 503, 502, 504, 408, 503)
	sub := w.subscribe("workitem.created", r.URL, nil)
	w.task("x")
	for range 6 {
		if n := r.next(t); n.get("notificationId") != 1.0 {
			t.Errorf("a retry keeps its number: %s", n.raw)
		}
	}
	w.settle()
	if diff := cmp.Diff([]int{503, 502, 504, 408, 503, 202}, statuses(w.Deliveries())); diff != "" {
		t.Error(diff)
	}
	if w.status(sub) != "enabled" {
		t.Errorf("status %s", w.status(sub))
	}
	record := w.must(200, "GET", "/_apis/hooks/subscriptions/"+sub+"/notifications/1", nil)
	if record.get("result") != "succeeded" || record.get("details", "requestAttempts") != 6.0 {
		t.Errorf("%s", record.raw)
	}
}

func TestTransientBecomesEnduring(t *testing.T) {
	t.Parallel()
	w, r := setup(t, func(o *azuredevops.Options) { o.Hooks.RetryScale = 1e-7 }), listen(t, slices.Repeat([]int{503}, 16)...)
	sub := w.subscribe("workitem.created", r.URL, nil)
	w.task("x")
	w.settle()
	if n := len(statuses(w.Deliveries())); n != 1+8+7 {
		t.Errorf("%d attempts, want the first, 8 soon and 7 late ones", n)
	}
	if w.status(sub) != "disabledBySystem" {
		t.Errorf("status %s", w.status(sub))
	}
	if got := w.must(200, "POST", "/_apis/hooks/notificationsquery", map[string]any{"subscriptionIds": []string{sub}, "resultType": "failed", "includeDetails": true}); got.get("results", 0, "details", "errorMessage") != "Service Unavailable (503)" {
		t.Errorf("%s", got.raw)
	}
	w.task("y")
	w.settle()
	if last := w.Deliveries(); last[len(last)-1].Result != "disabled" {
		t.Errorf("%+v", last[len(last)-1])
	}
	body := hookBody("workitem.created", r.URL, nil)
	w.must(200, "PUT", "/_apis/hooks/subscriptions/"+sub, body)
	w.task("z")
	w.settle()
	if w.status(sub) != "enabled" || statuses(w.Deliveries())[16] != 202 {
		t.Errorf("status %s, %v", w.status(sub), statuses(w.Deliveries()))
	}
}

func TestEnduringAnswersPutOnProbation(t *testing.T) {
	t.Parallel()
	w, r := setup(t, func(o *azuredevops.Options) { o.Hooks.RetryScale = 1 }), listen(t, 401)
	sub := w.subscribe("workitem.created", r.URL, nil)
	w.task("x")
	r.next(t)
	for w.status(sub) != "onProbation" {
		<-time.After(time.Millisecond)
	}
	w.task("lost")
	last := w.Deliveries()[1]
	if last.Result != "on probation" || w.PendingDeliveries() != 1 {
		t.Errorf("%+v, %d pending", last, w.PendingDeliveries())
	}
}

func TestProbationEndsWithSuccess(t *testing.T) {
	t.Parallel()
	w, r := setup(t, func(o *azuredevops.Options) { o.Hooks.RetryScale = 1e-6 }), listen(t, 500, 404, 429)
	sub := w.subscribe("workitem.created", r.URL, nil)
	w.task("x")
	w.settle()
	if diff := cmp.Diff([]int{500, 404, 429, 202}, statuses(w.Deliveries())); diff != "" {
		t.Error(diff)
	}
	if w.status(sub) != "enabled" {
		t.Errorf("status %s", w.status(sub))
	}
}

func TestGoneDisablesAtOnce(t *testing.T) {
	t.Parallel()
	w, r := setup(t), listen(t, 410)
	sub := w.subscribe("workitem.created", r.URL, nil)
	w.task("x")
	w.settle()
	if w.status(sub) != "disabledBySystem" || len(statuses(w.Deliveries())) != 1 {
		t.Errorf("status %s, %v", w.status(sub), w.Deliveries())
	}
}

func TestInactiveCreatorDisables(t *testing.T) {
	t.Parallel()
	w, r := setup(t), listen(t)
	if _, err := w.As(petr).Subscribe("workitem.created", nil, map[string]string{"url": r.URL}); err != nil {
		t.Fatal(err)
	}
	w.AddUser(azuredevops.User{UniqueName: petr, Inactive: true})
	w.task("x")
	w.settle()
	if got := w.Subscriptions(); len(got) != 1 || got[0].Status != "disabledByInactiveIdentity" || len(r.got) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestBrokenConnectionIsRetried(t *testing.T) {
	t.Parallel()
	w, r := setup(t), listen(t)
	url := r.URL
	r.Close()
	w.subscribe("workitem.created", url, nil)
	w.task("x")
	for len(w.Deliveries()) < 2 {
		<-time.After(time.Millisecond)
	}
	if d := w.Deliveries()[0]; d.Status != 0 || d.Error == "" || d.Result != "retrying" {
		t.Errorf("%+v", d)
	}
}

func TestSubscriptionsByREST(t *testing.T) {
	t.Parallel()
	w := setup(t)
	body := hookBody("workitem.updated", "https://tandem.example/hooks", map[string]string{"changedFields": "System.State"})
	made := w.must(200, "POST", "/_apis/hooks/subscriptions", body)
	if made.get("consumerInputs", "basicAuthPassword") != "********" || made.get("publisherInputs", "tfsSubscriptionId") == nil || made.get("publisherInputs", "hostId") == nil || made.get("status") != "enabled" {
		t.Errorf("%s", made.raw)
	}
	w.subscribe("workitem.created", "https://tandem.example/hooks", nil)
	for filter, want := range map[string]float64{"": 2, "?eventType=workitem.updated": 1, "?consumerId=webHooks&publisherId=tfs": 2, "?publisherId=other": 0} {
		if r := w.must(200, "GET", "/_apis/hooks/subscriptions"+filter, nil); r.get("count") != want {
			t.Errorf("%s: %s", filter, r.raw)
		}
	}
	query := map[string]any{"eventType": "workitem.updated", "publisherInputFilters": []any{map[string]any{"conditions": []any{map[string]any{"inputId": "changedFields", "operator": "equals", "inputValue": "System.State"}}}}}
	if r := w.must(200, "POST", "/_apis/hooks/subscriptionsquery", query); len(r.list("results")) != 1 {
		t.Errorf("%s", r.raw)
	}
	path := "/_apis/hooks/subscriptions/" + made.text("id")
	w.must(204, "DELETE", path, nil)
	w.must(404, "GET", path, nil)
	w.must(404, "DELETE", path, nil)
	for name, change := range map[string]func(map[string]any){
		"event":     func(b map[string]any) { b["eventType"] = "build.complete" },
		"publisher": func(b map[string]any) { b["publisherId"] = "x" },
		"consumer":  func(b map[string]any) { b["consumerId"] = "slack" },
		"url":       func(b map[string]any) { b["consumerInputs"] = map[string]string{"url": "nonsense"} },
		"password":  func(b map[string]any) { consumer(b)["basicAuthPassword"] = "a b" },
		"pattern":   func(b map[string]any) { b["publisherInputs"] = map[string]string{"commentPattern": "<x>"} },
	} {
		bad := hookBody("workitem.updated", "https://tandem.example/", nil)
		change(bad)
		if r := w.call("POST", "/_apis/hooks/subscriptions", bad); r.status != 400 {
			t.Errorf("%s: %d %s", name, r.status, r.raw)
		}
	}
}

func TestMaskedPasswordIsKept(t *testing.T) {
	t.Parallel()
	w, r := setup(t), listen(t)
	id := w.subscribe("workitem.created", r.URL, nil)
	body := hookBody("workitem.created", r.URL, nil)
	consumer(body)["basicAuthPassword"] = "********"
	w.must(200, "PUT", "/_apis/hooks/subscriptions/"+id, body)
	w.task("x")
	if _, password, _ := (&http.Request{Header: r.next(t).header}).BasicAuth(); password != "s3cret" {
		t.Errorf("password %q", password)
	}
}

// The ids and that workItemId is 0 are recorded.
func TestTestEvents(t *testing.T) {
	t.Parallel()
	w, r := setup(t), listen(t)
	id := w.subscribe("workitem.updated", r.URL, nil)
	if got := w.SendTestEvent("workitem.updated"); !cmp.Equal(got, []int{202}) {
		t.Errorf("answers %v", got)
	}
	answer := w.must(200, "POST", "/_apis/hooks/testnotifications", map[string]any{"subscriptionId": id})
	if answer.get("result") != "succeeded" {
		t.Errorf("%s", answer.raw)
	}
	for range 2 {
		n := r.next(t)
		if n.get("id") != "27646e0e-b520-4d2b-9411-bba7524947cd" || n.get("resource", "workItemId") != 0.0 || n.get("resource", "id") != 2.0 || n.get("subscriptionId") != "00000000-0000-0000-0000-000000000000" {
			t.Errorf("%s", n.raw)
		}
	}
}

func TestFates(t *testing.T) {
	t.Parallel()
	w, r := setup(t, func(o *azuredevops.Options) {
		o.Hooks.Parallel = 1
		o.Hooks.Intercept = func(n azuredevops.Notification) azuredevops.Fate {
			fate := azuredevops.Fate{Drop: n.Item == 1, Copies: n.Item - 2}
			if n.Item == 2 {
				fate.Delay = 2 * time.Second // longer than a busy machine takes to make the next item
			}
			return fate
		}
	}), listen(t)
	w.subscribe("workitem.created", r.URL, nil)
	for i := range 3 {
		w.task(strconv.Itoa(i))
	}
	w.settle()
	var got []any
	for range 3 {
		n := r.next(t)
		got = append(got, n.get("resource", "id"), n.get("notificationId"))
	}
	if diff := cmp.Diff([]any{3.0, 3.0, 3.0, 3.0, 2.0, 2.0}, got); diff != "" {
		t.Errorf("item 1 is lost, item 3 comes twice with one number and overtakes item 2: %s", diff)
	}
}

func TestPauseAndReverse(t *testing.T) {
	t.Parallel()
	w, r := setup(t, func(o *azuredevops.Options) { o.Hooks.Parallel = 1; o.Quirks.LateRevision = true }), listen(t)
	w.subscribe("workitem.updated", r.URL, nil)
	id := w.task("x")
	w.PauseHooks()
	for _, state := range []string{"Doing", "Done"} {
		w.must(200, "PATCH", w.item(id), []op{add("System.State", state)})
	}
	w.ResumeHooks(true)
	first, second := r.next(t), r.next(t)
	if first.get("resource", "rev") != 3.0 || second.get("resource", "rev") != 2.0 {
		t.Errorf("%v, %v", first.get("resource", "rev"), second.get("resource", "rev"))
	}
	if second.get("resource", "revision", "fields", "System.State") != "Done" || second.get("resource", "fields", "System.State", "newValue") != "Doing" {
		t.Errorf("a late notification shows the present revision: %s", second.raw)
	}
	w.PauseHooks()
	w.must(200, "PATCH", w.item(id), []op{title("y")})
	if n := w.DropHooks(); n != 1 {
		t.Errorf("dropped %d", n)
	}
	w.ResumeHooks(false)
	w.settle()
	if len(r.got) != 0 {
		t.Error("a dropped notification came")
	}
}

func TestContainersOnPremises(t *testing.T) {
	t.Parallel()
	w, r := setup(t, func(o *azuredevops.Options) { o.Flavor = azuredevops.OnPremises }), listen(t)
	w.subscribe("workitem.created", r.URL, nil)
	w.task("x")
	n := r.next(t)
	if n.get("resourceContainers", "server", "id") == nil || n.get("resourceContainers", "account") != nil {
		t.Errorf("%s", n.raw)
	}
}

func TestCloseEndsDeliveries(t *testing.T) {
	t.Parallel()
	block := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		select {
		case <-block:
		case <-req.Context().Done():
		}
	}))
	t.Cleanup(func() { close(block); slow.Close() })
	s := azuredevops.New(azuredevops.Options{BaseURL: "http://sandbox.example"})
	if _, err := s.As(jana).Subscribe("workitem.created", nil, map[string]string{"url": slow.URL}); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if _, err := s.As(jana).Create("Alvaoproject", "Task", strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
	}
	begun := time.Now()
	if err := s.Close(); err != nil || time.Since(begun) > 5*time.Second {
		t.Errorf("closing took %v: %v", time.Since(begun), err)
	}
}
