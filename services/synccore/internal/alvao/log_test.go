package alvao_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/synccore/internal/alvao"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
)

// TestRecords: the shape is that of the answer to POST in the OpenAPI (modelled).
func TestRecords(t *testing.T) {
	t.Parallel()
	c, s := answering(t, options(), func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, http.StatusOK, `{"value":[null,{"id":"9002","subject":"later","kind":"Note"},`+
			`{"id":9001,"subject":"s","contentHtml":"<p>h</p>","contentPlain":"p","created":"2026-03-04T05:00:00","kind":"Email","from":"Jan","showToRequester":true,"attachments":[{"name":"a.png","id":77,"link":"x"},{}]},{"subject":"no id"}]}`)
	})
	got, err := c.Records(t.Context(), 123, 9000)
	want := []item.Record{
		{
			ID: 9001, Subject: "s", HTML: "<p>h</p>", Plain: "p", Kind: "Email", From: "Jan",
			Created: time.Date(2026, 3, 4, 5, 0, 0, 0, time.UTC), ShowToRequester: true, Attachments: []item.Attachment{{ID: "77", Name: "a.png", Size: -1, URL: base + "/x"}},
		},
		{ID: 9002, Subject: "later", Kind: "Note"},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if r := s.all()[0]; r.path != "/v1/tickets/123/log" || r.query.Get("$filter") != "id gt 9000" || r.query.Get("$orderby") != "id" {
		t.Errorf("asked %+v", r)
	}
}

func TestRecordsPages(t *testing.T) {
	t.Parallel()
	serve := func(plain bool) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			q := r.URL.Query()
			if plain && len(q) > 0 {
				answerJSON(w, http.StatusBadRequest, `{"message":"The query is not supported."}`)
				return
			}
			since, err := strconv.Atoi(strings.TrimPrefix(q.Get("$filter"), "id gt "))
			if err != nil {
				since = 0
			}
			var records []string
			for id := since + 1; id <= 250 && (plain || len(records) < 100); id++ {
				records = append(records, fmt.Sprintf(`{"id":%d}`, id))
			}
			answerJSON(w, http.StatusOK, `{"value":[`+strings.Join(records, ",")+`]}`)
		}
	}
	for plain, calls := range map[bool]int{false: 3, true: 2} {
		c, s := answering(t, options(), serve(plain))
		got, err := c.Records(t.Context(), 123, 20)
		if err != nil || len(got) != 230 || got[0].ID != 21 || got[229].ID != 250 || len(s.all()) != calls {
			t.Errorf("plain %v: %d records in %d calls, %v", plain, len(got), len(s.all()), err)
		}
	}
}

func TestLogThatCantBeRead(t *testing.T) {
	t.Parallel()
	for status, again := range map[int]int{404: 2, 405: 1, 501: 1} {
		c, s := answering(t, options(), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		for range 2 {
			_, err := c.Records(t.Context(), 123, 0)
			wantKind(t, err, fault.NotFound)
			if !errors.Is(err, alvao.ErrLogUnreadable) {
				t.Errorf("%d: %v", status, err)
			}
		}
		if len(s.all()) != again {
			t.Errorf("%d: asked %d times, want %d", status, len(s.all()), again)
		}
	}
	// One odd answer does not silence messages for good.
	now, status := clock(), http.StatusNotImplemented
	o := options()
	o.Now = func() time.Time { return now }
	odd, _ := answering(t, o, func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, status, `{"value":[]}`) })
	_, err := odd.Records(t.Context(), 123, 0)
	wantKind(t, err, fault.NotFound)
	status, now = http.StatusOK, now.Add(time.Hour)
	if _, err := odd.Records(t.Context(), 123, 0); err != nil {
		t.Error(err)
	}
	c, _ := answering(t, options(), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	_, err = c.Records(t.Context(), 123, 0)
	wantKind(t, err, fault.Denied)
}

func TestPersonIsRemembered(t *testing.T) {
	t.Parallel()
	c, s := answering(t, options(), func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("$filter") != "id eq 10" {
			answerJSON(w, http.StatusOK, `{"value":[]}`)
			return
		}
		answerJSON(w, http.StatusOK, `{"value":[{"Id":9},{"Id":"10","Name":"Jan","Login":"jan@contoso.com","sAMAccountName":"CONTOSO\\jan","Email":"j@contoso.com","managerId":7,"customItems":{"X":{"value":"y"}}}]}`)
	})
	want := item.Person{ID: 10, Name: "Jan", Login: "jan@contoso.com", AccountName: `CONTOSO\jan`, Email: "j@contoso.com", ManagerID: 7, Custom: map[string]string{"X": "y"}}
	for range 2 {
		got, err := c.Person(t.Context(), 10)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Error(diff, err)
		}
		_, err = c.Person(t.Context(), 11)
		wantKind(t, err, fault.NotFound)
	}
	if len(s.all()) != 2 {
		t.Errorf("%d calls, want one for each, also for nobody", len(s.all()))
	}
}

