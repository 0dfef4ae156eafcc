package convergetest_test

import (
	"encoding/json"
	"flag"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	standalvao "github.com/tandem-sync/tandem/services/sandbox/alvao"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// everyTenant plays each kind of tenant, and not only so many that each two kinds of
// difference meet.
var everyTenant = flag.Bool("every-tenant", false, "play all 256 kinds of tenant")

// oneTenant is the one kind of tenant to be played.
var oneTenant = flag.Int("tenant", -1, "the number of the one kind of tenant to be played")

// toldTenants narrows that to those whose log the application alone tells, and eachTenant
// is how many histories are played with each.
var (
	toldTenants = flag.Bool("told-tenant", false, "of the kinds of tenant, only those whose log the application alone tells")
	eachTenant  = flag.Int("each-tenant", 1, "how many histories are played with each kind of tenant")
)

// The ways in which tenants differ (alvao.md §7), one bit each.
const (
	noWebhooks = 1 << iota
	noApplication
	noLog
	noFilter
	textIDs
	capitals
	noOffsets
	czech
	kinds
)

var kindNames = []string{"no webhooks", "no application", "no log", "no filter", "ids as texts", "capital keys", "no offsets", "Czech"}

// tenantName says what is different.
func tenantName(kind int) string {
	var names []string
	for i, name := range kindNames {
		if kind&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "plain"
	}
	return strings.Join(names, ", ")
}

// tenantShape is a world with that kind of tenant.
func tenantShape(seed uint64, kind int) shape {
	s := shapeOf(seed)
	has := func(bit int) bool { return kind&bit != 0 }
	s.application = !has(noApplication)
	s.tenant.NoWebhooks, s.tenant.LogUnreadable, s.tenant.NoActivityFilter = has(noWebhooks), has(noLog), has(noFilter)
	// One that can't filter by activity may not be able to sort by it either.
	s.tenant.NoActivityOrder = has(noFilter) && roll(seed, "no order", 0)%2 == 0
	s.tenant.StringIDs, s.tenant.CapitalKeys, s.tenant.NoOffsets = has(textIDs), has(capitals), has(noOffsets)
	if has(czech) {
		s.tenant.Language = "cs"
	}
	return s
}

// pairwise are so few kinds of tenant that any two differences, there or not, meet in one.
func pairwise() []int {
	type meeting struct{ i, j, having int }
	open := map[meeting]bool{}
	of := func(kind int) []meeting {
		var all []meeting
		for i := range kindNames {
			for j := range i {
				all = append(all, meeting{i, j, kind>>i&1<<1 | kind>>j&1})
			}
		}
		return all
	}
	for kind := range kinds {
		for _, m := range of(kind) {
			open[m] = true
		}
	}
	var chosen []int
	for len(open) > 0 {
		best, most := 0, -1
		for kind := range kinds {
			n := 0
			for _, m := range of(kind) {
				if open[m] {
					n++
				}
			}
			if n > most {
				best, most = kind, n
			}
		}
		chosen = append(chosen, best)
		for _, m := range of(best) {
			delete(open, m)
		}
	}
	return chosen
}

// TestEveryKindOfTenantConverges plays a short history with each kind of tenant that a
// customer may have. Where a promise can't be kept there, the connector's check says so.
func TestEveryKindOfTenantConverges(t *testing.T) {
	t.Parallel()
	base := uint64(time.Now().UnixNano())
	if *oneSeed != 0 {
		base = *oneSeed
	}
	chosen := pairwise()
	if n := len(chosen); n < 6 || n > 14 {
		t.Fatalf("%d kinds of tenant are enough for all pairs", n)
	}
	chance := rand.New(rand.NewPCG(base, 5))
	for range 4 {
		chosen = append(chosen, chance.IntN(kinds))
	}
	if *everyTenant {
		chosen = nil
		for kind := range kinds {
			chosen = append(chosen, kind)
		}
	}
	if *toldTenants {
		chosen = slices.DeleteFunc(chosen, func(kind int) bool { return kind&(noLog|noApplication) != noLog })
	}
	each := len(chosen)
	chosen = slices.Repeat(chosen, *eachTenant)
	if *oneTenant >= 0 {
		chosen = []int{*oneTenant}
	}
	for lane := range *parallel {
		t.Run(strconv.Itoa(lane), func(t *testing.T) {
			t.Parallel()
			for i := lane; i < len(chosen); i += *parallel {
				kind, first := chosen[i], base+uint64(i/each*kinds)
				seed := first + uint64(kind)
				world := tenantShape(seed, kind)
				script := scriptOf(seed)
				script = script[:min(len(script), 14)]
				problems, _ := taleOf(t, seed, world, script, func(h *history) { h.checkPromises(kind) })
				if len(problems) > 0 {
					t.Errorf("-tenant %d (%s), -history %d, %+v:\n  %s", kind, tenantName(kind), first, world, strings.Join(problems, "\n  "))
					for _, s := range script {
						t.Log(s)
					}
				}
			}
		})
	}
}

// promises says, by capability, the one sentence with which the check tells what can't be
// kept with that kind of tenant; empty: it is told what is used instead, and nothing is
// lost.
func (s shape) promises(kind int) map[string]string {
	has := func(bit int) bool { return kind&bit != 0 }
	want := map[string]string{}
	switch {
	case has(noLog) && has(noApplication):
		want["alvao.log"] = "No message and no file crosses in either direction, and variables about messages stay empty."
	case has(noLog):
		want["alvao.log"] = "Messages and files from before the application was imported don't cross, and one that is told while Tandem is away crosses when the application tells it again within the hour; what may stand in a ticket already, because sync-core died, an answer was lost or Redis lost its data, is written about an hour later, and twice if the application can't tell all for six hours or what stands there is older than its TandemLookBackHours."
	}
	if has(noApplication) {
		want["alvao.application"] = "New messages and tickets are seen at the next poll rather than at once, and which message is important is not known where REST does not show it."
	}
	if has(noWebhooks) {
		want["alvao.webhooks"] = "A changed status is seen at the next poll rather than at once."
	}
	switch {
	case s.tenant.NoActivityOrder:
		want["alvao.activity-filter"] = "Every poll reads all open tickets of the service, and what happens to a closed one, that it was closed among it, is seen at the next resync."
	case has(noFilter):
		want["alvao.activity-filter"] = "Every poll reads one more page than it needs."
	}
	if has(noOffsets) {
		want["alvao.time-offsets"] = "If that is another zone than Alvao's, polls look too far back or miss changes until the next resync."
	}
	return want
}

// checkPromises compares what the connector's check says with what the tenant is.
func (h *history) checkPromises(kind int) {
	p := h.alive()
	if p == nil {
		return
	}
	// People may have moved all others away.
	if _, err := h.desk.CreateTicket(h.ctx, standalvao.Requester, standalvao.NewTicket{Name: "x", Service: service}); err != nil {
		h.failf("opening a ticket: %v", err)
		return
	}
	able, err := p.set.Capabilities(h.ctx, name)
	if err != nil {
		h.failf("checking: %v", err)
		return
	}
	want := h.shape.promises(kind)
	for _, one := range able {
		sentence, lacking := want[one.Name]
		delete(want, one.Name)
		switch {
		case one.Name == "alvao.custom-fields-in-lists":
			if (one.Support == item.Offered) != h.shape.tenant.ListCustomItems {
				h.failf("%+v", one)
			}
		case lacking && (one.Support != item.Missing || one.Cost != sentence || one.Found == ""):
			h.failf("%s: want %q, have %+v", tenantName(kind), sentence, one)
		case one.Name == "alvao.status-field-of-webhooks" && kind&noWebhooks != 0:
			if one.Support == item.Offered {
				h.failf("%+v", one)
			}
		case !lacking && one.Support != item.Offered:
			h.failf("%s: nothing is missing, but it says %+v", tenantName(kind), one)
		}
	}
	for name := range want {
		h.failf("nothing is said of %s", name)
	}
}

// pushedRecord is what the application tells of a record.
type pushedRecord struct {
	record     item.PushedRecord
	own, again bool
}

// pushedOf reads what the application tells of a record, as the gateway does.
func pushedOf(body []byte) (pushedRecord, bool) {
	var told struct {
		ActID  int64
		Record *struct {
			AsOf, Created                                        time.Time
			Own, Again, Removed, Bare, ShowToRequester           bool
			Mark, Subject, ContentHTML, ContentPlain, Kind, From string
			Attachments                                          []struct {
				ID, Size   int64
				Name, Link string
			}
		}
	}
	if json.Unmarshal(body, &told) != nil || told.Record == nil {
		return pushedRecord{}, false
	}
	r := told.Record
	out := pushedRecord{own: r.Own, again: r.Again, record: item.PushedRecord{AsOf: r.AsOf, Bare: r.Bare, Record: item.Record{
		ID: told.ActID, Removed: r.Removed, Important: r.Mark == "important", ShowToRequester: r.ShowToRequester, Subject: r.Subject,
		HTML: r.ContentHTML, Plain: r.ContentPlain, Kind: r.Kind, From: r.From, Created: r.Created,
	}}}
	for _, a := range r.Attachments {
		out.record.Attachments = append(out.record.Attachments, item.Attachment{ID: strconv.FormatInt(a.ID, 10), Name: a.Name, Size: a.Size, URL: a.Link})
	}
	return out, true
}

// roundOf reads how long the application's round took, of which it tells the end.
func roundOf(body []byte) time.Duration {
	var told struct{ Round struct{ TookMS int64 } }
	_ = json.Unmarshal(body, &told)
	return time.Duration(told.Round.TookMS) * time.Millisecond
}

// TestPollsAlone: with a tenant that tells of nothing, every kind of change is found by
// polls alone, long before the next resync.
func TestPollsAlone(t *testing.T) {
	t.Parallel()
	for _, kind := range []int{0, noFilter, noOffsets, textIDs | capitals | czech} {
		world := tenantShape(1, noWebhooks|noApplication|kind)
		world.agile, world.sinceLinked, world.late, world.existing, world.workers = false, false, false, "ignore", 1
		world.lose, world.double, world.delay = 0, 0, 0
		problems, _ := taleOf(t, 1, world, nil, func(h *history) { h.pollAlone() })
		if len(problems) > 0 {
			t.Errorf("%s: %s", tenantName(kind), strings.Join(problems, "\n"))
		}
	}
}

func (h *history) pollAlone() {
	rest := func(err error) {
		if err != nil {
			h.failf("%v", err)
		}
		if err := h.pass(pollEvery+15*time.Second, time.Second); err != nil {
			h.failf("%v", err)
		}
	}
	r := rand.New(rand.NewPCG(3, 3))
	h.openTicket(r)
	ticket := h.tickets[len(h.tickets)-1]
	_ = h.desk.SetStatus(h.ctx, "jan.novotny@contoso.com", ticket, "Development")
	rest(nil)
	w := int(h.linkOf(ticket).WorkItem)
	if w == 0 {
		h.failf("no work item was made")
		return
	}
	rest(h.desk.SetStatus(h.ctx, "jan.novotny@contoso.com", ticket, "Testing"))
	if now, _ := h.boards.WorkItem(w); now.State != "Done" {
		h.failf("the work item is in %q", now.State)
	}
	h.write(r)
	rest(nil)
	if !slices.ContainsFunc(h.said, func(s *said) bool { return s.record() && h.copies(s, int64(w), s.words[0].word) == 1 }) {
		h.failf("the message did not cross")
	}
	rest(h.desk.DeleteTicket(h.ctx, "jan.novotny@contoso.com", ticket))
	if l := h.linkOf(ticket); l.State != item.LinkGone {
		h.failf("that the ticket was removed was not noticed: %+v", l)
	}
}
