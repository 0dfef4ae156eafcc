package azuredevops_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
)

// finder answers a query with ids and batches with items made by item.
func finder(t *testing.T, ids []int, item func(id int) string) http.HandlerFunc {
	t.Helper()
	return func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/wiql") {
			var found []string
			for _, id := range ids {
				found = append(found, fmt.Sprintf(`{"id":%d,"url":"x"}`, id))
			}
			answerJSON(w, http.StatusOK, `{"queryType":"flat","workItems":[`+strings.Join(found, ",")+`]}`)
			return
		}
		var items []string
		for _, id := range ids {
			items = append(items, item(id))
		}
		answerJSON(w, http.StatusOK, `{"value":[`+strings.Join(items, ",")+`]}`)
	}
}

func marked(id int, tags, link string) string {
	return fmt.Sprintf(`{"id":%d,"rev":1,"fields":{"System.Tags":%q},"relations":[{"rel":"Hyperlink","url":%q}]}`, id, tags, link)
}

func TestFindByMark(t *testing.T) {
	t.Parallel()
	items := map[int]string{
		9: marked(9, "x; alvao-5", "http://CONTOSO.onalvao.com/Alvao/Ticket/5/"), // ours, rewritten
		4: marked(4, "ALVAO-5", ticketURL),                                       // ours
		5: marked(5, "ALVAO-5", "https://contoso.onalvao.com/Alvao/Ticket/50"),   // copied tag
		6: marked(6, "ALVAO-55", ticketURL),                                      // begins alike
		7: `{"id":7,"rev":1,"fields":{"System.Tags":"ALVAO-5"}}`,                 // tag alone
		8: `null`,
	}
	c, s := answering(t, finder(t, []int{9, 4, 5, 6, 7, 8}, func(id int) string { return items[id] }))
	got, err := c.FindByMark(t.Context(), mark, ticketURL)
	if err != nil || len(got) != 2 || got[0].ID != 4 || got[1].ID != 9 {
		t.Fatalf("got %+v, %v; want 4 and 9", got, err)
	}
	query, batch := s.all()[0], s.all()[1]
	if query.path != "/contoso/Alvaoproject/_apis/wit/wiql" ||
		!strings.Contains(query.body, `[System.TeamProject] = @project AND [System.Tags] CONTAINS 'ALVAO-5'`) {
		t.Errorf("asked %+v", query)
	}
	if !strings.Contains(batch.body, `"$expand":"relations"`) || strings.Contains(batch.body, "fields") {
		t.Errorf("asked %+v: fields and $expand exclude each other", batch)
	}
}

func TestFindByMarkQuotes(t *testing.T) {
	t.Parallel()
	c, s := answering(t, finder(t, nil, nil))
	got, err := c.FindByMark(t.Context(), "O'Neil' OR 1=1", ticketURL)
	if err != nil || len(got) != 0 || len(s.all()) != 1 {
		t.Errorf("got %v, %v after %d calls", got, err, len(s.all()))
	}
	var body struct{ Query string }
	decode(t, []byte(s.all()[0].body), &body)
	if !strings.Contains(body.Query, `CONTAINS 'O''Neil'' OR 1=1'`) {
		t.Errorf("query %s", body.Query)
	}
}

// TestFindByMarkAmongMany: only the tags of many candidates are read before their links.
func TestFindByMarkAmongMany(t *testing.T) {
	t.Parallel()
	ids := make([]int, 250)
	for i := range ids {
		ids[i] = i + 1
	}
	c, s := answering(t, finder(t, ids, func(id int) string {
		if id == 77 {
			return marked(id, "ALVAO-5", ticketURL)
		}
		return marked(id, fmt.Sprintf("ALVAO-5%d", id), ticketURL)
	}))
	got, err := c.FindByMark(t.Context(), mark, ticketURL)
	if err != nil || len(got) == 0 || got[0].ID != 77 {
		t.Fatalf("got %+v, %v", got, err)
	}
	last := s.all()[len(s.all())-1]
	if !strings.Contains(last.body, `"ids":[77`) || strings.Contains(last.body, "78") {
		t.Errorf("read the relations of %s", last.body)
	}
}

func TestFindByMarkPassesTroubleOn(t *testing.T) {
	t.Parallel()
	c, _ := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, http.StatusBadRequest, typed("VS402335: timeout", "", ""))
	})
	_, err := c.FindByMark(t.Context(), mark, ticketURL)
	wantKind(t, err, fault.Unavailable)
}
