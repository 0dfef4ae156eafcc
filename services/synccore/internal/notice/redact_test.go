package notice_test

import (
	"strings"
	"testing"

	"github.com/tandem-sync/tandem/services/synccore/internal/redact"
)

// What a comment must not show to Alvao, its notice does not show either.
func TestNoticesAreRedacted(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.conn.Redact = redact.New(true, nil, nil)
	w.desk.change(func(d *desk) { d.workItem.Title = "Refund 5555555555554444" })
	w.comment(5, "<p>the card is 4111 <b>1111</b> 1111 1111</p>")
	if err := w.handle(); err != nil {
		t.Fatal(err)
	}
	mails, cards := w.post.Mails(), w.chat.Cards()
	if len(mails) != 1 || len(cards) != 1 {
		t.Fatalf("%d mails, %d cards", len(mails), len(cards))
	}
	for form, text := range map[string]string{"subject": mails[0].Subject, "text": mails[0].Text, "HTML": mails[0].HTML, "card": cards[0].Text()} {
		if strings.Contains(text, "1111") || strings.Contains(text, "55555") || form != "subject" && !strings.Contains(text, "[redacted: card number]") {
			t.Errorf("the %s reads:\n%s", form, text)
		}
	}
}
