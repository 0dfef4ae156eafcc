package resync

import (
	"encoding/json"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// EventType is the type of the hints that a resync makes.
const EventType = "resync"

// body is what a hint carries, for people and to tell what became of it.
type body struct {
	// Resync is connectors/{connector}/resyncs/{id}.
	Resync string `json:"resync"`
}

func payload(connector, id string) []byte {
	text, _ := json.Marshal(body{Resync: "connectors/" + connector + "/resyncs/" + id}) //nolint:errchkjson // strings always can
	return text
}

// Of tells which resync made a hint; empty: none did.
func Of(e item.Event) string {
	if e.Type != EventType {
		return ""
	}
	var b body
	if json.Unmarshal(e.Payload, &b) != nil {
		return ""
	}
	_, id, _ := strings.Cut(b.Resync, "/resyncs/")
	return id
}
