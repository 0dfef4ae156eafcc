//go:build e2e

package e2e_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/sandbox/alvao"
	"github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/sandbox/stack"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
)

// polls lets comments that no webhook told of be found soon.
const polls = "    pollInterval: 1s\n"

// sync-core is killed again and again while people comment and the mail server has a bad
// day: in the end the solver has one mail and one card of each comment, as mail systems
// and the flow tell them apart.
func TestKilledWhileTelling(t *testing.T) {
	t.Parallel()
	const tickets, comments, kills = 8, 6, 6
	server := redistest.Start(t)
	s := start(t, stack.Options{Redis: server.URL(), Notices: true, Connector: polls})
	items := make([]int, tickets)
	for i := range items {
		_, items[i] = develop(t, s, "Printer is on fire")
	}
	rest(t, s)
	for _, rule := range []fault.Rule{
		{Path: "/mail/data", Kind: fault.KindPass, Delay: fault.Duration(30 * time.Millisecond), Probability: 0.5},
		{Path: "/mail/recipient", Kind: fault.KindUnavailable, Probability: 0.2},
		{Path: "/mail/data", Kind: fault.KindLostReply, Probability: 0.1},
		{Path: "/teams/**", Kind: fault.KindUnavailable, Probability: 0.2},
	} {
		if _, err := s.Box.Faults.Add(rule); err != nil {
			t.Fatal(err)
		}
	}
	var people sync.WaitGroup
	people.Go(func() {
		ticker := time.NewTicker(40 * time.Millisecond)
		defer ticker.Stop()
		for n := range comments {
			for _, item := range items {
				<-ticker.C
				if _, err := s.Box.AzureDevOps.As(alvao.Solver).Comment(item, fmt.Sprintf("<p>comment %d on %d</p>", n, item), "html"); err != nil {
					t.Error(err)
				}
			}
		}
	})
	chance := rand.New(rand.NewPCG(4711, 1))
	told := func() int { return len(s.Box.Mail.Mails()) + len(s.Box.Teams.Cards()) }
	for kill := range kills {
		at := min(2*tickets*comments-1, told()+2+chance.IntN(10))
		await(t, 2*time.Minute, fmt.Sprintf("%d are told", at), func() (bool, string) { return told() >= at, strconv.Itoa(told()) })
		s.Core.Kill()
		t.Logf("kill %d at %d mails, %d cards", kill+1, len(s.Box.Mail.Mails()), len(s.Box.Teams.Cards()))
		if err := s.StartCore(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	people.Wait()
	s.Box.Faults.Clear()
	mails, cards := func() int { return len(mailIDs(s)) }, func() int { return len(cardIDs(s)) }
	await(t, 4*time.Minute, "everything is told", func() (bool, string) {
		return mails() == tickets*comments && cards() == tickets*comments, fmt.Sprintf("%d mails, %d cards", mails(), cards())
	})
	rest(t, s)
	if mails() != tickets*comments || cards() != tickets*comments {
		t.Errorf("%d mails and %d cards for %d comments", mails(), cards(), tickets*comments)
	}
	seen := map[string]int{}
	for _, m := range s.Box.Mail.Mails() {
		seen[m.MessageID]++
		if m.To != alvao.Solver || !m.TLS {
			t.Errorf("a mail to %s, TLS %v", m.To, m.TLS)
		}
	}
	t.Logf("%d mails of %d comments, %d cards", len(s.Box.Mail.Mails()), len(seen), len(s.Box.Teams.Cards()))
	// Every text was told, not one of them under another's name.
	for n := range comments {
		for _, item := range items {
			text := fmt.Sprintf("comment %d on %d", n, item)
			var ids []string
			for _, m := range s.Box.Mail.Mails() {
				if strings.Contains(m.Text, "> "+text+"\n") && !slices.Contains(ids, m.MessageID) {
					ids = append(ids, m.MessageID)
				}
			}
			if len(ids) != 1 {
				t.Errorf("%q was told by %d mails", text, len(ids))
			}
		}
	}
	// Neither the log nor the metrics tell whom, or what.
	for _, line := range s.Core.Lines() {
		if text := fmt.Sprint(line); strings.Contains(text, alvao.Solver) || strings.Contains(text, "sandbox-signature") || strings.Contains(text, "sandbox-mail") {
			t.Fatalf("the log tells %s", text)
		}
	}
	// A check signs in at the mail server and tells nobody.
	before := len(s.Box.Mail.Mails())
	status, body, _ := send(t, http.MethodPost, s.GatewayURL+"/v1/connectors/"+stack.Connector+":check", "{}", nil)
	if status != http.StatusOK || !strings.Contains(body, "takes the credentials") || !strings.Contains(body, "notice.teams") || len(s.Box.Mail.Mails()) != before {
		t.Errorf("the check answers %d %s", status, body)
	}
	if sample(metrics(t, s.CoreAdmin), "tandem_notices_total", `channel="email"`, `outcome="told"`) == 0 {
		t.Error("there is no metric of notices")
	}
}

func mailIDs(s *stack.Stack) []string {
	var ids []string
	for _, m := range s.Box.Mail.Mails() {
		ids = append(ids, m.MessageID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func cardIDs(s *stack.Stack) []string {
	var ids []string
	for _, c := range s.Box.Teams.Cards() {
		ids = append(ids, c.ID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// A mail server that hangs keeps nobody from syncing, is seen in the list of events, and
// gets its mails when it is back.
func TestMailServerHangs(t *testing.T) {
	t.Parallel()
	s := start(t, stack.Options{Notices: true, Connector: polls})
	const tickets = 6
	type pair struct{ ticket, item int }
	pairs := make([]pair, tickets)
	for i := range pairs {
		pairs[i].ticket, pairs[i].item = develop(t, s, "Printer is on fire")
	}
	rest(t, s)
	if _, err := s.Box.Faults.Add(fault.Rule{Path: "/mail/connect", Delay: fault.Duration(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	for _, p := range pairs {
		if _, err := s.Box.AzureDevOps.As(alvao.Solver).Comment(p.item, "<p>hello</p>", "html"); err != nil {
			t.Fatal(err)
		}
	}
	await(t, 30*time.Second, "the mail server is called", func() (bool, string) { return s.Box.Mail.Connections() > 0, "nobody calls" })
	for _, p := range pairs {
		if _, err := s.Box.AzureDevOps.As(alvao.Solver).SetState(p.item, "Doing"); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range pairs {
		awaitStatus(t, s, p.ticket, "Development pending", 20*time.Second)
	}
	if n := len(s.Box.Mail.Mails()); n != 0 {
		t.Errorf("%d mails", n)
	}
	var events struct {
		Events []struct {
			EventType string `json:"eventType"`
			Reason    string `json:"reason"`
		} `json:"events"`
	}
	await(t, time.Minute, "the events show what waits", func() (bool, string) {
		status, body := get(t, s.GatewayURL+"/v1/connectors/"+stack.Connector+"/events?state=STATE_WAITING")
		if err := json.Unmarshal([]byte(body), &events); err != nil || status != http.StatusOK {
			return false, fmt.Sprintf("%d %s", status, body)
		}
		for _, e := range events.Events {
			if e.EventType == "notice" && strings.Contains(e.Reason, "mail server") {
				return true, ""
			}
		}
		return false, fmt.Sprintf("%+v", events.Events)
	})
	s.Box.Faults.Clear()
	await(t, 3*time.Minute, "everybody is told", func() (bool, string) {
		return len(mailIDs(s)) == tickets && len(cardIDs(s)) == tickets, fmt.Sprintf("%d mails, %d cards", len(mailIDs(s)), len(cardIDs(s)))
	})
}
