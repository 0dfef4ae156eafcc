package alvao_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tandem-sync/tandem/services/gateway/internal/alvao"
	"github.com/tandem-sync/tandem/services/gateway/internal/envelope"
	"github.com/tandem-sync/tandem/services/gateway/internal/webhook"
)

const push = `{"event":"act.created","ticketId":123,"actId":7,"personId":25}`

// values gives each connector a current and a previous value.
func values(connector string) []string {
	return []string{"current-" + connector, "previous-" + connector}
}

func at(seconds int64) func() time.Time {
	return func() time.Time { return time.Unix(1_790_000_000+seconds, 0) }
}

func sign(key, timestamp, body string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(timestamp + "." + body))
	return hex.EncodeToString(mac.Sum(nil))
}

func timestamp(seconds int64) string { return strconv.FormatInt(1_790_000_000+seconds, 10) }

func request(t *testing.T, connector, token string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
	r.SetPathValue("connector", connector)
	r.SetPathValue("token", token)
	return r
}

func signedRequest(t *testing.T, connector, timestamp, signature string) *http.Request {
	t.Helper()
	r := request(t, connector, "")
	r.Header.Set("X-Tandem-Timestamp", timestamp)
	r.Header.Set("X-Tandem-Signature", signature)
	return r
}

// wantStatus checks the answer that err leads to; 202 stands for no error.
func wantStatus(t *testing.T, err error, status int) {
	t.Helper()
	got := 503
	refusal, refused := errors.AsType[*webhook.RefusalError](err)
	switch {
	case err == nil:
		got = 202
	case refused:
		got = refusal.Outcome.Status()
	case errors.Is(err, envelope.ErrMalformed):
		got = 400
	}
	if got != status {
		t.Errorf("%v leads to %d, want %d", err, got, status)
	}
}

func TestWebhookToken(t *testing.T) {
	t.Parallel()
	hook := alvao.NewWebhook(values)
	for _, tt := range []struct {
		connector, token string
		status           int
	}{
		{"a", "current-a", 202},
		{"a", "previous-a", 202},
		{"b", "current-b", 202},
		{"a", "current-b", 401},
		{"a", "", 401},
		{"a", "current-", 401},
		{"a", "current-a ", 401},
		{"a", "Current-a", 401},
		{"A", "current-a", 401},
	} {
		wantStatus(t, hook.Authenticate(request(t, tt.connector, tt.token)), tt.status)
	}
	wantStatus(t, alvao.NewWebhook(func(string) []string { return nil }).Authenticate(request(t, "a", "")), 401)
}

func TestWebhookRead(t *testing.T) {
	t.Parallel()
	hook := alvao.NewWebhook(values)
	for _, tt := range []struct {
		body   string
		status int
	}{
		{`{"requestId":123,"personId":25}`, 202},
		{`{"RequestId":"123","PersonId":25,"more":[]}`, 202},
		{`{"requestId":123}`, 202},
		{`{"personId":25}`, 400},
		{`{"requestId":0}`, 400},
		{`{"requestId":-1}`, 400},
		{`{"requestId":null}`, 400},
		{`{"requestId":1.5}`, 400},
		{`{}`, 400},
		{`[]`, 400},
		{`{"requestId":123`, 400},
		{``, 400},
	} {
		got, err := hook.Read(request(t, "a", "x"), []byte(tt.body))
		wantStatus(t, err, tt.status)
		if err != nil {
			continue
		}
		want := webhook.Notice{Connector: "a", System: webhook.Alvao, ItemID: 123, EventType: "webhook"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Read(%s) (-want +got):\n%s", tt.body, diff)
		}
	}
}

func TestApplicationProof(t *testing.T) {
	t.Parallel()
	good := sign("current-a", timestamp(0), push)
	for _, tt := range []struct {
		name, connector, timestamp, signature, body string
		now                                         int64
		before, after                               int // status of Authenticate and of Verify
	}{
		{"current key", "a", timestamp(0), good, push, 0, 202, 202},
		{"previous key", "a", timestamp(0), sign("previous-a", timestamp(0), push), push, 0, 202, 202},
		{"signature in capitals", "a", timestamp(0), strings.ToUpper(good), push, 0, 202, 202},
		{"five minutes old", "a", timestamp(0), good, push, 300, 202, 202},
		{"five minutes ahead", "a", timestamp(0), good, push, -300, 202, 202},
		{"older", "a", timestamp(0), good, push, 301, 401, 0},
		{"further ahead", "a", timestamp(0), good, push, -301, 401, 0},
		{"another connector's key", "b", timestamp(0), good, push, 0, 202, 401},
		{"another body", "a", timestamp(0), good, push + " ", 0, 202, 401},
		{"another time", "a", timestamp(1), good, push, 0, 202, 401},
		{"the same time with a zero in front", "a", "0" + timestamp(0), good, push, 0, 202, 401},
		{"near miss", "a", timestamp(0), flip(good), push, 0, 202, 401},
		{"no signature", "a", timestamp(0), "", push, 0, 401, 0},
		{"no timestamp", "a", "", good, push, 0, 401, 0},
		{"short signature", "a", timestamp(0), good[:63], push, 0, 401, 0},
		{"long signature", "a", timestamp(0), good + "00", push, 0, 401, 0},
		{"signature that is no hex", "a", timestamp(0), strings.Repeat("g", 64), push, 0, 401, 0},
		{"negative timestamp", "a", "-1790000000", good, push, 0, 401, 0},
		{"timestamp with a sign", "a", "+" + timestamp(0), good, push, 0, 401, 0},
		{"timestamp in milliseconds", "a", timestamp(0) + "000", good, push, 0, 401, 0},
		{"timestamp with fraction", "a", timestamp(0) + ".5", good, push, 0, 401, 0},
		{"timestamp in words", "a", "now", good, push, 0, 401, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			application := alvao.NewApplication(values, at(tt.now))
			r := signedRequest(t, tt.connector, tt.timestamp, tt.signature)
			wantStatus(t, application.Authenticate(r), tt.before)
			if tt.after != 0 {
				wantStatus(t, application.Verify(r, []byte(tt.body)), tt.after)
			}
		})
	}
}

