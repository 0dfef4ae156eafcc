package azuredevops_test

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

const (
	mark      = "ALVAO-5"
	ticketURL = "https://contoso.onalvao.com/Alvao/Ticket/5"
)

func draft() item.Draft {
	return item.Draft{
		Type: "User Story", Mark: mark, TicketURL: ticketURL, LinkText: "Alvao ticket T5SD",
		Fields: []item.FieldValue{
			{Reference: "System.WorkItemType", Value: "User Story"},
			{Reference: "System.Title", Value: "first"},
			{Reference: "System.Tags", Value: "alvao"},
			{Reference: "System.Description", Value: "<b>x</b>"},
			{Reference: "Custom.Empty", Value: ""},
			{Reference: "system.title", Value: "last"},
		},
	}
}

func plainAnswer(status int, body []byte) *http.Response {
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(body)),
	}
}

type op struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

func operations(t *testing.T, r request) []op {
	t.Helper()
	if r.contentType != "application/json-patch+json" {
		t.Errorf("content type %q", r.contentType)
	}
	var ops []op
	decode(t, []byte(r.body), &ops)
	return ops
}

func link(text string) any {
	return map[string]any{"rel": "Hyperlink", "url": ticketURL, "attributes": map[string]any{"comment": text}}
}

func TestCreate(t *testing.T) {
	t.Parallel()
	c, s := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, http.StatusOK, `{"id":973,"rev":1,"fields":{"System.State":"To Do","System.Tags":"alvao; ALVAO-5"},"relations":[{"rel":"Hyperlink","url":"`+ticketURL+`"}]}`)
	})
	got, err := c.Create(t.Context(), draft())
	if err != nil || got.ID != 973 || got.Rev != 1 || got.State != "To Do" || len(got.Hyperlinks) != 1 {
		t.Fatalf("got %+v, %v", got, err)
	}
	r := s.all()[0]
	if r.method != http.MethodPost || r.path != "/contoso/Alvaoproject/_apis/wit/workitems/$User%20Story" {
		t.Errorf("called %s %s", r.method, r.path)
	}
	want := []op{
		{"add", "/fields/System.Title", "last"},
		{"add", "/fields/System.Description", "<b>x</b>"},
		{"add", "/fields/System.Tags", "alvao; ALVAO-5"},
		{"add", "/relations/-", link("Alvao ticket T5SD")},
	}
	if diff := cmp.Diff(want, operations(t, r)); diff != "" {
		t.Error(diff)
	}
}

// TestCreateIsSentOnce: whatever goes wrong, only the caller may try again.
func TestCreateIsSentOnce(t *testing.T) {
	t.Parallel()
	for _, status := range []int{429, 500, 502, 503, 504, 408} {
		c, s := answering(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		if _, err := c.Create(t.Context(), draft()); err == nil || len(s.all()) != 1 {
			t.Errorf("%d: %v after %d calls", status, err, len(s.all()))
		}
	}
}

func TestCreateRefusesWhatCantBeFoundAgain(t *testing.T) {
	t.Parallel()
	c, s := answering(t, func(http.ResponseWriter, *http.Request) {})
	for kind, change := range map[fault.Kind]func(*item.Draft){
		fault.Misconfigured: func(d *item.Draft) { d.Type = "" },
		fault.Invalid:       func(d *item.Draft) { d.Mark = "" },
	} {
		d := draft()
		change(&d)
		_, err := c.Create(t.Context(), d)
		wantKind(t, err, kind)
	}
	if len(s.all()) != 0 {
		t.Error("something was sent")
	}
}

func TestSetState(t *testing.T) {
	t.Parallel()
	c, s := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, http.StatusOK, `{"id":12,"rev":6,"fields":{"System.State":"Doing"}}`)
	})
	got, err := c.SetState(t.Context(), 12, 5, "Doing")
	if err != nil || got.Rev != 6 || got.State != "Doing" {
		t.Fatalf("got %+v, %v", got, err)
	}
	r := s.all()[0]
	if r.method != http.MethodPatch || r.path != "/contoso/_apis/wit/workitems/12" {
		t.Errorf("called %s %s", r.method, r.path)
	}
	want := []op{{"test", "/rev", 5.0}, {"add", "/fields/System.State", "Doing"}}
	if diff := cmp.Diff(want, operations(t, r)); diff != "" {
		t.Error(diff)
	}
	if _, err := c.SetState(t.Context(), 12, 0, "Doing"); err != nil {
		t.Fatal(err)
	}
	if ops := operations(t, s.all()[1]); len(ops) != 1 {
		t.Errorf("without a revision it sent %v", ops)
	}
}

func TestAddMark(t *testing.T) {
	t.Parallel()
	body := func(tags, links string) string {
		return `{"id":12,"rev":5,"fields":{"System.Tags":"` + tags + `"},"relations":[` + links + `]}`
	}
	hyperlink := `{"rel":"Hyperlink","url":"HTTPS://contoso.onalvao.com:443/alvao/ticket/5/"}`
	tests := map[string]struct {
		present string
		rev     int64
		writes  [][]op
		want    fault.Kind
	}{
		"nothing there": {body("a", ""), 5, [][]op{{
			{"test", "/rev", 5.0}, {"add", "/fields/System.Tags", "a; ALVAO-5"}, {"add", "/relations/-", link("text")},
		}}, 0},
		"tag there": {body("alvao-5; b", ""), 0, [][]op{{{"test", "/rev", 5.0}, {"add", "/relations/-", link("text")}}}, 0},
		"link there, written otherwise": {body("", hyperlink), 5, [][]op{{
			{"test", "/rev", 5.0}, {"add", "/fields/System.Tags", "ALVAO-5"},
		}}, 0},
		"both there":     {body("ALVAO-5", hyperlink), 5, nil, 0},
		"other revision": {body("", ""), 4, nil, fault.Conflict},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, s := answering(t, func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, http.StatusOK, tc.present) })
			got, err := c.AddMark(t.Context(), 12, tc.rev, mark, ticketURL, "text")
			if tc.want != 0 {
				wantKind(t, err, tc.want)
			} else if err != nil || got.ID != 12 {
				t.Errorf("got %+v, %v", got, err)
			}
			var writes [][]op
			for _, r := range s.all()[1:] {
				writes = append(writes, operations(t, r))
			}
			if diff := cmp.Diff(tc.writes, writes); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestRelationExistsIsSuccess: the server may see the same link where we did not; the
// refusal is recorded for other links (azure-devops.md §2.3).
func TestRelationExistsIsSuccess(t *testing.T) {
	t.Parallel()
	for name, tags := range map[string]string{"tag missing": "", "tag there": "ALVAO-5"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, s := answering(t, func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				if r.Method == http.MethodGet {
					answerJSON(w, http.StatusOK, `{"id":12,"rev":5,"fields":{"System.Tags":"`+tags+`"}}`)
					return
				}
				if bytes.Contains(body, []byte("Hyperlink")) {
					answerJSON(w, http.StatusBadRequest, typed("Relation already exists.", "RelationAlreadyExistsException", ""))
					return
				}
				answerJSON(w, http.StatusOK, `{"id":12,"rev":6,"fields":{"System.Tags":"ALVAO-5"}}`)
			})
			got, err := c.AddMark(t.Context(), 12, 5, mark, ticketURL, "text")
			if err != nil || len(got.Tags) != 1 {
				t.Errorf("got %+v, %v", got, err)
			}
			if want := map[string]int{"": 3, "ALVAO-5": 2}[tags]; len(s.all()) != want {
				t.Errorf("%d calls, want %d", len(s.all()), want)
			}
		})
	}
}
