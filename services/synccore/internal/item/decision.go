package item

import "time"

// Said is what a rule said when an item was looked at.
type Said string

// The verdicts of rules.
const (
	// SaidPass: the rule had nothing against going on.
	SaidPass Said = "pass"
	// SaidStop: the rule is why nothing was written.
	SaidStop Said = "stop"
	// SaidAct: the rule asked for a write.
	SaidAct Said = "act"
)

// Verdict is what one rule said.
type Verdict struct {
	// Rule names the rule, e.g. "service", "status-map", "parked".
	Rule string `json:"r"`
	Said Said   `json:"s"`
	// Detail is one sentence: what the rule looked at.
	Detail string `json:"d"`
}

// Decision is what one look at an item came to.
type Decision struct {
	Time time.Time `json:"t"`
	// Event is why it was looked, in the sender's words.
	Event string `json:"e,omitempty"`
	// Outcome is what became of the event: done, forwarded, retry or dead-letter.
	Outcome string `json:"o"`
	// Reason is one sentence: why nothing more was done.
	Reason string `json:"w,omitempty"`
	// Steps are the kinds of the steps that were taken.
	Steps []string `json:"k,omitempty"`
	// Writes counts the writes to either system.
	Writes int `json:"n,omitempty"`
	// Rules are the rules that were asked, in their order.
	Rules   []Verdict `json:"v,omitempty"`
	TraceID string    `json:"c,omitempty"`
}
