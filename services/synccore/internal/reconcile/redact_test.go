package reconcile_test

import (
	"strings"
	"testing"

	standalvao "github.com/tandem-sync/tandem/services/sandbox/alvao"
	"github.com/tandem-sync/tandem/services/synccore/internal/redact"
)

const cardMark = "[redacted: card number]"

// censored takes what the shipped patterns know out of what crosses, both ways.
func censored(c *chat) *chat {
	found := redact.New(true, nil, nil)
	c.connector.RedactToAzureDevOps, c.connector.RedactToAlvao = found, found
	return c
}

func TestSecretsDontCross(t *testing.T) {
	t.Parallel()
	c := censored(chatting(t))
	message := c.write(t, "<p>charge 4111 <b>1111</b> 1111&nbsp;1111 please</p>")
	pat := "ghp_" + strings.Repeat("aB3", 12)
	answer := c.comment(t, "<p>use "+pat+" or <a href=\"https://x.cz/?t="+pat+"\">this</a></p>")
	c.round(t)
	if said := c.comments("charge " + cardMark + " please"); len(said) != 1 {
		t.Errorf("comments %v", c.comments(""))
	}
	if said := c.records("use [redacted: GitHub token] or this [redacted: GitHub token]"); len(said) != 1 {
		t.Errorf("records %+v", c.records(""))
	}
	for _, text := range append(c.comments(""), c.records("")[0].HTML) {
		if strings.Contains(text, "11111111") || strings.Contains(text, "aB3aB3aB3") && strings.Contains(text, "TANDEM-W") {
			t.Errorf("a secret crossed: %s", text)
		}
	}
	// What the author wrote is as it was, and nothing seems to have been edited.
	if own := c.boards.Comments(int(c.workItem)); !strings.Contains(own[0].Text+own[len(own)-1].Text+answer.Text, pat) {
		t.Error("the author's own words changed")
	}
	c.quiet(t)
	// An edit next to a secret follows; settings that change later change no mirror.
	if err := c.desk.EditMessage(t.Context(), standalvao.Requester, int(c.ticket), message.ID, "<p>charge 4111 1111 1111 1111 today</p>"); err != nil {
		t.Fatal(err)
	}
	c.round(t)
	if said := c.comments("charge " + cardMark + " today"); len(said) != 1 {
		t.Errorf("after an edit: %v", c.comments(""))
	}
	c.connector.RedactToAzureDevOps, c.connector.RedactToAlvao = nil, nil
	c.quiet(t)
}

func TestDirectionsAreRedactedApart(t *testing.T) {
	t.Parallel()
	c := chatting(t)
	c.connector.RedactToAlvao = redact.New(true, nil, nil)
	c.write(t, "<p>number 4111111111111111</p>")
	c.comment(t, "<p>number 5555555555554444</p>")
	c.round(t)
	if len(c.comments("4111111111111111")) != 1 || len(c.records("number "+cardMark)) != 1 || len(c.records("5555555555554444")) != 0 {
		t.Errorf("comments %v, records %+v", c.comments(""), c.records(""))
	}
}

// The fields of a new work item are redacted before they are cut to their length.
func TestFieldsOfNewWorkItemsAreRedacted(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.connector.RedactToAzureDevOps = redact.New(true, nil, nil)
	made, err := w.desk.CreateTicket(t.Context(), standalvao.Requester, standalvao.NewTicket{
		Name:        strings.Repeat("x", 240) + " 4111 1111 1111 1111",
		Description: "<p>my card: 4111<i>1111</i>11111111</p>", Service: "Development", Status: "Development",
	})
	if err != nil {
		t.Fatal(err)
	}
	w.handle(t, int64(made.ID))
	shown, _ := w.boards.WorkItem(int(w.link(t, int64(made.ID)).WorkItem))
	if !strings.HasSuffix(shown.Title, "x [redacted: ca…") || strings.Contains(shown.Title, "4111") {
		t.Errorf("title %q", shown.Title)
	}
	if body, _ := shown.Fields["System.Description"].(string); !strings.Contains(body, "my card: "+cardMark) || strings.Contains(body, "1111") {
		t.Errorf("description %q", body)
	}
}

// A new work item's description passes the boundary that messages pass.
func TestFieldsOfNewWorkItemsHoldNoAddressOfAnImage(t *testing.T) {
	t.Parallel()
	w := setup(t)
	made, err := w.desk.CreateTicket(t.Context(), standalvao.Requester, standalvao.NewTicket{
		Name: "Broken", Service: "Development", Status: "Development",
		Description: `<p>See <img src="cid:screen.png@01D0"> and <img src="https://tracker.example/logo.png?who=7"></p>`,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.handle(t, int64(made.ID))
	shown, _ := w.boards.WorkItem(int(w.link(t, int64(made.ID)).WorkItem))
	const want = "See [image not carried over: screen.png] and [image not carried over: logo.png (tracker.example)]"
	if body, _ := shown.Fields["System.Description"].(string); body != want {
		t.Errorf("description %q, want %q", body, want)
	}
}
