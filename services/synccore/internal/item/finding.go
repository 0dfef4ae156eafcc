package item

// Severity says how bad a finding is.
type Severity string

// The severities, from right to wrong.
const (
	// OK: it was checked and is right.
	OK Severity = "ok"
	// Warning: the connector works, with a limit that the finding describes.
	Warning Severity = "warning"
	// Error: the connector can't do its work.
	Error Severity = "error"
)

// Finding is one result of checking a connector against the live systems.
type Finding struct {
	// Check is what was checked, e.g. "azure-devops.token".
	Check    string
	Severity Severity
	// Detail is one sentence: what was found.
	Detail string
	// Remedy is one sentence: what to do; empty for OK.
	Remedy string
}
