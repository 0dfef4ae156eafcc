package outbound_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
)

// The headers' names and meaning are documented (Azure DevOps: rate and usage limits
// page); none was ever recorded.
func TestAdvise(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	reset := func(d time.Duration) string { return strconv.FormatInt(now.Add(d).Unix(), 10) }
	for name, tc := range map[string]struct {
		status int
		header map[string]string
		want   outbound.Advice
	}{
		"nothing":             {200, nil, outbound.Advice{}},
		"wait, on a 200":      {200, map[string]string{"Retry-After": "7"}, outbound.Advice{Pause: 7 * time.Second, Pressed: true}},
		"wait, on a 404":      {404, map[string]string{"Retry-After": "7"}, outbound.Advice{Pause: 7 * time.Second, Pressed: true}},
		"held back":           {200, map[string]string{"X-RateLimit-Delay": "1.250"}, outbound.Advice{Pressed: true}},
		"not held back":       {200, map[string]string{"X-RateLimit-Delay": "0.000"}, outbound.Advice{}},
		"refused":             {429, nil, outbound.Advice{Pause: time.Second, Pressed: true}},
		"refused till later":  {429, map[string]string{"X-RateLimit-Reset": reset(9 * time.Second)}, outbound.Advice{Pause: 9 * time.Second, Pressed: true}},
		"refused for long":    {429, map[string]string{"X-RateLimit-Reset": reset(time.Hour)}, outbound.Advice{Pause: 30 * time.Second, Pressed: true}},
		"refused till before": {429, map[string]string{"X-RateLimit-Reset": reset(-time.Hour)}, outbound.Advice{Pause: time.Second, Pressed: true}},
		"refused, and told":   {429, map[string]string{"Retry-After": "3", "X-RateLimit-Reset": reset(time.Hour)}, outbound.Advice{Pause: 3 * time.Second, Pressed: true}},
		"what is left":        {200, map[string]string{"X-RateLimit-Limit": "200", "X-RateLimit-Remaining": "12.5"}, outbound.Advice{Told: true, Limit: 200, Remaining: 12.5}},
		"more than all":       {200, map[string]string{"X-RateLimit-Limit": "200", "X-RateLimit-Remaining": "900"}, outbound.Advice{Told: true, Limit: 200, Remaining: 200}},
		"half of it":          {200, map[string]string{"X-RateLimit-Remaining": "12"}, outbound.Advice{}},
		"nonsense":            {200, map[string]string{"X-RateLimit-Limit": "NaN", "X-RateLimit-Remaining": "-1", "X-RateLimit-Delay": "Inf"}, outbound.Advice{}},
		"no limit":            {200, map[string]string{"X-RateLimit-Limit": "0", "X-RateLimit-Remaining": "0"}, outbound.Advice{}},
	} {
		header := http.Header{}
		for k, v := range tc.header {
			header.Set(k, v)
		}
		if got := outbound.Advise(tc.status, header, now); got != tc.want {
			t.Errorf("%s: got %+v, want %+v", name, got, tc.want)
		}
	}
}

// TestAdviceIsSane: whatever the headers hold, a pause is bounded, and what is told can
// be computed with.
func TestAdviceIsSane(t *testing.T) {
	t.Parallel()
	names := []string{"Retry-After", "X-RateLimit-Reset", "X-RateLimit-Delay", "X-RateLimit-Limit", "X-RateLimit-Remaining"}
	rapid.Check(t, func(t *rapid.T) {
		header := http.Header{}
		for _, name := range names {
			value := rapid.OneOf(rapid.StringMatching(`-?[0-9]{1,20}(\.[0-9]{1,4})?(e-?[0-9]{1,3})?`), rapid.String(), rapid.Just("")).Draw(t, name)
			header.Set(name, value)
		}
		status := rapid.SampledFrom([]int{200, 203, 401, 429, 503}).Draw(t, "status")
		checkAdvice(t, status, header)
	})
}

func FuzzAdvise(f *testing.F) {
	f.Add(200, "7", "1e3", "0.5", "200", "0")
	f.Add(429, "Wed, 04 Mar 2026 05:06:17 GMT", "99999999999999999999", "NaN", "Inf", "-0")
	f.Fuzz(func(t *testing.T, status int, after, reset, delay, limit, remaining string) {
		checkAdvice(t, status, http.Header{
			"Retry-After": {after}, "X-Ratelimit-Reset": {reset}, "X-Ratelimit-Delay": {delay},
			"X-Ratelimit-Limit": {limit}, "X-Ratelimit-Remaining": {remaining},
		})
	})
}

func checkAdvice(t interface {
	Fatalf(format string, args ...any)
}, status int, header http.Header,
) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	a := outbound.Advise(status, header, now)
	switch {
	case a.Pause < 0 || a.Pause > time.Hour:
		t.Fatalf("a pause of %s", a.Pause)
	case status == http.StatusTooManyRequests && (a.Pause == 0 || !a.Pressed):
		t.Fatalf("a refusal that asks for nothing: %+v", a)
	case a.Pause > 0 && !a.Pressed:
		t.Fatalf("a pause without pressure: %+v", a)
	case a.Told != (a.Limit > 0) || !(a.Remaining >= 0 && a.Remaining <= a.Limit) || a.Limit > 1e308*1.7:
		t.Fatalf("told %+v", a)
	}
}