func TestFindPerson(t *testing.T) {
	t.Parallel()
	const one = `{"id":10,"name":"Jan","login":"Jan@contoso.com","email":"j@contoso.com"}`
	tests := map[string]struct {
		byLogin, byMail string
		want            int64
	}{
		"by login":           {one, "", 10},
		"by e-mail":          {"", `{"id":11,"login":"other","email":"jan@contoso.com"}`, 11},
		"two":                {one + `,{"id":12,"login":"jan@contoso.com"}`, `{"id":11,"email":"jan@contoso.com"}`, 0},
		"one of two active":  {one + `,{"id":12,"login":"jan@contoso.com","isDisabled":true}`, "", 10},
		"disabled":           {`{"id":12,"login":"jan@contoso.com","isDisabled":"true"}`, "", 0},
		"hidden":             {`{"id":12,"login":"jan@contoso.com","isHidden":true}`, "", 0},
		"guest":              {`{"id":12,"login":"jan@contoso.com","isGuest":true}`, "", 0},
		"system":             {`{"id":12,"login":"jan@contoso.com","isSystem":true}`, "", 0},
		"removed":            {`{"id":12,"login":"jan@contoso.com","removedDate":"2020-01-01"}`, "", 0},
		"not what was asked": {`{"id":12,"login":"eve@contoso.com"}`, "", 0},
		"nobody":             {"", "", 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _ := answering(t, options(), func(w http.ResponseWriter, r *http.Request) {
				found := tc.byMail
				if r.URL.Query().Get("$filter") == "login eq 'jan@CONTOSO.com'" {
					found = tc.byLogin
				}
				answerJSON(w, http.StatusOK, `{"value":[`+found+`]}`)
			})
			got, err := c.FindPerson(t.Context(), "jan@CONTOSO.com")
			if tc.want == 0 {
				wantKind(t, err, fault.NotFound)
			} else if err != nil || got.ID != tc.want {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	c, s := answering(t, options(), func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, http.StatusOK, `{"value":[]}`) })
	if _, err := c.FindPerson(t.Context(), "O'Neil"); !fault.Is(err, fault.NotFound) || s.all()[0].query.Get("$filter") != "login eq 'O''Neil'" {
		t.Errorf("asked %v: %v", s.all()[0].query, err)
	}
}

// TestCredentialStaysHome: neither a redirect nor a link in an answer takes the
// credential to another host.
func TestCredentialStaysHome(t *testing.T) {
	t.Parallel()
	var foreign atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { foreign.Add(1) }))
	home := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/v1/tickets") {
			answerJSON(w, http.StatusOK, `{"@odata.nextLink":"`+elsewhere.URL+`/v1/tickets?x=1","value":[{"id":1}]}`)
			return
		}
		http.Redirect(w, r, elsewhere.URL+"/signin", http.StatusFound)
	}))
	transport, err := outbound.Transport("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		elsewhere.Close()
		home.Close()
	})
	o := options()
	o.BaseURL, o.Base = home.URL+"/AlvaoRestApi", transport
	c := client(t, o)
	_, err = c.Ticket(t.Context(), 1)
	wantKind(t, err, fault.BadToken)
	for _, err := range c.All(t.Context()) {
		if err != nil {
			wantKind(t, err, fault.Invalid)
		}
	}
	if n := foreign.Load(); n != 0 {
		t.Errorf("the foreign host was called %d times", n)
	}
}

// TestCallerGivesUp: a caller that goes away says nothing about the system.
func TestCallerGivesUp(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	o := options()
	o.Base = replies(func(*http.Request) (*http.Response, error) {
		cancel()
		return nil, errors.New("broken pipe")
	})
	c := client(t, o)
	_, err := c.Ticket(ctx, 1)
	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("a connection that broke counts: %v", err)
	}
	_, err = c.Ticket(ctx, 1)
	if _, isFault := fault.As(err); !errors.Is(err, context.Canceled) || isFault {
		t.Errorf("got %v", err)
	}
}

// TestCheckProbesAnew: what a tenant could not do before is tried again.
func TestCheckProbesAnew(t *testing.T) {
	t.Parallel()
	able := false
	c, _ := answering(t, options(), func(w http.ResponseWriter, r *http.Request) {
		filtered := strings.Contains(r.URL.Query().Get("$filter"), "lastActivityDate")
		switch {
		case !able && strings.HasSuffix(r.URL.Path, "/log"):
			w.WriteHeader(http.StatusMethodNotAllowed)
		case !able && filtered:
			answerJSON(w, http.StatusBadRequest, `{}`)
		case strings.HasSuffix(r.URL.Path, "/v1/tickets/1"):
			answerJSON(w, http.StatusOK, `{"id":1}`)
		default:
			answerJSON(w, http.StatusOK, `{"value":[{"id":1}]}`)
		}
	})
	for _, want := range []item.Severity{item.Warning, item.OK} {
		for _, f := range c.Check(t.Context()) {
			if (f.Check == "alvao.log" || f.Check == "alvao.activity-filter") && f.Severity != want {
				t.Errorf("got %+v, want %s", f, want)
			}
		}
		able = true
	}
}
