package convergetest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	standazure "github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// The hosts of the world.
const (
	vendors = "http://vendors.test"
	edge    = "http://edge.test"
)

// exchange sends a request to a handler without a network, and gives its answer.
func exchange(handler http.Handler, r *http.Request) (*http.Response, error) {
	u, err := url.ParseRequestURI(r.URL.RequestURI())
	if err != nil {
		return nil, err
	}
	in := r.Clone(r.Context())
	in.URL, in.RequestURI, in.Host, in.RemoteAddr = u, r.URL.RequestURI(), r.URL.Host, "192.0.2.1:4711"
	if in.Body == nil {
		in.Body = http.NoBody
	}
	rec := httptest.NewRecorder()
	handler.ServeHTTP(rec, in)
	if r.Body != nil {
		_ = r.Body.Close()
	}
	answer := rec.Result()
	answer.Request = r
	const flushedAt = 2048
	if n := rec.Body.Len(); answer.ContentLength < 0 && n <= flushedAt {
		answer.ContentLength = int64(n)
		answer.Header.Set("Content-Length", strconv.Itoa(n))
	}
	return answer, nil
}

// misfortune is what befalls one call.
type misfortune int

const (
	none misfortune = iota
	throttled
	unavailable
	broken
	// unheard: the call never arrives and nobody says so; unanswered: it takes effect
	// and nobody says so.
	unheard
	unanswered
	// lost: it takes effect and the connection breaks; cut: the answer breaks off.
	lost
	cut
	// late: it arrives late; slow: its answer does.
	late
	slow
	// meddled: somebody changes the work item while the call is on its way.
	meddled
)

var misfortuneNames = []string{
	"none", "throttled", "unavailable", "broken", "unheard", "unanswered", "lost", "cut", "late", "slow", "meddled",
}

// weather decides what befalls calls. The same call gets the same fate in every play
// of a history, in whatever order calls of one moment happen to run.
type weather struct {
	seed uint64

	mu sync.Mutex
	// rough is the share of calls that something befalls, in thousandths; 0: it is calm.
	rough uint64
	seen  map[string]uint64
	log   func(string, ...any)
}

var guid = regexp.MustCompile(`[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}`)

func (w *weather) set(rough uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rough = rough
}

func (w *weather) befall(r *http.Request) (misfortune, uint64) {
	key := r.Method + " " + guid.ReplaceAllString(r.URL.Path, "*")
	w.mu.Lock()
	n := w.seen[key]
	w.seen[key]++
	rough := w.rough
	w.mu.Unlock()
	chance := roll(w.seed, key, n)
	if rough == 0 || chance%1000 >= rough {
		return none, 0
	}
	chance /= 1000
	of := []misfortune{throttled, unavailable, broken, unheard, late, slow, lost, cut}
	if r.Method != http.MethodGet {
		of = []misfortune{throttled, unavailable, unheard, unanswered, lost, lost, lost, cut, late, slow, meddled}
	}
	what := of[chance%uint64(len(of))]
	if w.log != nil {
		w.log("%s: %s", key, misfortuneNames[what])
	}
	return what, chance / 100
}

