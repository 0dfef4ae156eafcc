package azuredevops

import (
	"net/http"
	"strings"
	"time"
)

// What Azure DevOps Services allow an identity: 200 throughput units (TSTU) within any
// five minutes (rate limits page). What a call costs is not documented; an item read
// was seen to cost about 0.01, creating a subscription 0.07 (azure-devops.md §3.3).
const (
	BudgetUnits  = 200
	BudgetWindow = 5 * time.Minute
	ReadUnits    = 0.01
	WriteUnits   = 0.05
)

// EntraResource is what a token of Microsoft Entra is asked for, everywhere (Azure
// DevOps: service principals and managed identities page).
const EntraResource = "499b84ac-1321-427f-aa17-267ca6975798"

// WhoseAnswer is the id of the identity that an answer's headers tell it was made for,
// by whom Azure DevOps counts; empty if they don't (azure-devops.md §3.1).
func WhoseAnswer(h http.Header) string {
	id, _, _ := strings.Cut(h.Get("X-Vss-Userdata"), ":")
	return strings.ToLower(strings.TrimSpace(id))
}

// Hosted tells whether an address is one of Azure DevOps Services, where limits hold
// that a server of one's own does not have.
func Hosted(projectURL string) bool {
	at, err := parseAddress(projectURL)
	return err == nil && at.organization != ""
}
