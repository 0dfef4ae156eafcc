package plan_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
)

// talk is a model of what people wrote on both sides.
type talk struct {
	now      time.Time
	rules    plan.Rules
	link     item.Link
	messages []plan.Message
	mirrors  map[string]item.Mirror
	next     int64
	writes   int
}

func newTalk() *talk {
	return &talk{
		now: start(), mirrors: map[string]item.Mirror{}, next: 100,
		rules: plan.Rules{Service: service, Messages: true},
		link: item.Link{
			Connector: "development", Ticket: ticketID, WorkItem: workItemID, State: item.LinkActive, Version: 3,
			Agreed: item.Pair{Status: "Development", State: "To Do"}, Created: start(),
		},
	}
}

func other(side item.System) item.System {
	if side == item.Alvao {
		return item.AzureDevOps
	}
	return item.Alvao
}

// add lets somebody write, or a mirror be posted.
func (k *talk) add(side item.System, text, mirrorOf, mirrorHash string) *plan.Message {
	k.next++
	k.now = k.now.Add(time.Second)
	k.messages = append(k.messages, plan.Message{
		Source: fmt.Sprintf("%s/text/%d", side, k.next), Side: side, Shape: plan.Text, Created: k.now, ID: k.next, Hash: text,
		Crosses: true, MirrorOf: mirrorOf, MirrorHash: mirrorHash, Target: strconv.FormatInt(k.next, 10),
	})
	return &k.messages[len(k.messages)-1]
}

func (k *talk) find(source string) *plan.Message {
	for i := range k.messages {
		if k.messages[i].Source == source {
			return &k.messages[i]
		}
	}
	return nil
}

func (k *talk) target(source, target string) *plan.Message {
	for i := range k.messages {
		if k.messages[i].Target == target && k.messages[i].MirrorOf == source {
			return &k.messages[i]
		}
	}
	return nil
}

// round runs to rest; crashAfter > 0 dies after that many effects, before they are
// remembered.
func (k *talk) round(t *rapid.T, crashAfter int) {
	sides := plan.Sides{
		Now:      k.now,
		Ticket:   item.Ticket{ID: ticketID, Service: service, Status: "Development", URL: ticketURL, ExternalID: strconv.Itoa(workItemID)},
		WorkItem: &item.WorkItem{ID: workItemID, Rev: 5, Type: "Task", State: "To Do", Hyperlinks: []string{ticketURL}},
	}
	k.rules.Map = statusMap(t, "To Do", "Development")
	read := func() {
		sides.MessagesRead = true
		sides.Messages = slices.Clone(k.messages)
		sides.Mirrors = k.mirrors
	}
	effects := 0
	dies := func() bool {
		effects++
		k.writes++
		return effects == crashAfter
	}
	for range 400 {
		step := plan.Next(k.link, sides, k.rules)
		switch step.Kind {
		case plan.Rest:
			return
		case plan.Remember:
			k.link = step.Link
		case plan.Wait:
			k.now = k.now.Add(step.After)
			sides.Now = k.now
		case plan.ReadMessages:
			read()
		case plan.BeginPost:
			k.mirrors[step.Source] = step.Mirror
			sides.Posting = step.Source
		case plan.RememberMirror:
			k.mirrors[step.Source] = step.Mirror
		case plan.Post:
			m := k.find(step.Source)
			made := k.add(other(m.Side), m.Hash, m.Source, m.Hash)
			target := made.Target
			if dies() {
				return
			}
			k.mirrors[step.Source] = item.Mirror{Target: target, Hash: step.Mirror.Hash}
			read()
		case plan.Edit:
			m := k.find(step.Source)
			target, hash := step.Mirror.Target, m.Hash
			if m.Side == item.AzureDevOps {
				// A record can't be edited: another one says that it replaces it.
				target = k.add(item.Alvao, hash, step.Source, hash).Target
			} else {
				mirror := k.target(step.Source, target)
				mirror.Hash, mirror.MirrorHash = hash, hash
			}
			if dies() {
				return
			}
			k.mirrors[step.Source] = item.Mirror{Target: target, Hash: hash}
			read()
		case plan.Retract:
			if mirror := k.target(step.Source, step.Mirror.Target); mirror.Side == item.Alvao {
				k.add(item.Alvao, plan.GoneHash, step.Source, plan.GoneHash)
			} else {
				mirror.Hash, mirror.MirrorHash = plan.GoneHash, plan.GoneHash
			}
			if dies() {
				return
			}
			retracted := step.Mirror
			retracted.Gone = true
			k.mirrors[step.Source] = retracted
			read()
		default:
			t.Fatalf("unexpected step %+v", step)
		}
	}
	t.Fatalf("no rest")
}

