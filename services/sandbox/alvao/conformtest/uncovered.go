package conformtest

// Mark says how sure it is that a call exists as it is used (alvao.md's legend).
type Mark string

// The marks.
const (
	Fact       Mark = "FACT"
	Assumption Mark = "ASSUMPTION"
)

// Uncovered is a call that Alvao's document does not have.
type Uncovered struct {
	// Operation is as in [Outcome].
	Operation string
	Mark      Mark
	// Evidence says where it is seen, or what is built on if it does not exist.
	Evidence string
}

// UncoveredCalls are all that sync-core makes and the document does not have.
func UncoveredCalls() []Uncovered {
	return []Uncovered{
		{
			"GET /v1/tickets", Fact,
			"§2: two third-party clients in production list tickets with $filter, $orderby, $top and $count; $skip and @odata.nextLink are assumed (§1.3)",
		},
		{
			"GET /v1/tickets/{id}/log", Assumption,
			"§2.4: the document has POST alone; without it messages come from the Alvao application, or don't cross",
		},
		{
			"GET /v1/services", Assumption,
			"§2: the catalogue is a resource whose path and shape nobody tells; without it a service's processes are those of its tickets",
		},
		{
			"GET " + Link, Assumption,
			"§2.5: the form of attachments[].link is not told; whatever it is, it is called on Alvao's own host alone",
		},
	}
}
