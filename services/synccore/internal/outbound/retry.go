package outbound

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

type replayKey struct{}

// Replayable marks the requests made with the context as repeatable although their
// method is not: a query that is sent by POST.
func Replayable(ctx context.Context) context.Context {
	return context.WithValue(ctx, replayKey{}, true)
}

// Retry sends a request through the gate, with a time limit for each try, and
// repeats what may be repeated when the trouble is short. Long trouble is the
// worker's: its item waits in the inbox, not in memory.
type Retry struct {
	Gate Gate
	// Attempts is how often a repeatable request is sent at most; default 3.
	Attempts int
	// Patience is the longest single wait between two tries, unless the call is Patient;
	// default 2 s.
	Patience time.Duration
	// Timeout bounds each try from sending to the end of the body; default 60 s,
	// because Azure DevOps delays throttled calls by up to 30 s. Of a stream it bounds
	// each wait for the other side instead.
	Timeout time.Duration
	Now     func() time.Time
	Next    http.RoundTripper
}

// RoundTrip implements http.RoundTripper. The last answer or error is returned as is.
func (t *Retry) RoundTrip(r *http.Request) (*http.Response, error) {
	attempts := 1
	if repeatable(r) {
		attempts = orDefault(t.Attempts, 3)
	}
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval = 100 * time.Millisecond
	for n := 1; ; n++ {
		answer, err := t.once(r, n)
		if n >= attempts || !passing(answer, err) || r.Context().Err() != nil {
			return answer, err
		}
		wait := pauses.NextBackOff()
		if answer != nil {
			wait = max(wait, RetryAfter(answer.Header, t.Now()))
		}
		if wait > Patience(r.Context(), orDefault(t.Patience, 2*time.Second)) {
			return answer, err
		}
		if answer != nil {
			_, _ = io.CopyN(io.Discard, answer.Body, 64<<10)
			_ = answer.Body.Close()
		}
		if err := Sleep(r.Context(), wait); err != nil {
			return nil, err
		}
	}
}

func (t *Retry) once(r *http.Request, n int) (*http.Response, error) {
	leave, err := t.Gate.Enter(r.Context(), !reads(r))
	if err != nil {
		closeBody(r)
		return nil, err
	}
	if r, err = timely(r); err != nil {
		leave(nil)
		return nil, err
	}
	if isStream(r.Context()) {
		return t.stream(r, leave)
	}
	ctx, cancel := context.WithTimeout(r.Context(), orDefault(t.Timeout, 60*time.Second))
	out := r.WithContext(ctx)
	if n > 1 && r.GetBody != nil {
		body, err := r.GetBody()
		if err != nil {
			cancel()
			leave(nil)
			return nil, err
		}
		out.Body = body
	}
	answer, err := t.Next.RoundTrip(out)
	if err != nil {
		cancel()
		leave(nil)
		return nil, err
	}
	answer.Body = &tracked{ReadCloser: answer.Body, done: sync.OnceFunc(func() { cancel(); leave(answer) })}
	return answer, nil
}

// tracked is a body whose end frees the slot and the timer of its call.
type tracked struct {
	io.ReadCloser
	done func()
}

// Close implements io.Closer.
func (b *tracked) Close() error {
	err := b.ReadCloser.Close()
	b.done()
	return err
}

func repeatable(r *http.Request) bool {
	if r.Body != nil && r.Body != http.NoBody && r.GetBody == nil {
		return false
	}
	return reads(r)
}

// reads tells whether a request changes nothing.
func reads(r *http.Request) bool {
	if marked, ok := r.Context().Value(replayKey{}).(bool); ok && marked {
		return true
	}
	return r.Method == http.MethodGet || r.Method == http.MethodHead
}

// passing tells whether the same request may well succeed a moment later.
func passing(answer *http.Response, err error) bool {
	if err != nil {
		// A try that took its whole time would take it again.
		var wait *WaitError
		return !errors.As(err, &wait) && !errors.Is(err, context.DeadlineExceeded)
	}
	switch answer.StatusCode {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusRequestTimeout:
		return true
	default:
		return false
	}
}

func orDefault[T int | time.Duration](v, d T) T {
	if v <= 0 {
		return d
	}
	return v
}
