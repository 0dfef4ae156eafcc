package outbound_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
)

func words() outbound.Words {
	return outbound.Words{System: "Desk", Place: "https://desk", Secret: "The password"}
}

func TestUnsent(t *testing.T) {
	t.Parallel()
	other := fault.New(fault.Denied, "Boards says no.")
	for name, tc := range map[string]struct {
		err  error
		deed outbound.Deed
		want fault.Kind
		says string
	}{
		"pause":          {fmt.Errorf("x: %w", &outbound.WaitError{For: time.Minute}), outbound.Deed{}, fault.Throttled, "Desk asked for a pause; Tandem tries ticket 1 again by itself."},
		"no credential":  {outbound.ErrNoCredential, outbound.Deed{}, fault.BadToken, "The password for https://desk can't be read; check the file or variable that holds it."},
		"its own words":  {errors.Join(outbound.ErrNoCredential, other), outbound.Deed{}, fault.Denied, "Boards says no."},
		"foreign":        {outbound.ErrForeign, outbound.Deed{}, fault.Invalid, "The address of ticket 1 lies outside https://desk and was not called."},
		"too large":      {outbound.ErrTooLarge, outbound.Deed{}, fault.Invalid, "Desk shows more of ticket 1 than Tandem reads at once."},
		"content":        {outbound.ErrContent, outbound.Deed{}, fault.Unavailable, "The content of ticket 1 could not be read as it was told, so nothing was written; Tandem tries again by itself."},
		"named content":  {outbound.ErrContent, outbound.Deed{Content: "a file"}, fault.Unavailable, "The content of a file could not be read as it was told, so nothing was written; Tandem tries again by itself."},
		"others' words":  {errors.Join(outbound.ErrContent, other), outbound.Deed{}, fault.Denied, "Boards says no."},
		"late":           {context.DeadlineExceeded, outbound.Deed{Reads: true}, fault.Unavailable, "Desk did not answer in time at https://desk; Tandem tries ticket 1 again by itself."},
		"unsure":         {io.ErrUnexpectedEOF, outbound.Deed{}, fault.Unavailable, "Desk can't be reached at https://desk, so it is open whether it did move ticket 1; Tandem looks before it tries again."},
		"we gave up":     {context.Canceled, outbound.Deed{}, fault.Internal, ""},
		"we gave up too": {errors.Join(context.Canceled, io.EOF), outbound.Deed{}, fault.Internal, ""},
	} {
		tc.deed.Subject, tc.deed.Verb = "ticket 1", "move"
		err := words().Unsent(tc.deed, tc.err)
		if fault.KindOf(err) != tc.want || tc.says != "" && fault.Sentence(err) != tc.says || !errors.Is(err, tc.err) && tc.want != fault.Denied {
			t.Errorf("%s: %s %q", name, fault.KindOf(err), fault.Sentence(err))
		}
	}
}

func TestFile(t *testing.T) {
	t.Parallel()
	deed := outbound.Deed{Subject: "the file a.txt", Verb: "read", Reads: true}
	for name, tc := range map[string]struct {
		status    int
		media     string
		body      io.Reader
		signedOut bool
		want      fault.Kind
		says      string
	}{
		"file":            {status: 200, media: "text/plain", body: strings.NewReader("abc")},
		"page":            {status: 200, media: "text/html", body: strings.NewReader("<html>"), want: fault.Refused, says: "Desk answers a web page in place of the file a.txt, so it was not taken."},
		"sign-in page":    {status: 200, media: "text/html", body: strings.NewReader("<html>"), signedOut: true, want: fault.BadToken, says: "Out."},
		"sign-in status":  {status: 203, body: strings.NewReader("x"), signedOut: true, want: fault.BadToken, says: "Out."},
		"redirect":        {status: 302, body: strings.NewReader(""), want: fault.Refused, says: "web page"},
		"nothing":         {status: 204, body: strings.NewReader(""), want: fault.Refused, says: "Desk answers 204 in place of the file a.txt."},
		"refusal":         {status: 404, body: strings.NewReader("why"), want: fault.NotFound, says: "404 why."},
		"breaks off":      {status: 200, media: "text/plain", body: iotest.ErrReader(io.ErrUnexpectedEOF), want: fault.Unavailable, says: "Desk can't be reached"},
		"size told wrong": {status: 200, media: "text/plain", body: iotest.ErrReader(outbound.ErrTooLarge), want: fault.Invalid, says: "more of the file a.txt"},
	} {
		s := outbound.Stream{Answer: outbound.Answer{Status: tc.status, Header: http.Header{"Content-Type": {tc.media}}}, Content: io.NopCloser(tc.body), Length: 3}
		content, size, media, err := words().File(s, deed, "a.txt",
			func(a outbound.Answer) error { return fault.New(fault.NotFound, "%d %s.", a.Status, a.Body) },
			func() error {
				if tc.signedOut {
					return fault.New(fault.BadToken, "Out.")
				}
				return nil
			})
		if err == nil {
			_, err = io.Copy(io.Discard, content)
			if size != 3 || media != tc.media {
				t.Errorf("%s: %d bytes of %s", name, size, media)
			}
		}
		if (err == nil) != (tc.says == "") || err != nil && (fault.KindOf(err) != tc.want || !strings.Contains(fault.Sentence(err), tc.says)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestClock(t *testing.T) {
	t.Parallel()
	for skew, want := range map[time.Duration]item.Severity{0: item.OK, -30 * time.Second: item.OK, 31 * time.Second: item.Warning, -31 * time.Second: item.Warning} {
		if f := words().Clock("desk.clock", skew); f.Check != "desk.clock" || f.Severity != want || !strings.Contains(f.Detail, skew.Abs().String()) {
			t.Errorf("%s: %+v", skew, f)
		}
	}
}

func TestToldOnOneLine(t *testing.T) {
	t.Parallel()
	if got := outbound.Told(outbound.OneLine(" a \n b.. ")); got != " (a b)" {
		t.Errorf("%q", got)
	}
	if got := outbound.Told(""); got != "" {
		t.Errorf("%q", got)
	}
	if got := []rune(outbound.OneLine(strings.Repeat("ž", 400))); len(got) != 300 || got[299] != '…' {
		t.Errorf("%d characters", len(got))
	}
}
