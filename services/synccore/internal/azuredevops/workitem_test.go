package azuredevops_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

const missing = `{"$id":"1","innerException":null,"message":"TF401232: Work item 9 does not exist, or you do not have permissions to read it.","typeName":"Microsoft.TeamFoundation.WorkItemTracking.Server.WorkItemUnauthorizedAccessException, Microsoft.TeamFoundation.WorkItemTracking.Server","typeKey":"WorkItemUnauthorizedAccessException","errorCode":0,"eventId":3200}`

func TestWorkItemRequest(t *testing.T) {
	t.Parallel()
	c := over(t, replies(func(r *http.Request) *http.Response {
		if r.URL.String() != "https://dev.azure.com/contoso/_apis/wit/workitems/12?api-version=7.1&$expand=relations" {
			t.Errorf("called %s", r.URL)
		}
		if user, password, ok := r.BasicAuth(); !ok || user != "" || password != pat {
			t.Errorf("credentials %q %q", user, password)
		}
		for name, want := range map[string]string{"Accept": "application/json", "X-TFS-FedAuthRedirect": "Suppress", "User-Agent": "tandem-test"} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		return &http.Response{StatusCode: http.StatusNoContent, Header: http.Header{}, Body: http.NoBody}
	}))
	_, err := c.WorkItem(t.Context(), 12)
	wantKind(t, err, fault.Unavailable)
}

