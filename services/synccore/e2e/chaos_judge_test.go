//go:build e2e

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	"github.com/tandem-sync/tandem/services/sandbox/stack"
)

// settle waits until nothing is on its way, in the inbox or being written.
func (c *chaos) settle() {
	const within, still = 4 * time.Minute, 3 * time.Second
	writes, since := -1, time.Now()
	await(c.t, within, "Tandem comes to rest", func() (bool, string) {
		pauseFor(nil, 50*time.Millisecond)
		if n := writesOf(c.Stack); n != writes {
			writes, since = n, time.Now()
		}
		if n := c.Box.AzureDevOps.PendingDeliveries(); n > 0 {
			since = time.Now()
			return false, fmt.Sprintf("%d webhooks are on their way", n)
		}
		waiting, dead, err := c.events()
		switch {
		case err != nil:
			since = time.Now()
			return false, err.Error()
		case waiting > 0:
			since = time.Now()
			return false, fmt.Sprintf("%d events are in the inbox", waiting)
		}
		c.deadLetters = dead
		return time.Since(since) > still, fmt.Sprintf("something was written %s ago", time.Since(since))
	})
}

// events counts what waits in the inbox, and its dead letters.
func (c *chaos) events() (int, int, error) {
	status, body := get(c.t, c.GatewayURL+"/v1/connectors/"+stack.Connector+"/events?pageSize=1000")
	if status != http.StatusOK {
		return 0, 0, fmt.Errorf("the inbox says %d %s", status, body)
	}
	var page struct {
		Events []struct{ Name, State, Reason string }
	}
	if err := json.Unmarshal([]byte(body), &page); err != nil {
		return 0, 0, err
	}
	waiting, dead := 0, 0
	for _, event := range page.Events {
		if strings.HasSuffix(event.State, "DEAD") {
			dead++
			continue
		}
		waiting++
	}
	return waiting, dead, nil
}

// resync lets one run, and waits for its end.
func (c *chaos) resync() {
	ctx, cancel := context.WithTimeout(c.t.Context(), 3*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, filepath.Join(programs, "synccore"), "resync", "--core", c.cores[1].address, "--insecure-grpc", "--timeout", "150s")
	out, err := command.CombinedOutput()
	if err != nil {
		c.t.Errorf("the resync ended with %v:\n%s", err, out)
	}
}

// judge looks at both systems: what people did stands on the other side, once.
func (c *chaos) judge(counts map[int]int) {
	lost, doubled, apart := 0, 0, 0
	violation := func(what *int, format string, args ...any) {
		const shown = 30
		if *what++; *what <= shown {
			c.t.Errorf(format, args...)
		}
	}
	statuses := map[string]string{"To Do": "Development", "Doing": "Development pending", "Done": "Testing"}
	for _, ticket := range append([]int{c.probe}, c.crowd.tickets...) {
		made := c.Box.AzureDevOps.Tagged("ALVAO-" + strconv.Itoa(ticket))
		switch found, _ := c.Box.Alvao.Ticket(ticket); {
		case len(made) == 0:
			violation(&lost, "ticket %d has no work item", ticket)
		case len(made) > 1:
			violation(&doubled, "ticket %d has %d work items", ticket, len(made))
		case made[0].ID != pairOf(c.Stack, ticket):
			violation(&apart, "ticket %d carries %d, its work item is %d", ticket, pairOf(c.Stack, ticket), made[0].ID)
		case statuses[made[0].State] != found.Status:
			violation(&apart, "ticket %d is in %q and work item %d in %q", ticket, found.Status, made[0].ID, made[0].State)
		}
	}
	creates := 0
	for _, write := range c.Box.AzureDevOps.Writes() {
		if write.Kind == azuredevops.WriteCreate {
			creates++
		}
	}
	if want := len(c.crowd.tickets) + 1; creates != want {
		violation(&doubled, "%d work items were ever made for %d tickets", creates, want)
	}
	for _, w := range c.crowd.words {
		if w.ticket == 0 {
			continue
		}
		switch n := c.copies(w); {
		case n == 0:
			violation(&lost, "%q of ticket %d did not cross", w.text, w.ticket)
		case n > 1:
			violation(&doubled, "%q of ticket %d stands %d times on the other side", w.text, w.ticket, n)
		}
	}
	for status, n := range counts {
		if status != http.StatusAccepted && status != http.StatusServiceUnavailable && status != 0 {
			c.t.Errorf("%d webhooks were answered %d", n, status)
		}
	}
	if c.deadLetters > 0 {
		_, body := get(c.t, c.GatewayURL+"/v1/connectors/"+stack.Connector+"/events?pageSize=10")
		c.t.Errorf("%d dead letters: %.2000s", c.deadLetters, body)
	}
	before := writesOf(c.Stack)
	c.resync()
	c.settle()
	again := writesOf(c.Stack) - before
	if again != 0 {
		c.t.Errorf("a further resync wrote %d times", again)
	}
	_, accepted := c.hooks.all()
	c.t.Logf("%d kills, %d webhooks accepted: %d lost, %d doubled, %d apart, %d dead letters, %d writes of a further resync",
		c.killed(), accepted, lost, doubled, apart, c.deadLetters, again)
	if c.t.Failed() {
		c.t.Logf("the blows, again by -chaos-seed=%d:\n%s", c.seed, strings.Join(c.told, "\n"))
	}
}

// copies counts how often something stands on the other side.
func (c *chaos) copies(w word) int {
	n := 0
	workItem := pairOf(c.Stack, w.ticket)
	switch {
	case w.toBoards && w.file:
		item, _ := c.Box.AzureDevOps.WorkItem(workItem)
		for _, relation := range item.Relations {
			if relation.Attachment != nil && relation.Attachment.Name == w.text {
				n++
			}
		}
	case w.toBoards:
		for _, comment := range c.Box.AzureDevOps.Comments(workItem) {
			if !comment.Deleted && strings.Contains(comment.Text, w.text) {
				n++
			}
		}
	default:
		for _, record := range c.Box.Alvao.Records(w.ticket) {
			if !record.ByApplication {
				continue
			}
			if !w.file && strings.Contains(record.HTML, w.text) {
				n++
			}
			for _, file := range record.Attachments {
				if w.file && file.Name == w.text {
					n++
				}
			}
		}
	}
	return n
}
