package azuredevops_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	"github.com/tandem-sync/tandem/services/sandbox/fault"
)

func TestRecycleBin(t *testing.T) {
	t.Parallel()
	w := setup(t)
	id := w.task("x", add("System.Tags", "ALVAO-1"))
	bin := fmt.Sprintf("/Alvaoproject/_apis/wit/recyclebin/%d", id)
	w.must(404, "GET", bin, nil)
	w.must(400, "PATCH", bin, map[string]bool{"isDeleted": false})
	gone := w.must(200, "DELETE", w.item(id), nil)
	if gone.get("code") != 200.0 || gone.get("name") != "x" || gone.get("resource", "rev") != 2.0 {
		t.Errorf("%s", gone.raw)
	}
	r := w.must(404, "GET", w.item(id), nil)
	if r.get("typeKey") != "WorkItemUnauthorizedAccessException" || !strings.HasPrefix(r.text("message"), fmt.Sprintf("TF401232: Work item %d does not exist", id)) {
		t.Errorf("%s", r.raw)
	}
	w.must(404, "PATCH", w.item(id), []op{title("y")})
	w.must(404, "POST", w.item(id)+"/comments", map[string]string{"text": "x"})
	w.must(404, "DELETE", w.item(id), nil)
	if len(w.Tagged("alvao-1")) != 0 || w.Count() != 0 {
		t.Error("a deleted item is still found")
	}
	if r := w.must(200, "GET", "/Alvaoproject/_apis/wit/recyclebin", nil); r.get("count") != 1.0 {
		t.Errorf("%s", r.raw)
	}
	w.must(200, "GET", bin, nil)
	w.must(400, "PATCH", bin, map[string]bool{"isDeleted": true})
	w.must(200, "PATCH", bin, map[string]bool{"isDeleted": false})
	if r := w.must(200, "GET", w.item(id), nil); r.get("rev") != 3.0 {
		t.Errorf("%s", r.raw)
	}
	if got := w.Tagged("alvao-1"); len(got) != 1 || got[0].ID != id {
		t.Errorf("%v", got)
	}
	w.must(200, "DELETE", w.item(id), nil)
	w.must(204, "DELETE", bin, nil)
	w.must(404, "GET", bin, nil)
	if _, found := w.WorkItem(id); found {
		t.Error("destroyed, and still there")
	}
	if next := w.task("y"); next == id {
		t.Error("the id of a destroyed item is used again")
	}
	w.must(200, "DELETE", w.item(w.task("z"))+"?destroy=true", nil)
}

func TestMoveAndChangeTypeKeepTheID(t *testing.T) {
	t.Parallel()
	w := setup(t)
	item, err := w.As(jana).Create("Alvaoproject", "Task", "x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.As(jana).SetState(item.ID, "Doing"); err != nil {
		t.Fatal(err)
	}
	moved, err := w.As(jana).Move(item.ID, "agile project")
	if err != nil {
		t.Fatal(err)
	}
	if moved.ID != item.ID || moved.Project != "Agile Project" || moved.State != "New" || moved.Rev != 3 {
		t.Errorf("%+v", moved)
	}
	w.must(404, "GET", w.item(item.ID), nil)
	r := w.must(200, "GET", fmt.Sprintf("/_apis/wit/workitems/%d/updates/3", item.ID), nil)
	if r.get("fields", "System.TeamProject", "newValue") != "Agile Project" || r.get("fields", "System.TeamProject", "oldValue") != "Alvaoproject" {
		t.Errorf("%s", r.raw)
	}
	changed, err := w.As(jana).ChangeType(item.ID, "Bug")
	if err != nil || changed.Type != "Bug" || changed.ID != item.ID {
		t.Errorf("%+v, %v", changed, err)
	}
	path := fmt.Sprintf("/_apis/wit/workitems/%d", item.ID)
	w.must(400, "PATCH", path, []op{add("System.TeamProject", "Alvaoproject")}) // the paths are missing
	w.must(400, "PATCH", path, []op{add("System.TeamProject", "Nowhere"), add("System.AreaPath", "x"), add("System.IterationPath", "x")})
	w.must(400, "PATCH", path, []op{add("System.WorkItemType", "Nonsense")})
	if _, err := w.As(jana).Move(item.ID, "Alvaoproject"); err == nil {
		t.Error("there are no Bugs in the Basic process")
	}
}

