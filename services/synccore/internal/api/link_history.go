package api

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// historyPlace is a place in a link's history, which is read from the newest entry to the
// oldest: new entries come before it and shift nothing.
type historyPlace struct {
	// time is that of the last entry that was sent.
	time time.Time
	// sent is how many entries of just that time were sent: one step may leave several.
	sent int
}

// historyPlaceOf reads a page token; nil: the beginning.
func historyPlaceOf(v *violations, name, token string) *historyPlace {
	if token = openToken(v, token, name); token == "" {
		return nil
	}
	at, sent, _ := strings.Cut(token, ".")
	nanos, err := strconv.ParseInt(at, 36, 64)
	count, countErr := strconv.Atoi(sent)
	if err != nil || countErr != nil || count < 1 || count > historyKept {
		v.add("page_token", foreignPage)
		return nil
	}
	return &historyPlace{time: time.Unix(0, nanos), sent: count}
}

func (p *historyPlace) token(name string) string {
	return sealToken(fmt.Sprintf("%s.%d", strconv.FormatInt(p.time.UnixNano(), 36), p.sent), name)
}

// behind are the entries that are older than the place, of all there are.
func (p *historyPlace) behind(changes []item.LinkChange) []item.LinkChange {
	if p == nil {
		return changes
	}
	same := 0
	for i, change := range changes {
		if !change.Time.Equal(p.time) {
			continue
		}
		if same++; same == p.sent {
			return changes[i+1:]
		}
	}
	return nil // it was dropped since, and so were those behind it
}

// next is the place behind a page that began at p.
func (p *historyPlace) next(page []item.LinkChange) *historyPlace {
	last := &historyPlace{time: page[len(page)-1].Time}
	for _, change := range page {
		if change.Time.Equal(last.time) {
			last.sent++
		}
	}
	if p != nil && p.time.Equal(last.time) {
		last.sent += p.sent
	}
	return last
}
