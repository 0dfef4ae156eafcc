package outbound

import (
	"context"
	"slices"
	"sync"
)

// slots bound how many calls are in flight. Background calls get at most three
// quarters of them, and none while another call waits. After slow, one call goes out
// at a time, and each answer that does not ask for less lets one more go.
type slots struct {
	most int

	mu      sync.Mutex
	allowed int
	// taken and background count what is in flight, and how much of it is background.
	taken, background int
	live, later       []chan struct{}
}

func newSlots(most int) *slots { return &slots{most: most, allowed: most} }

// acquire waits for a slot; the error is the context's.
func (s *slots) acquire(ctx context.Context, background bool) error {
	s.mu.Lock()
	if len(s.live) == 0 && (!background || len(s.later) == 0) && s.room(background) {
		s.take(background)
		s.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	queue := s.queue(background)
	*queue = append(*queue, turn)
	s.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := slices.Index(*queue, turn); at >= 0 {
		*queue = slices.Delete(*queue, at, at+1)
		return ctx.Err()
	}
	// The turn came at the same moment; it goes to the next one.
	s.free(background)
	return ctx.Err()
}

func (s *slots) release(background bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free(background)
}

func (s *slots) slow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.allowed = 1
}

func (s *slots) quicken() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.allowed < s.most {
		s.allowed++
		s.admit()
	}
}

func (s *slots) inFlight() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken
}

func (s *slots) queue(background bool) *[]chan struct{} {
	if background {
		return &s.later
	}
	return &s.live
}

func (s *slots) free(background bool) {
	s.taken--
	if background {
		s.background--
	}
	s.admit()
}

// room tells whether a slot is free.
func (s *slots) room(background bool) bool {
	return s.taken < s.allowed && (!background || s.background < max(1, s.allowed*3/4))
}

func (s *slots) take(background bool) {
	s.taken++
	if background {
		s.background++
	}
}

// admit gives free slots away.
func (s *slots) admit() {
	for _, background := range [...]bool{false, true} {
		queue := s.queue(background)
		for len(*queue) > 0 && s.room(background) {
			close((*queue)[0])
			*queue = (*queue)[1:]
			s.take(background)
		}
	}
}