func TestRevisionsAreWhatTheItemWas(t *testing.T) {
	t.Parallel()
	w := setup(t)
	id := w.task("one", add("System.AssignedTo", jana))
	want := []any{"one", "two", "two", "three"}
	w.must(200, "PATCH", w.item(id), []op{title("two")})
	w.must(200, "PATCH", w.item(id), []op{add("System.AssignedTo", "")})
	w.must(200, "PATCH", w.item(id), []op{title("three")})
	r := w.must(200, "GET", w.item(id)+"/revisions?$expand=fields", nil)
	for i, title := range want {
		if r.get("value", i, "fields", "System.Title") != title || r.get("value", i, "fields", "System.Rev") != float64(i+1) {
			t.Errorf("revision %d: %v", i+1, r.get("value", i))
		}
		next := r.get("value", i+1, "fields", "System.AuthorizedDate")
		if i == len(want)-1 {
			next = "9999-01-01T00:00:00Z"
		}
		if until := r.get("value", i, "fields", "System.RevisedDate"); until != next {
			t.Errorf("revision %d lasted until %v, the next is of %v", i+1, until, next)
		}
	}
	if r.get("value", 1, "fields", "System.AssignedTo", "uniqueName") != jana || r.get("value", 2, "fields", "System.AssignedTo") != nil {
		t.Errorf("%s", r.raw)
	}
	u := w.must(200, "GET", w.item(id)+"/updates?$skip=2&$top=1", nil)
	if u.get("count") != 1.0 || u.get("value", 0, "fields", "System.AssignedTo", "newValue") != nil || u.get("value", 0, "fields", "System.AssignedTo", "oldValue", "uniqueName") != jana {
		t.Errorf("%s", u.raw)
	}
	w.must(404, "GET", w.item(id)+"/revisions/5", nil)
	w.must(404, "GET", w.item(id)+"/updates/5", nil)
}

