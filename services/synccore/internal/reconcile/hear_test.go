package reconcile

import (
	"strings"
	"testing"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/richtext"
)

// Every round of a pair that talks reads all that was said: this is the most of what a
// round computes.
func BenchmarkHear(b *testing.B) {
	const desk = "https://contoso.onalvao.com/AlvaoRestApi/"
	r := &round{
		engine:    &Engine{texts: richtext.New()},
		connector: Connector{Messages: Messages{Desk: desk, Boards: "https://dev.azure.com/contoso/Project"}},
		link:      item.Link{Ticket: 1, WorkItem: 2},
	}
	r.sides.WorkItem = &item.WorkItem{}
	text := strings.Repeat("<p>Řádek textu s <b>tučným</b> slovem, číslem #12 a znaky &lt;&amp;&gt; uprostřed.</p><ul><li>bod</li></ul>", 10)
	marked := strings.Repeat("A line with a **bold** word and `code`.\n\n- an item\n", 10)
	var records []item.Record
	var comments []item.Comment
	for i := range int64(30) {
		records = append(records, item.Record{ID: i + 1, Kind: "Email", Subject: "Printer", HTML: text})
		comments = append(comments, item.Comment{ID: 2*i + 1, Format: item.HTML, Text: text}, item.Comment{ID: 2*i + 2, Format: item.Markdown, Text: marked})
	}
	b.ReportAllocs()
	for b.Loop() {
		if got := len(r.hear(records, comments).messages); got != 90 {
			b.Fatalf("%d messages", got)
		}
	}
}
