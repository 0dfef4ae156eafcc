package fault

import (
	"errors"
	"fmt"
	"net/http"
	"path"
	"strings"
	"time"
)

// Kind says what a rule does to a request it takes.
type Kind string

// The kinds of fault. All but [KindThrottle], [KindUnavailable], [KindStatus] and [KindSignIn] let the request
// reach the handler, so its effect stands.
const (
	// KindPass lets the request and its answer through; only Delay, ReplyDelay and Headers apply. It serves for
	// latency and for a Retry-After on a successful answer.
	KindPass Kind = "pass"
	// KindThrottle answers 429 with Retry-After; the handler is not reached.
	KindThrottle Kind = "throttle"
	// KindUnavailable answers 503, with Retry-After if one is given; the handler is not reached.
	KindUnavailable Kind = "unavailable"
	// KindStatus answers Status with Body; the handler is not reached.
	KindStatus Kind = "status"
	// KindSignIn answers 203 and an HTML sign-in page, as Azure DevOps does for a bad token; the handler is not reached.
	KindSignIn Kind = "sign-in"
	// KindCut runs the handler, announces its whole answer, sends half of the body (or CutAfter bytes) and breaks
	// the connection.
	KindCut Kind = "cut"
	// KindLostReply runs the handler to its end, drops its answer and breaks the connection: the change is made and
	// the caller can't know.
	KindLostReply Kind = "lost-reply"
)

// Duration is a time.Duration that is written as text ("250ms") in JSON.
type Duration time.Duration

// MarshalText writes d the way time.ParseDuration reads it.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads a duration such as "250ms" or "2s".
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("reading duration: %w", err)
	}
	*d = Duration(v)
	return nil
}

// Rule is one fault and the requests it applies to. The zero value of every field is usable; a rule of only a Kind
// hits every request.
type Rule struct {
	// ID names the rule for removal. Left empty it is given by [Set.Add].
	ID string `json:"id,omitempty"`
	// Method is an HTTP method; empty means any.
	Method string `json:"method,omitempty"`
	// Path is matched without regard to case against the decoded request path, segment by segment: `*` and the other
	// signs of [path.Match] stand within one segment, `**` for any number of segments. Empty means any path.
	Path string `json:"path,omitempty"`
	// Kind is the effect; empty means [KindPass].
	Kind Kind `json:"kind,omitempty"`

	// Delay passes before the handler runs (or the fault answers).
	Delay Duration `json:"delay,omitempty"`
	// ReplyDelay passes after the handler has run and before its answer is sent: a caller that gives up meanwhile has
	// changed something all the same.
	ReplyDelay Duration `json:"replyDelay,omitempty"`
	// RetryAfter is sent, rounded up to whole seconds, by KindThrottle (default one second), KindUnavailable and
	// KindStatus, and on passed answers if set.
	RetryAfter Duration `json:"retryAfter,omitempty"`
	// Status is the status of KindStatus.
	Status int `json:"status,omitempty"`
	// Headers are set on the answer, whatever the kind.
	Headers map[string]string `json:"headers,omitempty"`
	// Body replaces the default body of the answering kinds; its type is ContentType, or JSON if that is empty.
	Body        string `json:"body,omitempty"`
	ContentType string `json:"contentType,omitempty"`
	// CutAfter is how many bytes of the body KindCut lets through; zero means half.
	CutAfter int `json:"cutAfter,omitempty"`

	// Probability is the chance, 0 to 1, that a matching request is hit; zero means always.
	Probability float64 `json:"probability,omitempty"`
	// Skip lets that many matching requests through first.
	Skip int `json:"skip,omitempty"`
	// Count is how many requests are hit before the rule rests; zero means without end.
	Count int `json:"count,omitempty"`

	// Hits is how many requests the rule has hit. It is read only: what a caller sends is ignored.
	Hits int `json:"hits"`
}

// check tells what is wrong with the rule, if anything.
func (r Rule) check() error {
	switch r.Kind {
	case KindPass, KindThrottle, KindUnavailable, KindSignIn, KindCut, KindLostReply:
	case KindStatus:
		if r.Status < 200 || r.Status > 599 {
			return fmt.Errorf("kind %q needs a status between 200 and 599, got %d", r.Kind, r.Status)
		}
	default:
		return fmt.Errorf("unknown kind %q", r.Kind)
	}
	if r.Probability < 0 || r.Probability > 1 {
		return fmt.Errorf("probability %v is not between 0 and 1", r.Probability)
	}
	if r.Delay < 0 || r.ReplyDelay < 0 || r.RetryAfter < 0 || r.Skip < 0 || r.Count < 0 || r.CutAfter < 0 {
		return errors.New("durations and counts must not be negative")
	}
	for segment := range strings.SplitSeq(r.Path, "/") {
		if _, err := path.Match(segment, ""); err != nil {
			return fmt.Errorf("path %q: %w", r.Path, err)
		}
	}
	return nil
}

// matches tells whether the rule is about this request.
func (r Rule) matches(req *http.Request) bool {
	if r.Method != "" && r.Method != "*" && !strings.EqualFold(r.Method, req.Method) {
		return false
	}
	if r.Path == "" {
		return true
	}
	return matchSegments(segments(r.Path), segments(req.URL.Path))
}

func segments(p string) []string {
	return strings.Split(strings.ToLower(strings.Trim(p, "/")), "/")
}

func matchSegments(pattern, segs []string) bool {
	for i, want := range pattern {
		if want == "**" {
			rest := pattern[i+1:]
			for skip := i; skip <= len(segs); skip++ {
				if matchSegments(rest, segs[skip:]) {
					return true
				}
			}
			return false
		}
		if i >= len(segs) {
			return false
		}
		if ok, err := path.Match(want, segs[i]); err != nil || !ok {
			return false
		}
	}
	return len(pattern) == len(segs)
}
