package alvao_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/gateway/internal/alvao"
	"github.com/tandem-sync/tandem/services/gateway/internal/webhook"
)

const whole = `{"event":"act.changed","nonce":"x","ticketId":123,"actId":7,"personId":25,"properties":"tAct.sAct","record":{
	"asOf":"2026-03-02T08:00:00.1234567Z","subject":"About","contentHtml":"<p>secret body</p>","contentPlain":"secret body","kind":"Note",
	"from":"Eve","created":"2026-03-01T07:00:00Z","showToRequester":true,"mark":"important","cut":true,
	"attachments":[{"id":3,"name":"a.png","size":0,"link":"v1/attachments/3"},{"ID":4,"Name":"b.txt"}]}}`

// readPush reads a body as if it were signed.
func readPush(t *testing.T, body string) (webhook.Notice, error) {
	t.Helper()
	application := alvao.NewApplication(values, at(0))
	return application.Read(signedRequest(t, "a", timestamp(0), sign("current-a", timestamp(0), body)), []byte(body))
}

func TestApplicationTellsOfARecord(t *testing.T) {
	t.Parallel()
	got, err := readPush(t, whole)
	wantStatus(t, err, 202)
	zero := int64(0)
	want := &webhook.PushedRecord{
		ID: 7, AsOf: time.Date(2026, 3, 2, 8, 0, 0, 123456700, time.UTC), Created: time.Date(2026, 3, 1, 7, 0, 0, 0, time.UTC),
		Cut: true, Mark: webhook.MarkImportant, ShowToRequester: true, Subject: "About", HTML: "<p>secret body</p>", Plain: "secret body",
		Kind: "Note", Author: "Eve",
		Files: []webhook.PushedFile{{ID: 3, Name: "a.png", Size: &zero, Link: "v1/attachments/3"}, {ID: 4, Name: "b.txt"}},
	}
	if diff := cmp.Diff(want, got.Pushed); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// What people are shown of it says nothing that is written there.
	if want := `{"event":"act.changed","ticketId":123,"actId":7,"personId":25,"properties":"tAct.sAct"}`; string(got.Payload) != want {
		t.Errorf("shown: %s", got.Payload)
	}
}

func TestApplicationTellsTheEndOfARound(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]int{
		`{"event":"round.finished","nonce":"x","round":{"tookMs":1500}}`:                        202,
		`{"event":"round.finished","round":{}}`:                                                 202,
		`{"event":"round.finished","round":{"tookMs":-1}}`:                                      400,
		`{"event":"round.finished","round":{"tookMs":86400001}}`:                                400,
		`{"event":"round.finished","round":{"tookMs":"1500"}}`:                                  400,
		`{"event":"round.finished","round":7}`:                                                  400,
		`{"event":"round.finished"}`:                                                            400,
		`{"event":"x","actId":7,"round":{"tookMs":1},"record":{"asOf":"2026-03-02T08:00:00Z"}}`: 400,
	} {
		got, err := readPush(t, body)
		wantStatus(t, err, want)
		if want == 202 && (got.Round == nil || *got.Round != 1500*time.Millisecond && *got.Round != 0 || got.ItemID != 0 || got.Connector != "a" || got.Pushed != nil) {
			t.Errorf("%s: %+v", body, got)
		}
	}
}

