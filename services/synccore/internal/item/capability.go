package item

// Support says whether a system offers a capability.
type Support string

// The kinds of support.
const (
	// Offered: it was tried and works.
	Offered Support = "offered"
	// Missing: it was tried and does not work; a fallback is in use, if there is one.
	Missing Support = "missing"
	// Unknown: it could not be tried.
	Unknown Support = "unknown"
)

// Capability is something that not every tenant of a system offers, and what is done
// without.
type Capability struct {
	// Name is the capability's own, e.g. "alvao.log"; it does not change.
	Name string
	// Title says in a few words what it is.
	Title   string
	Support Support
	// Found says how that was found out.
	Found string
	// Fallback says what is used instead; empty where it is offered, or where there is
	// nothing to use.
	Fallback string
	// Cost is one sentence: what it costs, and which promise can't be kept; empty where
	// nothing is lost.
	Cost string
	// Ask is one sentence: what to ask the vendor for, or to change; empty where nothing
	// need be.
	Ask string
}