// flip changes the last bit.
func flip(signature string) string {
	last := "0"
	if strings.HasSuffix(signature, "0") {
		last = "1"
	}
	return signature[:len(signature)-1] + last
}

func TestApplicationRead(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		body   string
		status int
	}{
		{push, 202},
		{`{"Event":"act.created","TicketId":"123","personId":"25","actId":7}`, 202},
		{`{"ticketId":123}`, 400},
		{`{"event":"","ticketId":123}`, 400},
		{`{"event":"` + strings.Repeat("x", 129) + `","ticketId":123}`, 400},
		{`{"event":"act.created"}`, 400},
		{`{"event":"act.created","ticketId":0}`, 400},
		{`{}`, 400},
		{`null`, 400},
		{push + push, 400},
	} {
		application := alvao.NewApplication(values, at(0))
		signature := sign("current-a", timestamp(0), tt.body)
		got, err := application.Read(signedRequest(t, "a", timestamp(0), strings.ToUpper(signature)), []byte(tt.body))
		wantStatus(t, err, tt.status)
		if err != nil {
			continue
		}
		want := webhook.Notice{Connector: "a", System: webhook.Alvao, ItemID: 123, EventType: "act.created", EventID: "alvao-app/a/" + signature, Payload: []byte(push)}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(webhook.Notice{}, "Release")); diff != "" {
			t.Errorf("Read(%s) (-want +got):\n%s", tt.body, diff)
		}
	}
}

// TestReplay: a signature counts once, however its hex is spelt, until the event
// could not be stored; and it stays refused for as long as its time is accepted.
func TestReplay(t *testing.T) {
	t.Parallel()
	now := int64(0)
	application := alvao.NewApplication(values, func() time.Time { return at(now)() })
	read := func(signature string) (webhook.Notice, error) {
		return application.Read(signedRequest(t, "a", timestamp(300), signature), []byte(push))
	}
	signature := sign("current-a", timestamp(300), push) // signed five minutes ahead
	first, err := read(signature)
	wantStatus(t, err, 202)
	_, err = read(signature)
	wantStatus(t, err, 401)
	_, err = read(strings.ToUpper(signature))
	wantStatus(t, err, 401)

	first.Release()
	_, err = read(signature)
	wantStatus(t, err, 202)

	for now = 0; now <= 600; now += 60 {
		_, err = read(signature)
		wantStatus(t, err, 401)
	}
	now = 601
	wantStatus(t, application.Authenticate(signedRequest(t, "a", timestamp(300), signature)), 401)
}

// TestReplayRace: of many at once one gets through.
func TestReplayRace(t *testing.T) {
	t.Parallel()
	application := alvao.NewApplication(values, at(0))
	signature := sign("current-a", timestamp(0), push)
	var (
		group  sync.WaitGroup
		mu     sync.Mutex
		passed int
	)
	for range 32 {
		r := signedRequest(t, "a", timestamp(0), signature)
		group.Go(func() {
			if _, err := application.Read(r, []byte(push)); err == nil {
				mu.Lock()
				passed++
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if passed != 1 {
		t.Errorf("%d of 32 got through, want 1", passed)
	}
}

func FuzzWebhookRead(f *testing.F) {
	for _, seed := range []string{`{"requestId":123,"personId":25}`, `{"requestId":"123"}`, `{"requestId":-1}`, `{"requestId":1e3}`, `[]`} {
		f.Add([]byte(seed))
	}
	hook := alvao.NewWebhook(values)
	f.Fuzz(func(t *testing.T, body []byte) {
		if !utf8.Valid(body) {
			t.Skip("the pipeline refuses what is no UTF-8 before it is read")
		}
		notice, err := hook.Read(request(t, "a", "x"), body)
		if err != nil {
			wantStatus(t, err, 400)
			return
		}
		if notice.ItemID <= 0 || notice.System != webhook.Alvao {
			t.Fatalf("Read(%q) = %+v", body, notice)
		}
	})
}

func FuzzApplicationRead(f *testing.F) {
	for _, seed := range []string{push, `{"Event":"x","TicketId":"1"}`, `{"event":"x"}`, `{"ticketId":1}`, `{`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if !utf8.Valid(body) {
			t.Skip("the pipeline refuses what is no UTF-8 before it is read")
		}
		application := alvao.NewApplication(values, at(0))
		notice, err := application.Read(signedRequest(t, "a", timestamp(0), sign("k", timestamp(0), string(body))), body)
		if err != nil {
			wantStatus(t, err, 400)
			return
		}
		if notice.ItemID <= 0 || notice.EventType == "" || len(notice.EventType) > 128 || len(notice.EventID) > 256 {
			t.Fatalf("Read(%q) = %+v, which IngestEvent does not take", body, notice)
		}
	})
}