func TestLedgerAndWatch(t *testing.T) {
	t.Parallel()
	w := setup(t)
	changes, stop := w.Watch()
	id := w.task("x")
	if _, err := w.As(petr).SetState(id, "Doing"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.As(petr).SetState(id, "Nowhere"); err == nil {
		t.Error("an unknown state was taken")
	}
	cm, err := w.As(petr).Comment(id, "*hi*", "markdown")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.As(petr).EditComment(id, cm.ID, "ho"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.As(petr).DeleteComment(id, cm.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := w.As(petr).Attach(id, "a.txt", strings.NewReader("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.As(petr).Link(id, "Hyperlink", "https://a.example/", ""); err != nil {
		t.Fatal(err)
	}
	if item, err := w.As(petr).Unlink(id, "https://a.example/"); err != nil || len(item.Relations) != 1 {
		t.Errorf("%v %v", item.Relations, err)
	}
	type line struct {
		Kind azuredevops.WriteKind
		Rev  int
		By   string
		REST bool
	}
	want := []line{
		{azuredevops.WriteCreate, 1, service, true},
		{azuredevops.WriteUpdate, 2, petr, false},
		{azuredevops.WriteComment, 3, petr, false},
		{azuredevops.WriteCommentEdit, 4, petr, false},
		{azuredevops.WriteCommentDelete, 5, petr, false},
		{azuredevops.WriteUpload, 0, petr, false},
		{azuredevops.WriteUpdate, 6, petr, false},
		{azuredevops.WriteUpdate, 7, petr, false},
		{azuredevops.WriteUpdate, 8, petr, false},
	}
	var got []line
	for i, x := range w.Writes() {
		got = append(got, line{x.Kind, x.Rev, x.By, x.REST})
		if x.Seq != i+1 {
			t.Errorf("seq %d at %d", x.Seq, i)
		}
		if c := <-changes; c.Seq != x.Seq || c.Kind != x.Kind || c.Item != x.Item {
			t.Errorf("told %+v, wrote %+v", c, x)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if x := w.WritesSince(8); len(x) != 1 || x[0].Seq != 9 || w.LastWrite() != 9 {
		t.Errorf("%v", x)
	}
	if got := w.CallCounts()["POST wit/workitems/${}"]; got != 1 {
		t.Errorf("%v", w.CallCounts())
	}
	stop()
	stop()
	if _, open := <-changes; open {
		t.Error("the channel is still open")
	}
}

func TestActorErrorsAreTheServices(t *testing.T) {
	t.Parallel()
	w := setup(t)
	_, err := w.As(jana).SetState(4711, "Doing")
	var refused *azuredevops.Error
	if !errors.As(err, &refused) || refused.Status != 404 || refused.TypeKey != "WorkItemUnauthorizedAccessException" {
		t.Errorf("%v", err)
	}
	for name, err := range map[string]error{
		"comment": func() error { _, err := w.As(jana).Comment(1, "", ""); return err }(),
		"create":  func() error { _, err := w.As(jana).Create("Alvaoproject", "Bug", "x"); return err }(),
		"project": func() error { _, err := w.As(jana).Create("Nope", "Bug", "x"); return err }(),
		"restore": w.As(jana).Restore(1), "destroy": w.As(jana).Destroy(1), "delete": w.As(jana).Delete(1),
		"attach": func() error { _, err := w.As(jana).Attach(1, "x", strings.NewReader("x")); return err }(),
		"open":   func() error { _, err := w.OpenAttachment("x"); return err }(),
	} {
		if !errors.As(err, &refused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	w, r := setup(t), listen(t)
	w.subscribe("workitem.updated", r.URL, nil)
	id := w.task("x")
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 10 {
				w.must(200, "PATCH", w.item(id), []op{title(fmt.Sprintf("%d.%d", i, j))})
				w.must(200, "GET", w.item(id)+"?$expand=all", nil)
				w.must(200, "GET", w.item(id)+"/updates", nil)
				if _, err := w.As(jana).Comment(id, "x", ""); err != nil {
					t.Error(err)
				}
				w.WorkItems("")
			}
		})
	}
	all.Wait()
	w.settle()
	item, _ := w.WorkItem(id)
	if item.Rev != 161 || item.Comments != 80 || len(r.got) != 160 {
		t.Errorf("rev %d, %d comments, %d notifications", item.Rev, item.Comments, len(r.got))
	}
}

// A create whose answer is lost has happened all the same: what a caller must be able to live with.
func TestLostReplyLeavesTheItem(t *testing.T) {
	t.Parallel()
	s := azuredevops.New(azuredevops.Options{})
	faults := fault.NewSet(1)
	if _, err := faults.Add(fault.Rule{Method: http.MethodPost, Path: "**/wit/workitems/$*", Kind: fault.KindLostReply, Count: 1}); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(faults.Middleware(s))
	t.Cleanup(func() {
		srv.Client().CloseIdleConnections()
		srv.Close()
		_ = s.Close()
	})
	for i, lost := range []bool{true, false} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+"/contoso/Alvaoproject/_apis/wit/workitems/$Task?api-version=7.1", strings.NewReader(`[{"op":"add","path":"/fields/System.Title","value":"x"}]`))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth("", pat)
		req.Header.Set("Content-Type", patchDoc)
		resp, err := srv.Client().Do(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		if (err != nil) != lost || s.Count() != i+1 {
			t.Errorf("try %d: %v, %d items", i, err, s.Count())
		}
	}
}

func TestZeroOptions(t *testing.T) {
	t.Parallel()
	s := azuredevops.New(azuredevops.Options{})
	defer func() { _ = s.Close() }()
	item, err := s.As("Jana.Dvorakova@contoso.com").Create("Alvaoproject", "Task", "x")
	if err != nil || item.CreatedBy != jana {
		t.Errorf("%+v %v", item, err)
	}
	a, err := s.As(jana).Attach(item.ID, "a.txt", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	body, err := s.OpenAttachment(a.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if raw, err := io.ReadAll(body); err != nil || string(raw) != "hello" {
		t.Errorf("%q %v", raw, err)
	}
}

// A hundred thousand items must neither make a query slow nor fill the memory.
func BenchmarkHundredThousandItems(b *testing.B) {
	s := azuredevops.New(azuredevops.Options{})
	b.Cleanup(func() { _ = s.Close() })
	for i := range 100_000 {
		if _, err := s.As(jana).Create("Alvaoproject", "Task", "x", azuredevops.Set{Field: "System.Tags", Value: fmt.Sprintf("ALVAO-%d", i)}); err != nil {
			b.Fatal(err)
		}
	}
	var mem runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&mem)
	w := &world{Server: s}
	run := func(name, method, path string, body any) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if status := w.direct(b, method, path, body); status != 200 {
					b.Fatal(status)
				}
			}
			b.ReportMetric(float64(mem.HeapAlloc)/(1<<20), "MiB")
		})
	}
	query := func(where string) map[string]string {
		return map[string]string{"query": "SELECT [System.Id] FROM WorkItems WHERE " + where}
	}
	run("wiql by tag", "POST", "/contoso/_apis/wit/wiql?api-version=7.1", query("[System.Tags] CONTAINS 'ALVAO-77777' AND [System.State] <> 'Done'"))
	run("wiql by state", "POST", "/contoso/_apis/wit/wiql?api-version=7.1", query("[System.State] = 'Doing'"))
	run("read", "GET", "/contoso/_apis/wit/workitems/77777?$expand=all", "")
	run("create", "POST", "/contoso/Alvaoproject/_apis/wit/workitems/$Task?api-version=7.1", `[{"op":"add","path":"/fields/System.Title","value":"x"}]`)
}
