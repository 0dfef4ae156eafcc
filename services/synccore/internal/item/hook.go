package item

import "time"

// HookStatus says whether a service hook sends. A word that is not listed here is kept
// as the vendor wrote it.
type HookStatus string

// The statuses (Azure DevOps: service hooks 7.1, SubscriptionStatus), the healthiest
// first.
const (
	HookEnabled     HookStatus = "enabled"
	HookOnProbation HookStatus = "onProbation"
	// HookDisabledBySystem: deliveries failed for too long.
	HookDisabledBySystem HookStatus = "disabledBySystem"
	// HookDisabledByInactiveIdentity: who created it is not active any more.
	HookDisabledByInactiveIdentity HookStatus = "disabledByInactiveIdentity"
	// HookDisabledByUser: a person switched it off.
	HookDisabledByUser HookStatus = "disabledByUser"
)

// Hook is a service hook that posts events to an address, as it was listed. Its
// password is never shown.
type Hook struct {
	ID string
	// Event is what it tells of, e.g. workitem.updated.
	Event  string
	Status HookStatus
	// ProjectID is the GUID of its project; empty: all projects.
	ProjectID string
	// URL is where it posts to, User the user name that it sends.
	URL, User string
	// Narrowed tells that it has a filter and so does not tell of every such event.
	Narrowed bool
	// Bare tells that its events don't say which work item they are about.
	Bare bool
	// Plain tells that it sends what Tandem asks for, in that form.
	Plain   bool
	Created time.Time
}

// HookDraft is what a service hook is to be.
type HookDraft struct {
	Event, ProjectID, URL, User string
}

// DeskHook is what one of Alvao's built-in webhooks is to tell of: tickets that enter a
// status of a process, or tickets whose field changes.
type DeskHook struct {
	// URL is where it posts to; it holds a token and is a secret.
	URL string
	// Process and Status are the status that tickets enter; empty with Field.
	Process, Status string
	// Field is the number of the field that changes; 0: it is about a status.
	Field int64
	// Service restricts it to tickets of one service.
	Service string
}