// TestLenientDecoding: azure-devops.md §1.3 and its trap list, items 6 and 20.
func TestLenientDecoding(t *testing.T) {
	t.Parallel()
	const changed = "2026-03-31T18:36:26.23Z"
	stateChanged := time.Date(2026, 3, 31, 18, 36, 26, 230e6, time.UTC)
	added := time.Date(2014, 12, 29, 20, 49, 20, 770e6, time.UTC)
	web := func(project string, id int64) string {
		return fmt.Sprintf("https://dev.azure.com/contoso/%s/_workitems/edit/%d", project, id)
	}
	tests := map[string]struct {
		body string
		want item.WorkItem
	}{
		"everything": {
			`{"id":12,"rev":7,"fields":{"System.TeamProject":"Other Project","System.WorkItemType":"Task","System.State":"Doing","System.Title":"Žluťoučký kůň",` +
				`"System.Tags":"alvao; ALVAO-5 ;;","System.ChangedBy":{"displayName":"R","id":"9a9ea5ac-60c5-68ff-a08c-7090eb685d57","uniqueName":"u"},` +
				`"System.ChangedDate":"2026-04-01T00:00:00Z","Microsoft.VSTS.Common.StateChangeDate":"` + changed + `"},` +
				`"relations":[{"rel":"System.LinkTypes.Hierarchy-Forward","url":"https://dev.azure.com/contoso/x"},{"rel":"Hyperlink","url":"https://alvao/Alvao/Ticket/5","attributes":{"comment":"x"}}],"unknown":[1]}`,
			item.WorkItem{
				ID: 12, Rev: 7, Project: "Other Project", Elsewhere: true, Type: "Task", State: "Doing", Title: "Žluťoučký kůň", Tags: []string{"alvao", "ALVAO-5"},
				Hyperlinks: []string{"https://alvao/Alvao/Ticket/5"}, URL: web("Other%20Project", 12), Changed: time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC), StateChanged: stateChanged,
				ChangedBy: "9a9ea5ac-60c5-68ff-a08c-7090eb685d57", CommentCount: -1,
			},
		},
		"identity as string, ids as strings, a BOM": {
			"\ufeff" + `{"id":"12","rev":"7","fields":{"System.ChangedBy":"Jamal Hartnett <fabrikamfiber4@hotmail.com>","System.ChangedDate":"` + changed + `","System.Title":5},"relations":null}`,
			item.WorkItem{ID: 12, Rev: 7, Title: "5", URL: web("Alvaoproject", 12), Changed: stateChanged, StateChanged: stateChanged, CommentCount: -1},
		},
		"zone-less date of seven digits": {
			`{"id":12,"rev":7,"fields":{"System.ChangedDate":"2026-03-31T18:36:26.2300000"}}`,
			item.WorkItem{ID: 12, Rev: 7, URL: web("Alvaoproject", 12), Changed: stateChanged, StateChanged: stateChanged, CommentCount: -1},
		},
		"no fields": {
			`{"id":12,"rev":7}`,
			item.WorkItem{ID: 12, Rev: 7, URL: web("Alvaoproject", 12), CommentCount: -1},
		},
		"files, of other accounts not, and a count as text": {
			`{"id":12,"rev":7,"fields":{"System.CommentCount":"3"},"relations":[` +
				`{"rel":"AttachedFile","url":"https://dev.azure.com/contoso/_apis/wit/attachments/098A279A-60b9-40a8-868b-b7fd00c0a439","attributes":{"authorizedDate":"2014-12-29T20:49:20.77Z","name":"Spec.txt","resourceSize":13946}},` +
				`{"rel":"AttachedFile","url":"https://contoso.visualstudio.com/d54eda2e-82d5-4ec7-b6ea-bb444a5c6a70/_apis/wit/attachments/198a279a-60b9-40a8-868b-b7fd00c0a439?fileName=a%20b.png","attributes":{"resourceCreatedDate":"2014-12-29T20:49:20.77Z"}},` +
				`{"rel":"AttachedFile","url":"https://dev.azure.com/other/_apis/wit/attachments/098a279a-60b9-40a8-868b-b7fd00c0a439"},{"rel":"AttachedFile","url":"5"},{"rel":"AttachedFile"}]}`,
			item.WorkItem{
				ID: 12, Rev: 7, URL: web("Alvaoproject", 12), CommentCount: 3, Attachments: []item.Attachment{
					{
						ID: "098a279a-60b9-40a8-868b-b7fd00c0a439", Name: "Spec.txt", Size: 13946, Added: added,
						URL: "https://dev.azure.com/contoso/_apis/wit/attachments/098A279A-60b9-40a8-868b-b7fd00c0a439",
					},
					{
						ID: "198a279a-60b9-40a8-868b-b7fd00c0a439", Name: "a b.png", Size: -1, Added: added,
						URL: "https://contoso.visualstudio.com/d54eda2e-82d5-4ec7-b6ea-bb444a5c6a70/_apis/wit/attachments/198a279a-60b9-40a8-868b-b7fd00c0a439?fileName=a%20b.png",
					},
				},
			},
		},
		"odd relations and fields": {
			`{"ID":12,"Rev":7,"fields":[],"relations":[null,5,{"rel":"Hyperlink"},{"rel":"Hyperlink","url":"u"}]}`,
			item.WorkItem{ID: 12, Rev: 7, URL: web("Alvaoproject", 12), Hyperlinks: []string{"u"}, CommentCount: -1},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _ := answering(t, func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, http.StatusOK, tc.body) })
			got, err := c.WorkItem(t.Context(), 12)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestGone: a 404 is "deleted" only if the recycle bin says so (azure-devops.md §8, 16).
