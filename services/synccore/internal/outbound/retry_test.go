package outbound_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
)

func chain(next http.RoundTripper, gate outbound.PaceOptions) *outbound.Client {
	gate.Now = time.Now
	return outbound.NewClient(&outbound.Retry{Gate: outbound.NewPace(gate), Now: time.Now, Next: next})
}

func get(ctx context.Context, c *outbound.Client) (outbound.Answer, error) {
	return c.Do(ctx, outbound.Request{Method: http.MethodGet, URL: "http://home/x"})
}

func TestOnlyReadsAreRepeated(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		request outbound.Request
		tries   int
	}{
		{"GET", outbound.Request{Method: http.MethodGet}, 3},
		{"POST that reads", outbound.Request{Method: http.MethodPost, Reads: true, ContentType: "application/json", Body: []byte(`{"query":"x"}`)}, 3},
		{"POST", outbound.Request{Method: http.MethodPost, ContentType: "application/json", Body: []byte(`{}`)}, 1},
		{"PATCH", outbound.Request{Method: http.MethodPatch, ContentType: "application/json", Body: []byte(`{}`)}, 1},
		{"PUT", outbound.Request{Method: http.MethodPut, ContentType: "application/json", Body: []byte(`{}`)}, 1},
	}
	for _, tc := range tests {
		for _, trouble := range []string{"reset", "503", "429"} {
			t.Run(tc.name+" "+trouble, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					tries := 0
					client := chain(replies(func(r *http.Request) (*http.Response, error) {
						tries++
						if r.Body != nil {
							body, err := io.ReadAll(r.Body)
							if err != nil || !bytes.Equal(body, tc.request.Body) {
								t.Errorf("try %d sent %q, %v", tries, body, err)
							}
						}
						switch trouble {
						case "reset":
							return nil, errors.New("connection reset")
						case "503":
							return reply(http.StatusServiceUnavailable, nil, "busy"), nil
						default:
							return reply(http.StatusTooManyRequests, nil, "slow"), nil
						}
					}), outbound.PaceOptions{})
					request := tc.request
					request.URL = "http://home/x"
					answer, err := client.Do(t.Context(), request)
					if (err != nil) != (trouble == "reset") || (err == nil && len(answer.Body) == 0) {
						t.Errorf("the last outcome was not handed on: %v, %v", answer, err)
					}
					if tries != tc.tries {
						t.Errorf("sent %d times, want %d", tries, tc.tries)
					}
				})
			})
		}
	}
}

func TestRetrySucceedsAndDoesNotRepeatVerdicts(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]int{400: 1, 401: 1, 403: 1, 404: 1, 409: 1, 412: 1, 500: 2, 502: 2, 503: 2, 504: 2} {
		synctest.Test(t, func(t *testing.T) {
			tries := 0
			client := chain(replies(func(*http.Request) (*http.Response, error) {
				if tries++; tries == 1 {
					return reply(status, nil, ""), nil
				}
				return reply(200, nil, "fine"), nil
			}), outbound.PaceOptions{})
			if _, err := get(t.Context(), client); err != nil || tries != want {
				t.Errorf("%d: sent %d times, want %d (%v)", status, tries, want, err)
			}
		})
	}
}

// TestLongPauseIsNotSatOut: a worker must not hold its item for minutes.
func TestLongPauseIsNotSatOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		client := chain(replies(func(*http.Request) (*http.Response, error) {
			tries++
			return reply(429, http.Header{"Retry-After": {"120"}}, ""), nil
		}), outbound.PaceOptions{})
		begin := time.Now()
		if answer, err := get(t.Context(), client); err != nil || answer.Status != 429 || tries != 1 {
			t.Errorf("first call: %d, %v after %d tries", answer.Status, err, tries)
		}
		_, err := get(t.Context(), client)
		var wait *outbound.WaitError
		if !errors.As(err, &wait) || wait.For != 120*time.Second || tries != 1 {
			t.Errorf("second call: %v after %d tries, want a WaitError of 2 min and nothing sent", err, tries)
		}
		if d := time.Since(begin); d != 0 {
			t.Errorf("waited %s", d)
		}
	})
}

// TestRetryAfterOnSuccess: Azure DevOps asks for pauses on a 200 too (rate limits
// page; modelled, not recorded).
func TestRetryAfterOnSuccess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := chain(replies(func(*http.Request) (*http.Response, error) {
			return reply(200, http.Header{"Retry-After": {"3"}}, "{}"), nil
		}), outbound.PaceOptions{})
		begin := time.Now()
		for range 3 {
			if _, err := get(t.Context(), client); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(begin); d != 6*time.Second {
			t.Errorf("three calls took %s, want the two pauses of 3 s between them", d)
		}
	})
}

func TestPaceBoundsRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := chain(replies(func(*http.Request) (*http.Response, error) { return reply(200, nil, ""), nil }),
			outbound.PaceOptions{PerSecond: 10, Burst: 5})
		begin := time.Now()
		for range 25 {
			if _, err := get(t.Context(), client); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(begin); d < 1900*time.Millisecond || d > 2100*time.Millisecond {
			t.Errorf("25 calls at 10/s after a burst of 5 took %s, want 2 s", d)
		}
	})
}

// TestPaceBoundsConcurrency: a call counts until its body was read to the end.
func TestPaceBoundsConcurrency(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		running, most := 0, 0
		count := func(n int) {
			mu.Lock()
			defer mu.Unlock()
			running += n
			most = max(most, running)
		}
		client := chain(replies(func(r *http.Request) (*http.Response, error) {
			count(1)
			resp := reply(200, nil, "")
			resp.Body = slowBody(func() {
				select {
				case <-time.After(time.Second):
				case <-r.Context().Done():
				}
				count(-1)
			})
			return resp, nil
		}), outbound.PaceOptions{Concurrent: 3})
		done := make(chan error)
		for range 9 {
			go func() {
				_, err := get(t.Context(), client)
				done <- err
			}()
		}
		for range 9 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if most != 3 {
			t.Errorf("%d calls ran at once, want 3", most)
		}
	})
}

type slowBody func()

func (b slowBody) Read([]byte) (int, error) { b(); return 0, io.EOF }
func (slowBody) Close() error               { return nil }

func TestEachTryIsTimed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		client := chain(replies(func(r *http.Request) (*http.Response, error) {
			tries++
			<-r.Context().Done()
			return nil, r.Context().Err()
		}), outbound.PaceOptions{})
		begin := time.Now()
		_, err := get(t.Context(), client)
		if !errors.Is(err, context.DeadlineExceeded) || tries != 1 {
			t.Errorf("got %v after %d tries", err, tries)
		}
		if d := time.Since(begin); d != time.Minute {
			t.Errorf("took %s, want 60 s", d)
		}
	})
}

// TestCallerGoesAway: a cancelled call neither waits nor keeps its slot.
func TestCallerGoesAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := chain(replies(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}), outbound.PaceOptions{Concurrent: 1})
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			begin := time.Now()
			if _, err := get(ctx, client); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			if d := time.Since(begin); d != time.Second {
				t.Errorf("took %s", d)
			}
			cancel()
		}
	})
}