// After any history of messages, edits, deletions and crashes, every message stands on
// the other side exactly once, as it reads now, and another round writes nothing.
func TestEveryMessageCrossesExactlyOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		k := newTalk()
		var own []string
		for range rapid.IntRange(1, 14).Draw(t, "events") {
			k.now = k.now.Add(time.Duration(rapid.IntRange(1, 50).Draw(t, "seconds")) * time.Second)
			switch act := rapid.IntRange(0, 5).Draw(t, "act"); {
			case act <= 1 || len(own) == 0:
				side := rapid.SampledFrom([]item.System{item.Alvao, item.AzureDevOps}).Draw(t, "side")
				own = append(own, k.add(side, "said "+strconv.FormatInt(k.next, 10), "", "").Source)
			case act == 2:
				if m := k.find(rapid.SampledFrom(own).Draw(t, "edited")); m != nil && !m.Deleted {
					k.next++
					m.Hash = "edited " + strconv.FormatInt(k.next, 10)
				}
			case act == 3:
				source := rapid.SampledFrom(own).Draw(t, "deleted")
				if m := k.find(source); m != nil && m.Side == item.AzureDevOps {
					m.Deleted = true
				} else {
					k.messages = slices.DeleteFunc(k.messages, func(m plan.Message) bool { return m.Source == source })
				}
			default:
				k.round(t, rapid.IntRange(0, 4).Draw(t, "crash after effect"))
			}
		}
		k.round(t, 0)
		writes := k.writes
		k.round(t, 0)
		if k.writes != writes {
			t.Fatalf("another round wrote %d times", k.writes-writes)
		}
		for _, source := range own {
			m := k.find(source)
			var mirrors []plan.Message
			for _, other := range k.messages {
				if other.MirrorOf == source {
					mirrors = append(mirrors, other)
				}
			}
			said := map[string]int{}
			last := ""
			for _, mirror := range mirrors {
				said[mirror.MirrorHash]++
				last = mirror.MirrorHash
				if said[mirror.MirrorHash] > 1 {
					t.Fatalf("%s was said twice: %+v", source, mirrors)
				}
				if m != nil && mirror.Side == m.Side {
					t.Fatalf("%s stands on its own side: %+v", source, mirrors)
				}
			}
			switch {
			case m == nil || m.Deleted:
				if last != "" && last != plan.GoneHash {
					t.Fatalf("%s was deleted, its mirrors are %+v", source, mirrors)
				}
			case last != m.Hash:
				t.Fatalf("%+v has the mirrors %+v", *m, mirrors)
			}
		}
	})
}

// Messages keep the order in which people wrote them.
func TestMessagesKeepTheirOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		k := newTalk()
		n := rapid.IntRange(2, 8).Draw(t, "messages")
		for i := range n {
			k.add(item.Alvao, strconv.Itoa(i), "", "")
		}
		shuffled := rapid.Permutation(k.messages).Draw(t, "as listed")
		k.messages = shuffled
		k.round(t, 0)
		var told []string
		for _, m := range k.messages {
			if m.Side == item.AzureDevOps {
				told = append(told, m.Hash)
			}
		}
		if !slices.IsSorted(told) || len(told) != n {
			t.Fatalf("told in the order %v", told)
		}
	})
}

func TestHistoryBeforeTheLinkCanBeLeftOut(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		k := newTalk()
		k.rules.SinceLinked = true
		k.add(item.Alvao, "old", "", "").Created = k.link.Created.Add(-time.Hour)
		k.add(item.Alvao, "new", "", "")
		k.round(t, 0)
		if len(k.messages) != 3 || k.messages[2].Hash != "new" {
			t.Fatalf("messages %+v", k.messages)
		}
	})
}

func TestWhatMayNotCrossStays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		k := newTalk()
		noise := k.add(item.Alvao, "noise", "", "")
		noise.Crosses, noise.KeptBy = false, "kinds"
		source := noise.Source
		// An empty message crosses as little, and nothing keeps it back.
		k.add(item.Alvao, "", "", "").Crosses = false
		k.round(t, 0)
		if len(k.messages) != 2 {
			t.Fatalf("messages %+v", k.messages)
		}
		if want := map[string]int{"kinds": 1}; !maps.Equal(k.link.Withheld, want) {
			t.Fatalf("withheld %v", k.link.Withheld)
		}
		noise = k.find(source)
		noise.Crosses, noise.KeptBy = true, ""
		k.round(t, 0)
		if len(k.messages) != 3 || k.link.Withheld != nil {
			t.Fatalf("once it may cross: messages %+v, withheld %v", k.messages, k.link.Withheld)
		}
	})
}

