package alvao

import (
	"crypto/sha256"
	"sync"
	"time"
)

// replays remembers signatures for at least keep and at most twice that, in two
// generations, so that forgetting costs nothing. It never holds more than limit:
// under pressure the older generation goes early, as sync-core refuses a signature
// that it has seen once more by its event id. Only who has a key can fill it.
type replays struct {
	keep  time.Duration
	limit int

	mu           sync.Mutex
	young, old   map[[sha256.Size]byte]struct{}
	youngestFrom time.Time // when young was begun
}

func newReplays(keep time.Duration, limit int) *replays {
	return &replays{keep: keep, limit: limit, young: map[[sha256.Size]byte]struct{}{}}
}

// add tells whether the signature is new, and remembers it.
func (s *replays) add(signature [sha256.Size]byte, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if age := now.Sub(s.youngestFrom); age >= s.keep || len(s.young) >= s.limit/2 {
		s.old = s.young
		if age >= 2*s.keep {
			s.old = nil
		}
		s.young, s.youngestFrom = map[[sha256.Size]byte]struct{}{}, now
	}
	if _, seen := s.young[signature]; seen {
		return false
	}
	if _, seen := s.old[signature]; seen {
		return false
	}
	s.young[signature] = struct{}{}
	return true
}

// remove forgets the signature.
func (s *replays) remove(signature [sha256.Size]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.young, signature)
	delete(s.old, signature)
}