// The 404 is recorded; the answers of the bin are the specification's example.
func TestGone(t *testing.T) {
	t.Parallel()
	const inBin = `{"id":"9","type":"WorkItem","Name":"9: First","Project":"Alvaoproject","DeletedDate":"2015-01-07T18:13:01.807Z","resource":{"id":9,"rev":4,"fields":{"System.TeamProject":"Alvaoproject","System.WorkItemType":"Task","System.State":"Doing","System.Title":"First","System.ChangedBy":"Jamal Hartnett <x@y>"}}}`
	tests := map[string]struct {
		status  int
		body    string
		deleted bool
		want    fault.Kind
	}{
		"in the bin":       {200, inBin, true, 0},
		"nowhere":          {404, missing, false, fault.NotFound},
		"bin is forbidden": {403, `{"message":"no"}`, false, fault.NotFound},
		"bin is away":      {503, ``, false, fault.Unavailable},
		"token died":       {401, ``, false, fault.BadToken},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, s := answering(t, func(w http.ResponseWriter, r *http.Request) {
				if strings.Contains(r.URL.Path, "/recyclebin/") {
					answerJSON(w, tc.status, tc.body)
					return
				}
				answerJSON(w, http.StatusNotFound, missing)
			})
			got, err := c.WorkItem(t.Context(), 9)
			if tc.deleted {
				if err != nil || !got.Deleted || got.ID != 9 || got.Rev != 4 || got.State != "Doing" || got.Project != "Alvaoproject" {
					t.Errorf("got %+v, %v", got, err)
				}
			} else {
				wantKind(t, err, tc.want)
			}
			if last := s.all()[1]; last.path != "/contoso/Alvaoproject/_apis/wit/recyclebin/9" {
				t.Errorf("asked %s", last.path)
			}
		})
	}
	c, s := answering(t, func(http.ResponseWriter, *http.Request) {})
	if _, err := c.WorkItem(t.Context(), 0); !fault.Is(err, fault.Invalid) || len(s.all()) != 0 {
		t.Errorf("number 0: %v after %d calls", err, len(s.all()))
	}
}

func TestWorkItemsInBatches(t *testing.T) {
	t.Parallel()
	c, s := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		// An omitted item is null.
		answerJSON(w, http.StatusOK, `{"count":2,"value":[null,{"id":3,"rev":2,"fields":{"System.State":"Doing","System.Tags":"a"}}]}`)
	})
	ids := make([]int64, 401)
	for i := range ids {
		ids[i] = int64(i + 1)
	}
	got, err := c.WorkItems(t.Context(), ids)
	if err != nil || len(got) != 3 || got[0].ID != 3 || got[0].State != "Doing" {
		t.Errorf("got %v, %v", got, err)
	}
	sizes := make([]int, 0, 3)
	for _, r := range s.all() {
		var body struct {
			IDs         []int64
			ErrorPolicy string
			Fields      []string
		}
		decode(t, []byte(r.body), &body)
		sizes = append(sizes, len(body.IDs))
		if r.method != http.MethodPost || r.path != "/contoso/_apis/wit/workitemsbatch" || body.ErrorPolicy != "omit" || len(body.Fields) != 11 || strings.Contains(r.body, "expand") {
			t.Errorf("sent %+v", r)
		}
	}
	if diff := cmp.Diff([]int{200, 200, 1}, sizes); diff != "" {
		t.Error(diff)
	}
	if none, err := c.WorkItems(t.Context(), nil); err != nil || len(none) != 0 || len(s.all()) != 3 {
		t.Errorf("no ids: %v, %v", none, err)
	}
}

func FuzzWorkItem(f *testing.F) {
	for _, seed := range []string{
		`{"id":12,"rev":7,"fields":{"System.Tags":"a;b","System.ChangedBy":{"id":"x"}},"relations":[{"rel":"Hyperlink","url":"u"}]}`,
		`{"id":"12","rev":7.0,"fields":{"System.ChangedBy":"A <b>","System.ChangedDate":"0001-01-01T00:00:00"}}`, missing, `[]`, `null`, signIn,
	} {
		f.Add([]byte(seed), 200)
	}
	f.Add([]byte(missing), 404)
	f.Fuzz(func(t *testing.T, body []byte, status int) {
		if status < 200 || status > 599 {
			return
		}
		c := over(t, replies(func(*http.Request) *http.Response {
			return plainAnswer(status, body)
		}))
		got, err := c.SetState(t.Context(), 12, 1, "Doing")
		if err == nil && (got.ID <= 0 || got.Rev <= 0) {
			t.Errorf("accepted %+v from %q", got, body)
		}
		if _, ok := fault.As(err); err != nil && !ok {
			t.Errorf("%v is no fault", err)
		}
	})
}