// What has crossed and may not any more stays as it is, is not counted as withheld,
// and follows again once it may.
func TestWhatCrossedIsNeitherRetractedNorKeptUp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		k := newTalk()
		source := k.add(item.Alvao, "public", "", "").Source
		k.round(t, 0)
		m := k.find(source)
		m.Hash, m.Crosses, m.KeptBy = "secret", false, "rules[0]"
		k.round(t, 0)
		if len(k.messages) != 2 || k.messages[1].Hash != "public" || k.link.Withheld != nil {
			t.Fatalf("messages %+v, withheld %v", k.messages, k.link.Withheld)
		}
		m = k.find(source)
		m.Crosses, m.KeptBy = true, ""
		k.round(t, 0)
		if len(k.messages) != 2 || k.messages[1].Hash != "secret" {
			t.Fatalf("once it may cross again: %+v", k.messages)
		}
	})
}

func TestDirectionThatIsOffTellsNoDeletion(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		k := newTalk()
		from := rapid.SampledFrom([]item.System{item.Alvao, item.AzureDevOps}).Draw(t, "from")
		source := k.add(from, "hello", "", "").Source
		k.round(t, 0)
		k.messages = slices.DeleteFunc(k.messages, func(m plan.Message) bool { return m.Source == source })
		off := k.rules
		k.rules.OffToAzureDevOps, k.rules.OffToAlvao = from == item.Alvao, from == item.AzureDevOps
		writes := k.writes
		k.round(t, 0)
		if k.writes != writes {
			t.Fatalf("%d writes into a direction that is off", k.writes-writes)
		}
		k.rules = off
		k.round(t, 0)
		if k.writes != writes+1 {
			t.Fatalf("%d writes once it is on again", k.writes-writes)
		}
	})
}

// What was read before the messages counts as seen once they have crossed, and not
// before.
func TestTalkIsSeenOnceItHasCrossed(t *testing.T) {
	t.Parallel()
	k := newTalk()
	message := k.add(item.Alvao, "hello", "", "")
	sides := plan.Sides{
		Now: k.now, WorkItem: &item.WorkItem{ID: workItemID, Rev: 5}, MessagesRead: true, Messages: k.messages,
		Mirrors: map[string]item.Mirror{}, TalkRev: 5, TalkSeen: k.now,
	}
	if step, ok := plan.Talk(k.link, sides, k.rules); !ok || step.Kind != plan.BeginPost {
		t.Fatalf("a new message: %+v", step)
	}
	sides.Mirrors[message.Source] = item.Mirror{Target: "7", Hash: "hello"}
	step, ok := plan.Talk(k.link, sides, k.rules)
	if !ok || step.Kind != plan.Remember || step.Link.TalkRev != 5 || !step.Link.TalkSeen.Equal(k.now) || step.Change != nil {
		t.Fatalf("once it has crossed: %+v", step)
	}
	if next, ok := plan.Talk(step.Link, sides, k.rules); ok {
		t.Errorf("once that is remembered: %+v", next)
	}
	// What was seen is never forgotten for something older.
	older := step.Link
	older.TalkRev, older.TalkSeen = 9, k.now.Add(time.Hour)
	if next, ok := plan.Talk(older, sides, k.rules); ok {
		t.Errorf("older than what was seen: %+v", next)
	}
	sides.TalkRev = 10
	if next, ok := plan.Talk(older, sides, k.rules); !ok || next.Link.TalkRev != 10 || !next.Link.TalkSeen.Equal(older.TalkSeen) {
		t.Errorf("a newer revision: %+v", next)
	}
}

func TestTalkIsDoubted(t *testing.T) {
	t.Parallel()
	k := newTalk()
	k.link.TalkRev, k.link.TalkSeen = 5, k.now
	parked := k.link
	parked.State, parked.Parked = item.LinkParked, &item.Standstill{Status: "Development", State: "To Do", ExternalID: strconv.Itoa(workItemID)}
	silent := k.rules
	silent.Messages = false
	for _, l := range []item.Link{k.link, parked} {
		for at, want := range map[time.Time]plan.Doubt{{}: plan.Slight, k.now: plan.None, k.now.Add(1): plan.Strong} {
			row := item.Ticket{ID: ticketID, Service: service, Status: "Development", LastActivity: at}
			if got := plan.TicketDoubt(l, row, plan.Listed{}, k.rules); got != want {
				t.Errorf("%s: activity at %v: doubt %d, want %d", l.State, at, got, want)
			}
			if got := plan.TicketDoubt(l, row, plan.Listed{}, silent); got != plan.None {
				t.Errorf("%s: where messages don't cross: doubt %d", l.State, got)
			}
		}
		for rev, want := range map[int64]plan.Doubt{4: plan.None, 5: plan.None, 6: plan.Strong} {
			if got := plan.WorkItemDoubt(l, &item.WorkItem{ID: workItemID, Rev: rev, State: "To Do"}, k.rules); got != want {
				t.Errorf("%s: revision %d: doubt %d, want %d", l.State, rev, got, want)
			}
		}
	}
}
