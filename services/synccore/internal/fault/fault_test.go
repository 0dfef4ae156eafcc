package fault_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
)

func TestSentenceHidesTheCause(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("reading ticket 7: %w", fault.Wrap(errors.New("pat=s3cret"), fault.BadToken, "The token is refused (100%%)."))
	if got := fault.Sentence(err); got != "The token is refused (100%)." {
		t.Errorf("sentence %q", got)
	}
	if !strings.Contains(err.Error(), "s3cret") {
		t.Errorf("the log's text lacks the cause: %q", err)
	}
	if got := fault.Sentence(errors.New("pat=s3cret")); strings.Contains(got, "s3cret") || got == "" {
		t.Errorf("sentence of another error %q", got)
	}
	// A fault behind a fault is a cause like any other.
	outer := fault.Wrap(fault.New(fault.NotFound, "inner"), fault.Misconfigured, "outer")
	if fault.Sentence(outer) != "outer" || fault.KindOf(outer) != fault.Misconfigured || fault.Is(outer, fault.NotFound) {
		t.Errorf("%q of kind %s", fault.Sentence(outer), fault.KindOf(outer))
	}
}

func TestAfterLeavesTheOriginalAlone(t *testing.T) {
	t.Parallel()
	first := fault.New(fault.Throttled, "wait")
	second := first.After(time.Minute)
	if first.RetryAfter != 0 || second.RetryAfter != time.Minute || second.Text != first.Text || second.Kind != first.Kind {
		t.Errorf("%+v and %+v", first, second)
	}
}

func TestOtherErrorsAreInternal(t *testing.T) {
	t.Parallel()
	if _, ok := fault.As(io.EOF); ok || fault.KindOf(io.EOF) != fault.Internal || fault.Is(io.EOF, fault.Internal) || fault.Is(nil, fault.Internal) {
		t.Error("an error without a kind passes for a fault")
	}
}

func TestKindsHaveNames(t *testing.T) {
	t.Parallel()
	names := map[string]fault.Kind{}
	for kind := fault.Internal; kind <= fault.Misconfigured; kind++ {
		if other, taken := names[kind.String()]; taken || kind.String() == "unknown" {
			t.Errorf("kind %d is named %q as %d is", kind, kind, other)
		}
		names[kind.String()] = kind
	}
	if fault.Kind(-1).String() != "unknown" || (fault.Misconfigured+1).String() != "unknown" {
		t.Error("a kind that does not exist has a name")
	}
}

// However deep it is wrapped or joined, the first fault decides, and its cause stays
// within reach.
func TestFirstFaultDecides(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cause := errors.New("cause")
		kind := fault.Kind(rapid.IntRange(0, int(fault.Misconfigured)).Draw(t, "kind"))
		var err error = fault.Wrap(cause, kind, "sentence")
		for range rapid.IntRange(0, 6).Draw(t, "depth") {
			switch rapid.IntRange(0, 2).Draw(t, "how") {
			case 0:
				err = fmt.Errorf("doing: %w", err)
			case 1:
				err = errors.Join(err, fault.New(fault.Denied, "another"))
			case 2:
				err = errors.Join(io.EOF, err)
			}
		}
		if fault.KindOf(err) != kind || !fault.Is(err, kind) || fault.Sentence(err) != "sentence" || !errors.Is(err, cause) {
			t.Fatalf("%v: kind %s, sentence %q", err, fault.KindOf(err), fault.Sentence(err))
		}
	})
}
