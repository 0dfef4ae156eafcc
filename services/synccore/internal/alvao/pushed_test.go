package alvao_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/synccore/internal/alvao"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// told is what an application told; the zero value: nothing, ever.
type told struct {
	heard   time.Time
	round   time.Time
	records []item.PushedRecord
	err     error
	asked   int
}

func (t *told) Log(context.Context, int64) ([]item.PushedRecord, error) { return t.records, t.err }

func (t *told) Heard(context.Context) (time.Time, error) {
	t.asked++
	return t.heard, t.err
}

func (t *told) Round(context.Context) (time.Time, error) { return t.round, t.err }

func pushedRecord(id int64, change func(*item.PushedRecord)) item.PushedRecord {
	r := item.PushedRecord{Record: item.Record{ID: id, HTML: "<p>h</p>", Plain: "p", Kind: "Note", From: "Jan"}}
	if change != nil {
		change(&r)
	}
	return r
}

// unreadable has the log answered 404, as where there is no such resource.
func unreadable(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }

func TestLogThatIsTold(t *testing.T) {
	t.Parallel()
	o, p := options(), &told{heard: clock()}
	o.Pushed = p
	c, _ := answering(t, o, unreadable)
	p.records = []item.PushedRecord{
		pushedRecord(1, func(r *item.PushedRecord) { r.Important = true }),
		pushedRecord(2, func(r *item.PushedRecord) {
			r.Cut, r.Attachments = true, []item.Attachment{{ID: "3", Name: "a", URL: "v1/attachments/3"}, {ID: "4", Name: "b"}, {ID: "5", Name: "c", URL: "https://elsewhere.invalid/x"}}
		}),
		pushedRecord(3, func(r *item.PushedRecord) { r.Record = item.Record{ID: 3, Removed: true} }),
	}
	got, err := c.Log(t.Context(), 123)
	const cut = "[The end of this message is too long to be carried over; it stands in Alvao.]"
	want := item.Log{Partial: true, Records: []item.Record{
		{ID: 1, HTML: "<p>h</p>", Plain: "p", Kind: "Note", From: "Jan", Important: true},
		{
			ID: 2, HTML: "<p>h</p><p>" + cut + "</p>", Plain: "p\n\n" + cut, Kind: "Note", From: "Jan", Cut: true,
			Attachments: []item.Attachment{{ID: "3", Name: "a", URL: base + "/v1/attachments/3"}, {ID: "4", Name: "b"}, {ID: "5", Name: "c", URL: "https://elsewhere.invalid/x"}},
		},
		{ID: 3, Removed: true},
	}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	// What was told stays as it was told.
	if diff := cmp.Diff("<p>h</p>", p.records[1].HTML); diff != "" || p.records[1].Attachments[0].URL != "v1/attachments/3" {
		t.Error(diff, p.records[1].Attachments)
	}
	// A file whose place was not told, or that lies elsewhere, is left out rather than asked for.
	for _, file := range got.Records[1].Attachments[1:] {
		_, _, _, err := c.OpenFile(t.Context(), file)
		wantKind(t, err, fault.Refused)
	}
}

func TestLogThatNobodyTells(t *testing.T) {
	t.Parallel()
	bare := func(r *item.PushedRecord) { r.Bare = true }
	for name, p := range map[string]*told{
		"no application":                      {},
		"one that leaves texts to REST":       {heard: clock(), records: []item.PushedRecord{pushedRecord(1, nil), pushedRecord(2, bare)}},
		"one that did before it was set over": {heard: clock(), records: []item.PushedRecord{pushedRecord(2, bare), pushedRecord(3, nil)}},
	} {
		o := options()
		o.Pushed = p
		c, _ := answering(t, o, unreadable)
		if _, err := c.Log(t.Context(), 123); !errors.Is(err, alvao.ErrLogUnreadable) || !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c, _ := answering(t, options(), unreadable)
	if _, err := c.Log(t.Context(), 123); !errors.Is(err, alvao.ErrLogUnreadable) {
		t.Error(err)
	}
}

func TestMarksAreTold(t *testing.T) {
	t.Parallel()
	o, p := options(), &told{heard: clock(), records: []item.PushedRecord{
		pushedRecord(1, nil), pushedRecord(2, func(r *item.PushedRecord) { r.Bare, r.Important = true, true }),
		pushedRecord(9, func(r *item.PushedRecord) { r.Important = true }),
	}}
	o.Pushed = p
	c, _ := answering(t, o, func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, http.StatusOK, `{"value":[{"id":1,"kind":"Note","contentHtml":"read"},{"id":2,"kind":"Note","contentHtml":"read"}]}`)
	})
	want := item.Log{Records: []item.Record{{ID: 1, Kind: "Note", HTML: "read"}, {ID: 2, Kind: "Note", HTML: "read", Important: true}}}
	for range 2 {
		got, err := c.Log(t.Context(), 123)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Error(diff, err)
		}
	}
	if p.asked != 1 {
		t.Errorf("it was asked %d times whether there is an application", p.asked)
	}
}

func TestLogWhenTheStoreIsAway(t *testing.T) {
	t.Parallel()
	o := options()
	o.Pushed = &told{err: fault.New(fault.Unavailable, "Redis is away.")}
	for _, answer := range []http.HandlerFunc{unreadable, func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, http.StatusOK, `{"value":[]}`) }} {
		c, _ := answering(t, o, answer)
		if _, err := c.Log(t.Context(), 123); !fault.Is(err, fault.Unavailable) {
			t.Errorf("told %v, as if nothing had been told", err)
		}
	}
	c, _ := answering(t, o, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	_, err := c.Log(t.Context(), 123)
	wantKind(t, err, fault.Denied)
}
