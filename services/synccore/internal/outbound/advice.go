package outbound

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Advice is what an answer says about how much more may be asked. The zero value
// says nothing.
type Advice struct {
	// Pause is how long to wait before the next call; 0: not at all.
	Pause time.Duration
	// Pressed tells that the other side slows calls down or refuses them.
	Pressed bool
	// Told tells that Limit and Remaining, in units of the other side's own, were given.
	// Nothing remaining may also mean that more was used than the limit.
	Told             bool
	Limit, Remaining float64
}

// longestDelay is what Azure DevOps holds a call back at most (rate limits page).
const longestDelay = 30 * time.Second

// Advise reads Retry-After, which counts on any status (Azure DevOps sends it with a
// 200: rate limits page), and the X-RateLimit headers. Headers that make no sense are
// taken as absent.
func Advise(status int, h http.Header, now time.Time) Advice {
	a := Advice{Pause: RetryAfter(h, now)}
	refused := status == http.StatusTooManyRequests
	if a.Pause == 0 && refused {
		a.Pause = time.Second
		if reset, ok := amount(h, "X-Ratelimit-Reset"); ok && reset < 1e11 {
			a.Pause = min(max(a.Pause, time.Unix(int64(reset), 0).Sub(now)), longestDelay)
		}
	}
	delay, _ := amount(h, "X-Ratelimit-Delay")
	a.Pressed = a.Pause > 0 || refused || delay > 0
	limit, known := amount(h, "X-Ratelimit-Limit")
	remaining, ok := amount(h, "X-Ratelimit-Remaining")
	if known && ok && limit > 0 {
		a.Told, a.Limit, a.Remaining = true, limit, min(remaining, limit)
	}
	return a
}

// amount reads a number of at least 0.
func amount(h http.Header, name string) (float64, bool) {
	text := strings.TrimSpace(h.Get(name))
	if text == "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= 0) || math.IsInf(n, 0) { // the comparison is also false for NaN
		return 0, false
	}
	return n, true
}
