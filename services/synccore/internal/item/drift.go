package item

// DriftKind says what of a link differs from its sides.
type DriftKind string

// The kinds of drift.
const (
	// DriftState: status and state don't go together by the StatusMap.
	DriftState DriftKind = "state"
	// DriftMessages: something happened since messages were last compared.
	DriftMessages DriftKind = "messages"
	// DriftTicket and DriftWorkItem: one side is gone or moved, and the link does not know,
	// or it is back.
	DriftTicket   DriftKind = "ticket"
	DriftWorkItem DriftKind = "workItem"
	// DriftExternalID: the ticket carries another number.
	DriftExternalID DriftKind = "externalId"
	// DriftPending: something is under way.
	DriftPending DriftKind = "pending"
	// DriftBaseline: both sides go together, but not as the link remembers.
	DriftBaseline DriftKind = "baseline"
)

// Difference is one thing in which a link differs from its sides.
type Difference struct {
	Kind DriftKind
	// Detail says in one sentence what and why.
	Detail string
}

// Drift is how a link differs from its sides as they are now.
type Drift struct {
	Ticket, WorkItem int64
	// Status and State are empty where the side can't be read.
	Status, State string
	Differences   []Difference
}
