package connector

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// Refusal says that a system does not accept the connector's token.
type Refusal struct {
	System item.System
	// Reason is the sentence that says so and what to do.
	Reason string
	Since  time.Time
}

// health remembers which systems refuse the connector's token. Each stands for
// itself: that one answers says nothing about the other. The zero value is healthy.
// It is safe for concurrent use.
type health struct {
	mu      sync.Mutex
	refused map[item.System]Refusal
	// answered are the systems that accepted or refused the token at least once.
	answered map[item.System]bool
	// limits says in sentences what does not work though the tokens are accepted, by
	// system.
	limits map[item.System]string
	// hooks counts the service hooks that Tandem sees to by their status; nil: not known.
	hooks map[string]int
}

// limit takes the news of what does not work with a system, and tells whether the
// sentences are news.
func (h *health) limit(system item.System, sentences string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	was := h.limits[system]
	if h.limits == nil {
		h.limits = map[item.System]string{}
	}
	h.limits[system] = sentences
	return was != sentences
}

// count takes the news of the service hooks.
func (h *health) count(hooks map[string]int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hooks = hooks
}

// limited gives what limit and count took last. The map must not be changed.
func (h *health) limited() (string, map[string]int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.TrimSpace(h.limits[item.AzureDevOps] + " " + h.limits[item.Alvao]), h.hooks
}

// refuse takes the news that a system refused the token, and tells whether it is news.
func (h *health) refuse(system item.System, reason string, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer(system)
	known, was := h.refused[system]
	if !was {
		known = Refusal{System: system, Since: now}
	}
	known.Reason = reason
	if h.refused == nil {
		h.refused = map[item.System]Refusal{}
	}
	h.refused[system] = known
	return !was
}

// accept takes the news that a system accepts the token, and tells whether it is news.
func (h *health) accept(system item.System) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer(system)
	_, was := h.refused[system]
	delete(h.refused, system)
	return was
}

// note takes the news that a system answered.
func (h *health) note(system item.System) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer(system)
}

// silent are the systems that have not answered yet.
func (h *health) silent() []item.System {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.DeleteFunc([]item.System{item.AzureDevOps, item.Alvao}, func(system item.System) bool { return h.answered[system] })
}

// answer notes that a system answered; mu is held.
func (h *health) answer(system item.System) {
	if h.answered == nil {
		h.answered = map[item.System]bool{}
	}
	h.answered[system] = true
}

// checked tells whether both systems have answered yet.
func (h *health) checked() bool { return len(h.silent()) == 0 }

// allow is nil while all of the systems accept the token, else the reason to wait.
func (h *health) allow(systems ...item.System) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, system := range systems {
		if refusal, is := h.refused[system]; is {
			return fault.New(fault.BadToken, "%s", refusal.Reason)
		}
	}
	return nil
}

// refusals lists what is refused at present, the longest first.
func (h *health) refusals() []Refusal {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]Refusal, 0, len(h.refused))
	for _, refusal := range h.refused {
		list = append(list, refusal)
	}
	slices.SortFunc(list, func(a, b Refusal) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.System, b.System))
	})
	return list
}