func TestRecordsThatAreRefused(t *testing.T) {
	t.Parallel()
	record := func(fields string) string {
		return `{"event":"act.created","ticketId":123,"actId":7,"record":{"asOf":"2026-03-02T08:00:00Z"` + fields + `}}`
	}
	text := func(name string, length int) string {
		return `,"` + name + `":"` + strings.Repeat("secret", length/6+1)[:length] + `"`
	}
	files := func(count int) string {
		return `,"attachments":[` + strings.TrimSuffix(strings.Repeat(`{"id":1},`, count), ",") + `]`
	}
	for name, tt := range map[string]struct {
		body string
		told string // in the refusal; empty: it is taken
	}{
		"least":             {record(""), ""},
		"removed":           {record(`,"removed":true`), ""},
		"bare":              {record(`,"bare":true,"mark":"solution"`), ""},
		"null":              {`{"event":"x","ticketId":1,"record":null}`, ""},
		"longest texts":     {record(text("contentHtml", 512<<10) + text("contentPlain", 128<<10) + text("subject", 1024)), ""},
		"most files":        {record(files(200)), ""},
		"no time":           {`{"event":"x","ticketId":1,"actId":7,"record":{}}`, "asOf"},
		"time without zone": {`{"event":"x","ticketId":1,"actId":7,"record":{"asOf":"2026-03-02T08:00:00"}}`, "asOf"},
		"no number":         {`{"event":"x","ticketId":1,"record":{"asOf":"2026-03-02T08:00:00Z"}}`, "actId"},
		"unknown mark":      {record(`,"mark":"secret"`), "mark"},
		"creation":          {record(`,"created":"secret"`), "created"},
		"long HTML":         {record(text("contentHtml", 512<<10+1)), "contentHtml"},
		"long text":         {record(text("contentPlain", 128<<10+1)), "contentPlain"},
		"long subject":      {record(text("subject", 1025)), "subject"},
		"long kind":         {record(text("kind", 65)), "kind"},
		"long author":       {record(text("from", 1025)), "from"},
		"too many files":    {record(files(201)), "attachments"},
		"file without id":   {record(`,"attachments":[{"id":1},{"name":"secret"}]`), "attachments[1]"},
		"long file name":    {record(`,"attachments":[{"id":1` + text("name", 1025) + `}]`), "attachments[0]"},
		"negative size":     {record(`,"attachments":[{"id":1,"size":-1}]`), "attachments[0]"},
		"number as text":    {record(`,"subject":5`), "wrong type"},
		"record as list":    {`{"event":"x","ticketId":1,"actId":7,"record":["secret"]}`, "wrong type"},
		"record as text":    {`{"event":"x","ticketId":1,"actId":7,"record":"secret"}`, "wrong type"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := readPush(t, tt.body)
			if tt.told == "" {
				wantStatus(t, err, 202)
				return
			}
			wantStatus(t, err, 400)
			if err != nil && (!strings.Contains(err.Error(), tt.told) || strings.Contains(err.Error(), "secret")) {
				t.Errorf("told: %v", err)
			}
			if got.Pushed != nil {
				t.Errorf("%+v came with a refusal", got.Pushed)
			}
		})
	}
}

// FuzzRecord: what is taken holds the limits that sync-core has, and is never shown.
func FuzzRecord(f *testing.F) {
	for _, seed := range []string{
		`{"asOf":"2026-03-02T08:00:00Z","contentHtml":"<p>x</p>","attachments":[{"id":3,"name":"a","size":1}]}`,
		`{"asOf":"2026-03-02T08:00:00Z","removed":true}`, `{"asOf":"9999-12-31T23:59:59.9999999Z","created":"0001-01-01T00:00:00Z","mark":"solution"}`, `{"asOf":1}`, `[]`, `"x"`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, record string) {
		if !json.Valid([]byte(record)) {
			t.Skip("another fuzzer's matter")
		}
		body := `{"event":"act.created","ticketId":123,"actId":7,"record":` + record + `}`
		got, err := readPush(t, body)
		if err != nil {
			wantStatus(t, err, 400)
			return
		}
		if string(got.Payload) != `{"event":"act.created","ticketId":123,"actId":7}` {
			t.Fatalf("shown: %s", got.Payload)
		}
		if p := got.Pushed; p != nil && (p.AsOf.IsZero() && !strings.Contains(record, "0001") || len(p.HTML) > 512<<10 || len(p.Plain) > 128<<10 || len(p.Files) > 200) {
			t.Fatalf("took %+v", p)
		}
	})
}
