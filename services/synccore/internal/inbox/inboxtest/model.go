package inboxtest

import (
	"cmp"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// Model runs random steps on an inbox and on a model of it that is simple enough to be
// believed, and compares everything that can be seen after each step. open gives a
// store without keys and, where its time stands still, how to move it.
func Model(t *testing.T, open func() (*datastore.Store, func(time.Duration))) {
	t.Helper()
	rapid.Check(t, func(rt *rapid.T) {
		store, advance := open()
		m := newModel(rt, store, advance)
		defer m.close()
		rt.Repeat(m.actions())
	})
}

// The limits of the modelled inbox, small enough that random steps reach them.
const (
	modelItems      = 4
	modelCap        = 3
	modelShare      = 2
	modelVisibility = 20 * time.Second
	modelWindow     = 90 * time.Second
	// modelMemory is how long a holder that vanished is remembered.
	modelMemory = 15 * time.Minute
)

// group is what is merged of an item's hints.
type group struct {
	count, revision int64
	background      bool
	force           bool
	first, last     string
}

func (g *group) join(o group) {
	g.count += o.count
	if g.revision == 0 || o.revision == 0 {
		g.revision = 0
	} else {
		g.revision = max(g.revision, o.revision)
	}
	g.background = g.background && o.background
	g.force = g.force || o.force
	g.last = o.last
}

// modelItem is an item in the model.
type modelItem struct {
	state      inbox.State
	now, after *group
	failures   int
	unexpected int
	lapses     int
	lapsed     time.Duration // when the last holder vanished
	vanished   int64         // its token
	held       bool
	until      time.Duration // due, or end of visibility
	token      int64
}

// letter is a dead letter in the model.
type letter struct {
	id       string
	key      item.Key
	hints    group
	failures int
}

// model is the inbox as a person would explain it.
type model struct {
	rt      *rapid.T
	box     *inbox.Inbox
	store   *datastore.Store
	advance func(time.Duration)

	// began is the store's time when the model began, and time what has passed since.
	began      time.Duration
	time       time.Duration
	items      map[item.Key]*modelItem
	live, back []item.Key
	seen       map[string]time.Duration
	letters    []letter
	run        int
	given      []inbox.Delivery
	types      int
}

func newModel(rt *rapid.T, store *datastore.Store, advance func(time.Duration)) *model {
	box, err := inbox.New(store, inbox.Options{
		Visibility: modelVisibility, DedupWindow: modelWindow, MaxItems: modelCap, LiveShare: modelShare,
	})
	if err != nil {
		rt.Fatal(err)
	}
	now, err := store.Client().Time(rt.Context()).Result()
	if err != nil {
		rt.Fatal(err)
	}
	return &model{
		rt: rt, box: box, store: store, advance: advance, began: time.Duration(now.UnixMilli()) * time.Millisecond,
		items: map[item.Key]*modelItem{}, seen: map[string]time.Duration{},
	}
}

func (m *model) close() {
	if err := m.box.Close(); err != nil {
		m.rt.Error(err)
	}
}

func (m *model) actions() map[string]func(*rapid.T) {
	actions := map[string]func(*rapid.T){
		"append":  m.append,
		"receive": m.receive,
		"done":    m.done,
		"retry":   m.retry,
		"dead":    m.dead,
		"forward": m.forward,
		"extend":  m.extend,
		"release": m.release,
		"replay":  m.replay,
		"":        m.check,
	}
	if m.advance != nil {
		actions["time passes"] = m.pass
		actions["maintain"] = m.maintain
	}
	return actions
}

func drawKey(rt *rapid.T) item.Key {
	return ticket(rapid.Int64Range(1, modelItems).Draw(rt, "item"))
}

func (m *model) ok(err error) {
	if err != nil {
		m.rt.Fatal(err)
	}
}

func (m *model) queue(k item.Key) {
	it := m.items[k]
	it.state, it.held = inbox.Queued, false
	if it.now.background {
		m.back = append(m.back, k)
	} else {
		m.live = append(m.live, k)
	}
}

// add is what a hint does to an item.
func (m *model) add(k item.Key, g group) {
	it, known := m.items[k]
	if !known {
		m.items[k] = &modelItem{now: &g}
		m.queue(k)
		return
	}
	switch it.state {
	case inbox.Running:
		if it.after == nil {
			it.after = &g
		} else {
			it.after.join(g)
		}
	case inbox.Queued:
		was := it.now.background
		it.now.join(g)
		if was && !it.now.background {
			m.back = slices.DeleteFunc(m.back, func(o item.Key) bool { return o == k })
			m.live = append(m.live, k)
		}
	case inbox.Waiting, inbox.Dead:
		it.now.join(g)
		if !it.held || g.force {
			m.queue(k)
		}
	}
}

func (m *model) append(rt *rapid.T) {
	k := drawKey(rt)
	m.types++
	e := item.Event{
		ID: rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(rt, "id"), Key: k, Type: string(rune('A' + m.types%26)),
		Revision: rapid.Int64Range(0, 3).Draw(rt, "revision"), Background: rapid.Bool().Draw(rt, "background"),
	}
	if rapid.IntRange(0, 4).Draw(rt, "force") == 0 {
		e.Background, e.Force = false, true
	}
	stored, err := m.box.Append(rt.Context(), e)
	_, known := m.items[k]
	until, seen := m.seen[e.ID]
	switch {
	case e.ID != "" && seen && m.time < until:
		if stored || err != nil {
			rt.Fatalf("a duplicate: stored %t, %v", stored, err)
		}
		return
	case !known && len(m.items) >= modelCap:
		if !fault.Is(err, fault.Throttled) {
			rt.Fatalf("a full inbox: stored %t, %v", stored, err)
		}
		return
	case !stored || err != nil:
		rt.Fatalf("a new hint: stored %t, %v", stored, err)
	}
	if e.ID != "" {
		// The end of the third half of the window, counted from the one that it came in.
		const half = modelWindow / 2
		now := m.began + m.time
		m.seen[e.ID] = now - now%half + 3*half - m.began
	}
	m.add(k, group{count: 1, revision: e.Revision, background: e.Background, force: e.Force, first: e.Type, last: e.Type})
}

// sweep makes ready what is due, then what nobody finished.
func (m *model) sweep() {
	for _, state := range []inbox.State{inbox.Waiting, inbox.Running} {
		for _, k := range m.byTime(state) {
			it := m.items[k]
			if it.until > m.time {
				continue
			}
			if state == inbox.Running {
				m.fold(it)
				it.failures++
				if m.time-it.lapsed > modelMemory {
					it.lapses = 0
				}
				it.lapses, it.lapsed, it.vanished = it.lapses+1, m.time, it.token
				it.token = 0
			}
			m.queue(k)
		}
	}
}

func (m *model) byTime(state inbox.State) []item.Key {
	var keys []item.Key
	for k, it := range m.items {
		if it.state == state {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b item.Key) int {
		return cmp.Or(cmp.Compare(m.items[a].until, m.items[b].until), cmp.Compare(a.String(), b.String()))
	})
	return keys
}

func (m *model) fold(it *modelItem) *group {
	news := it.after
	if news != nil {
		it.now.join(*news)
		it.after = nil
	}
	return news
}

func (m *model) receive(rt *rapid.T) {
	most := rapid.IntRange(1, 3).Draw(rt, "most")
	got, err := m.box.Receive(rt.Context(), most, 0)
	m.ok(err)
	m.sweep()
	live, back := 0, 0
	for live+back < most {
		behind := len(m.back) > back
		if !behind && live == len(m.live) {
			break
		}
		if behind && (live == len(m.live) || m.run >= modelShare) {
			back++
			m.run = 0
			continue
		}
		live++
		m.run++
	}
	want := slices.Concat(m.live[:live], m.back[:back])
	m.live, m.back = m.live[live:], m.back[back:]
	var keys []item.Key
	for _, d := range got {
		keys = append(keys, d.Key)
	}
	if diff := gocmp.Diff(want, keys, cmpopts.EquateEmpty()); diff != "" {
		rt.Fatalf("received (-want +got):\n%s", diff)
	}
	for _, d := range got {
		it := m.items[d.Key]
		g := group{d.Count, d.MaxRevision, d.Background, d.Force, d.First.Type, d.Last.Type}
		if g != *it.now || d.Attempt != it.failures || d.Unexpected != it.unexpected || d.Lapses != it.lapses {
			rt.Fatalf("received %+v, want %+v of %+v", d, *it.now, *it)
		}
		it.state, it.token, it.until = inbox.Running, d.Token, m.time+modelVisibility
		m.given = append(m.given, d)
	}
}

// held draws a delivery, old ones too, and tells its item if it is still valid.
func (m *model) held(rt *rapid.T) (inbox.Delivery, *modelItem) {
	if len(m.given) == 0 {
		rt.Skip("nothing was received yet")
	}
	// The newest are the likeliest to be valid.
	back := rapid.IntRange(1, min(len(m.given), 6)).Draw(rt, "delivery")
	d := m.given[len(m.given)-back]
	it := m.items[d.Key]
	if it == nil || it.state != inbox.Running || it.token != d.Token {
		return d, nil
	}
	return d, it
}

// outcome checks that a valid delivery's outcome is taken, and a stale one's refused. A
// holder that counted as vanished was not, if it speaks.
func (m *model) outcome(d inbox.Delivery, it *modelItem, err error) bool {
	if it == nil {
		if !fault.Is(err, fault.Conflict) {
			m.rt.Fatalf("a stale delivery: %v", err)
		}
		if now := m.items[d.Key]; now != nil && now.vanished == d.Token {
			now.lapses, now.vanished = 0, 0
		}
		return false
	}
	m.ok(err)
	return true
}

// settle is the end of a serving.
func (m *model) settle(k item.Key) {
	after := m.items[k].after
	delete(m.items, k)
	if after != nil {
		m.add(k, *after)
	}
}

func (m *model) done(rt *rapid.T) {
	d, it := m.held(rt)
	if m.outcome(d, it, m.box.Done(rt.Context(), d)) {
		m.settle(d.Key)
	}
}

func (m *model) extend(rt *rapid.T) {
	d, it := m.held(rt)
	if m.outcome(d, it, m.box.Extend(rt.Context(), d)) {
		it.until = m.time + modelVisibility
	}
}

func (m *model) retry(rt *rapid.T) {
	d, it := m.held(rt)
	o := inbox.RetryOptions{
		After: rapid.SampledFrom([]time.Duration{0, -1, time.Minute, time.Hour}).Draw(rt, "after"), Counted: rapid.Bool().Draw(rt, "counted"),
	}
	o.Held = o.After > 0 && rapid.Bool().Draw(rt, "held")
	o.Unexpected = rapid.Bool().Draw(rt, "unexpected")
	if !m.outcome(d, it, m.box.Retry(rt.Context(), d, o)) {
		return
	}
	if o.Counted {
		it.failures++
		it.unexpected++
		if !o.Unexpected {
			it.unexpected = 0
		}
		it.lapses, it.vanished = 0, 0
	}
	it.token = 0
	news := m.fold(it)
	if o.After <= 0 || (news != nil && (news.force || !o.Held)) {
		m.queue(d.Key)
		return
	}
	it.state, it.held, it.until = inbox.Waiting, o.Held, m.time+o.After
}

func (m *model) dead(rt *rapid.T) {
	d, it := m.held(rt)
	if m.outcome(d, it, m.box.Dead(rt.Context(), d, "broken", "")) {
		m.letters = append(m.letters, letter{id: d.ID, key: d.Key, hints: *it.now, failures: it.failures + 1})
		m.settle(d.Key)
	}
}

func (m *model) forward(rt *rapid.T) {
	d, it := m.held(rt)
	to := drawKey(rt)
	if to == d.Key {
		rt.Skip("an item is not forwarded to itself")
	}
	if m.outcome(d, it, m.box.Forward(rt.Context(), d, to)) {
		hints := *it.now
		m.settle(d.Key)
		m.add(to, hints)
	}
}

// release takes the order in which held items become ready from the inbox, as it is
// not promised.
func (m *model) release(rt *rapid.T) {
	m.ok(m.box.ReleaseHeld(rt.Context(), ticket(1).Connector))
	for k, it := range m.items {
		if it.held {
			m.queue(k)
		}
	}
	var order []item.Key
	for _, record := range m.listed(inbox.Queued) {
		order = append(order, record.Key)
	}
	for _, lane := range []*[]item.Key{&m.live, &m.back} {
		slices.SortFunc(*lane, func(a, b item.Key) int { return cmp.Compare(slices.Index(order, a), slices.Index(order, b)) })
	}
}

func (m *model) replay(rt *rapid.T) {
	if len(m.letters) == 0 {
		rt.Skip("no dead letters")
	}
	n := rapid.IntRange(0, len(m.letters)-1).Draw(rt, "letter")
	l := m.letters[n]
	_, err := m.box.Replay(rt.Context(), l.key.Connector, l.id)
	it, known := m.items[l.key]
	if !known && len(m.items) >= modelCap {
		if !fault.Is(err, fault.Throttled) {
			rt.Fatalf("replaying into a full inbox: %v", err)
		}
		return
	}
	m.ok(err)
	m.letters = slices.Delete(m.letters, n, n+1)
	l.hints.background, l.hints.force = false, true
	m.add(l.key, l.hints)
	if known && it.state == inbox.Queued {
		it.failures, it.unexpected, it.lapses, it.vanished = 0, 0, 0, 0
	}
}

func (m *model) pass(rt *rapid.T) {
	d := rapid.SampledFrom([]time.Duration{
		time.Millisecond, modelVisibility / 2, modelVisibility, time.Minute, modelWindow, time.Hour,
	}).Draw(rt, "time")
	m.advance(d)
	m.time += d
}

func (m *model) maintain(rt *rapid.T) {
	m.ok(m.box.Maintain(rt.Context()))
	m.sweep()
}

func (m *model) listed(state inbox.State) []inbox.Record {
	page, next, err := m.box.List(m.rt.Context(), "", state, inbox.MaxPageSize, "")
	m.ok(err)
	if next != "" {
		m.rt.Fatalf("a next page %q of a few records", next)
	}
	return page
}

// check compares all that can be seen.
func (m *model) check(rt *rapid.T) {
	stats, err := m.box.Stats(rt.Context())
	m.ok(err)
	stats.OldestAge, stats.LiveDelay = 0, 0
	running, waiting := m.byTime(inbox.Running), m.byTime(inbox.Waiting)
	slices.SortFunc(running, func(a, b item.Key) int { return cmp.Compare(a.String(), b.String()) })
	want := inbox.Stats{
		QueuedLive: int64(len(m.live)), QueuedBackground: int64(len(m.back)),
		Running: int64(len(running)), Waiting: int64(len(waiting)), Dead: int64(len(m.letters)),
	}
	if diff := gocmp.Diff(want, stats); diff != "" {
		rt.Fatalf("stats (-want +got):\n%s", diff)
	}
	if len(m.live)+len(m.back)+len(running)+len(waiting) != len(m.items) {
		rt.Fatalf("the model lost an item: %v", m.items)
	}
	for state, keys := range map[inbox.State][]item.Key{
		inbox.Queued: slices.Concat(m.live, m.back), inbox.Running: running, inbox.Waiting: waiting,
	} {
		var got []item.Key
		for _, record := range m.listed(state) {
			got = append(got, record.Key)
			it := m.items[record.Key]
			g := group{record.Count, record.MaxRevision, record.Background, record.Force, record.First.Type, record.Last.Type}
			if it == nil || g != *it.now || record.Failures != it.failures || record.Held != it.held {
				rt.Fatalf("%s: %+v, want %+v", state, record, it)
			}
		}
		if m.advance == nil && state == inbox.Waiting {
			// The server's own milliseconds order them.
			byKey := func(a, b item.Key) int { return cmp.Compare(a.String(), b.String()) }
			slices.SortFunc(keys, byKey)
			slices.SortFunc(got, byKey)
		}
		if diff := gocmp.Diff(keys, got, cmpopts.EquateEmpty()); diff != "" {
			rt.Fatalf("%s (-want +got):\n%s", state, diff)
		}
	}
	for _, record := range m.listed(inbox.Dead) {
		n := slices.IndexFunc(m.letters, func(l letter) bool { return l.id == record.ID })
		if n < 0 {
			rt.Fatalf("an unknown letter %+v", record)
		}
		l := m.letters[n]
		g := group{record.Count, record.MaxRevision, record.Background, record.Force, record.First.Type, record.Last.Type}
		if l.key != record.Key || l.hints != g || l.failures != record.Failures {
			rt.Fatalf("letter %+v, want %+v", record, l)
		}
	}
	if len(m.items) == 0 && len(m.letters) == 0 {
		m.wantOnlyDedup()
	}
}

func (m *model) wantOnlyDedup() {
	keys, err := m.store.Client().Keys(m.rt.Context(), m.store.Key("inbox", "[^i]*")).Result()
	m.ok(err)
	if len(keys) > 0 {
		m.rt.Fatalf("keys left after everything was served: %v", keys)
	}
}