func roll(seed uint64, key string, n uint64) uint64 {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%d %s %d", seed, key, n)
	x := h.Sum64()
	// The low bits of FNV are not well mixed.
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

var errBroken = errors.New("the connection broke")

// call makes one call to the vendors under the weather.
func (w *world) call(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	strike := w.strike
	w.mu.Unlock()
	if strike != nil {
		if answer := strike(r); answer != nil {
			return answer, nil
		}
	}
	what, chance := w.weather.befall(r)
	seconds := time.Duration(chance%20+1) * time.Second
	switch what {
	case throttled:
		return refusal(r, http.StatusTooManyRequests, chance%8+1), nil
	case unavailable:
		return refusal(r, http.StatusServiceUnavailable, 0), nil
	case broken:
		return refusal(r, http.StatusInternalServerError, 0), nil
	case unheard:
		<-r.Context().Done()
		return nil, r.Context().Err()
	case unanswered:
		if _, err := w.exchange(r.WithContext(context.WithoutCancel(r.Context()))); err != nil {
			return nil, err
		}
		<-r.Context().Done()
		return nil, r.Context().Err()
	case late:
		if err := w.linger(r.Context(), seconds); err != nil {
			return nil, err
		}
	case meddled:
		w.meddle(r)
	case none, lost, cut, slow:
	}
	answer, err := w.exchange(r)
	if err != nil {
		return nil, err
	}
	switch what {
	case lost:
		return nil, errBroken
	case slow:
		if err := w.linger(r.Context(), seconds); err != nil {
			return nil, err
		}
	case cut:
		whole, err := io.ReadAll(answer.Body)
		if err != nil {
			return nil, err
		}
		answer.Body = io.NopCloser(io.MultiReader(bytes.NewReader(whole[:len(whole)/2]), brokenReader{}))
	case none, throttled, unavailable, broken, unheard, unanswered, late, meddled:
	}
	return answer, nil
}

var (
	createPath = regexp.MustCompile(`(?i)/workitems/\$[^/]+$`)
	ticketPage = regexp.MustCompile(`/Ticket/([0-9]+)`)
)

// exchange makes one call, and notes for which ticket a work item was made.
func (w *world) exchange(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodPost || !createPath.MatchString(r.URL.Path) {
		return exchange(w.vendors, r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	_ = r.Body.Close()
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(body))
	w.creating.Lock()
	defer w.creating.Unlock()
	before := w.boards.LastWrite()
	answer, err := exchange(w.vendors, r)
	for _, write := range w.boards.WritesSince(before) {
		if m := ticketPage.FindSubmatch(body); m != nil && write.Kind == standazure.WriteCreate && write.By == tandem {
			ticket, _ := strconv.Atoi(string(m[1]))
			w.created[ticket]++
		}
	}
	return answer, err
}

// strikeWith lets a function answer calls in the systems' stead, as often as it likes.
func (w *world) strikeWith(strike func(*http.Request) *http.Response) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.strike = strike
}

// linger lets time pass for one call alone.
func (w *world) linger(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func refusal(r *http.Request, status int, retryAfter uint64) *http.Response {
	rec := httptest.NewRecorder()
	rec.Header().Set("Content-Type", "application/json")
	if retryAfter > 0 {
		rec.Header().Set("Retry-After", strconv.FormatUint(retryAfter, 10))
	}
	rec.WriteHeader(status)
	_, _ = rec.WriteString(`{"message":"(planted fault)"}`)
	answer := rec.Result()
	answer.Request = r
	return answer
}

var workItemPath = regexp.MustCompile(`(?i)/workitems/([0-9]+)$`)

// meddle lets somebody change a work item while Tandem's change is on its way.
func (w *world) meddle(r *http.Request) {
	m := workItemPath.FindStringSubmatch(r.URL.Path)
	if m == nil || r.Method != http.MethodPatch {
		return
	}
	id, _ := strconv.Atoi(m[1])
	_, _ = w.boards.As(tester).Change(id, setTitle("meddled with"))
}

// receive is the edge: it takes the webhooks of both systems as the gateway does, and
// puts what they hint at into the inbox.
func (w *world) receive(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	_ = r.Body.Close()
	status := http.StatusAccepted
	if event, ok := eventOf(r.URL.Path, body); ok {
		event.Received = time.Now()
		// A process that is down can't store anything, and the sender is told to come again.
		if p := w.alive(); p == nil || p.store(r.Context(), event) != nil {
			status = http.StatusServiceUnavailable
		}
	}
	return refusal(r, status, 0), nil
}

// eventOf reads a webhook.
func eventOf(path string, body []byte) (item.Event, bool) {
	var hook struct {
		SubscriptionID string
		NotificationID int64
		EventType      string
		Resource       struct{ ID, WorkItemID, Rev int64 }
		RequestID      int64
		TicketID       int64
		Nonce          string
		Event          string
	}
	if err := json.Unmarshal(body, &hook); err != nil {
		return item.Event{}, false
	}
	if strings.HasSuffix(path, "/azure-devops") {
		id := hook.Resource.ID
		if hook.Resource.WorkItemID != 0 {
			id = hook.Resource.WorkItemID
		}
		return item.Event{
			ID:  fmt.Sprintf("%s/azure-devops/%s/%d", name, hook.SubscriptionID, hook.NotificationID),
			Key: item.Key{Connector: name, System: item.AzureDevOps, ID: id}, Type: hook.EventType, Revision: hook.Resource.Rev, Payload: body,
		}, true
	}
	if hook.RequestID != 0 {
		return item.Event{Key: item.Key{Connector: name, System: item.Alvao, ID: hook.RequestID}, Type: "webhook", Payload: body}, true
	}
	return item.Event{
		ID:  name + "/alvao-app/" + hook.Nonce,
		Key: item.Key{Connector: name, System: item.Alvao, ID: hook.TicketID}, Type: hook.Event, Payload: body,
	}, true
}

// wire is a way of sending requests.
type wire func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f wire) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
