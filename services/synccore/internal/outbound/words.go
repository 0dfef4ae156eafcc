package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// Words are a vendor's, for what any vendor's trouble is told in.
type Words struct {
	// System is its name, Place the address that it is asked at, Secret what opens it
	// ("The password").
	System, Place, Secret string
}

// Deed is what one call is for.
type Deed struct {
	// Subject names what it is about in a sentence, e.g. "ticket 12"; Verb is what is
	// done with that, e.g. "read".
	Subject, Verb string
	// Content names what is sent as a stream; empty: Subject.
	Content string
	// Reads tells that doing it again makes no difference.
	Reads bool
}

// Unsent turns an error without a whole answer into a fault.
func (w Words) Unsent(d Deed, err error) error {
	var wait *WaitError
	switch {
	case errors.As(err, &wait):
		return fault.Wrap(err, fault.Throttled, "%s asked for a pause; Tandem tries %s again by itself.", w.System, d.Subject).After(wait.For)
	case errors.Is(err, ErrNoCredential):
		if f, ok := fault.As(err); ok {
			// Who gives the token says it better.
			return f
		}
		return fault.Wrap(err, fault.BadToken, "%s for %s can't be read; check the file or variable that holds it.", w.Secret, w.Place)
	case errors.Is(err, ErrForeign):
		return fault.Wrap(err, fault.Invalid, "The address of %s lies outside %s and was not called.", d.Subject, w.Place)
	case errors.Is(err, ErrTooLarge):
		return fault.Wrap(err, fault.Invalid, "%s shows more of %s than Tandem reads at once.", w.System, d.Subject)
	case errors.Is(err, context.Canceled):
		// Our side gave up; that says nothing about the system.
		return fmt.Errorf("asking to %s %s: %w", d.Verb, d.Subject, err)
	case errors.Is(err, ErrContent):
		if f, ok := fault.As(err); ok {
			// The content comes from the other system, whose own words say it better.
			return f
		}
		content := d.Content
		if content == "" {
			content = d.Subject
		}
		return fault.Wrap(err, fault.Unavailable,
			"The content of %s could not be read as it was told, so nothing was written; Tandem tries again by itself.", content)
	case errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap(err, fault.Unavailable, "%s", w.OutOfReach(d, "did not answer in time"))
	default:
		return fault.Wrap(err, fault.Unavailable, "%s", w.OutOfReach(d, "can't be reached"))
	}
}

// OutOfReach is the sentence for trouble that passes. What a lost reply to a write
// did is not known, and the sentence does not pretend otherwise.
func (w Words) OutOfReach(d Deed, what string) string {
	if d.Reads {
		return fmt.Sprintf("%s %s at %s; Tandem tries %s again by itself.", w.System, what, w.Place, d.Subject)
	}
	return fmt.Sprintf("%s %s at %s, so it is open whether it did %s %s; Tandem looks before it tries again.", w.System, what, w.Place, d.Verb, d.Subject)
}

// Unreadable is the fault of an answer that can't be decoded.
func (w Words) Unreadable(d Deed, cause error) error {
	return fault.Wrap(cause, fault.Unavailable, "%s", w.OutOfReach(d, "sent an unreadable answer"))
}

// File is the content of a file that was asked for, whose errors while it is read are
// faults. The size is -1 if not told. A status that is no success is told by refusal;
// in place of a web page the fault of signIn counts if there is one, for credentials
// that are not accepted concern more than this file. Everything else that is no file is
// Refused.
func (w Words) File(s Stream, d Deed, name string, refusal func(Answer) error, signIn func() error) (io.ReadCloser, int64, string, error) {
	page := s.Status == http.StatusOK && s.PageFor(name)
	switch {
	case page, s.Status == http.StatusNonAuthoritativeInfo, s.Status >= 300 && s.Status < 400:
		_ = s.Content.Close()
		if err := signIn(); err != nil {
			return nil, 0, "", err
		}
		return nil, 0, "", fault.New(fault.Refused, "%s answers a web page in place of %s, so it was not taken.", w.System, d.Subject)
	case s.Status > http.StatusOK && s.Status < 300:
		_ = s.Content.Close()
		return nil, 0, "", fault.New(fault.Refused, "%s answers %d in place of %s.", w.System, s.Status, d.Subject)
	case s.Status != http.StatusOK:
		return nil, 0, "", refusal(s.Rest())
	}
	return reading{s.Content, w, d}, s.Length, s.Media(), nil
}

// reading is a file being read, whose errors are faults.
type reading struct {
	io.ReadCloser

	words Words
	deed  Deed
}

// Read implements io.Reader.
func (r reading) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // a bare EOF alone is the end
		err = r.words.Unsent(r.deed, err)
	}
	return n, err
}

// skewWarning is how far two clocks may differ before "the newest wins" gets unfair.
const skewWarning = 30 * time.Second

// Clock tells how far a vendor's clock is from ours.
func (w Words) Clock(check string, skew time.Duration) item.Finding {
	skew = skew.Round(time.Second).Abs()
	if skew <= skewWarning {
		return item.Finding{Check: check, Severity: item.OK, Detail: fmt.Sprintf("The clocks of this machine and of %s differ by %s.", w.System, skew)}
	}
	return item.Finding{
		Check: check, Severity: item.Warning,
		Detail: fmt.Sprintf("The clocks of this machine and of %s differ by %s, which can make the older of two changes win.", w.System, skew),
		Remedy: "Set this machine's clock by a time server.",
	}
}

// Told is a vendor's message, to stand at a sentence's end; empty for none.
func Told(message string) string {
	if message == "" {
		return ""
	}
	return " (" + strings.TrimRight(message, ". ") + ")"
}

// OneLine shortens a vendor's message to one line of at most 300 characters.
func OneLine(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > 300 {
		return string(runes[:299]) + "…"
	}
	return text
}
