package deskhook

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// tell puts what there is into words.
func (k *Keeper) tell(n noted, wanted map[string]item.DeskHook, err error, r *Report) {
	var refused, absent, served []string
	told := map[string]bool{}
	why := ""
	for _, key := range slices.Sorted(maps.Keys(wanted)) {
		h, there := n.Hooks[key]
		what := "the status"
		if status := wanted[key].Status; status != "" {
			what = fmt.Sprintf("%q", status)
		}
		switch {
		case there && h.ID != 0 && h.Refusal == "":
			served = append(served, what)
			told[what] = true
		case there:
			refused = append(refused, what)
			why = h.Refusal
		default:
			absent = append(absent, what)
		}
	}
	// A status belongs to some of the processes; one that no process has is a mistake.
	refused = slices.DeleteFunc(refused, func(what string) bool { return told[what] })
	slices.Sort(refused)
	refused = slices.Compact(refused)
	f := item.Finding{Check: check, Severity: item.Warning}
	switch {
	case err != nil:
		*r = k.untold(err)
		return
	case len(wanted) == 0:
		f.Detail = fmt.Sprintf("No ticket of service %s tells its process yet, so there are no webhooks and changes are found by polls.", k.Service)
		f.Remedy = "Nothing need be done: Tandem makes them once there is a ticket; or set process in the connector's settings."
	case len(refused) > 0:
		f.Detail = fmt.Sprintf("Alvao takes no webhook for %s, so such changes are found by polls: %s", strings.Join(refused, " and "), why)
		f.Remedy = "Compare the spelling with the statuses of the process in Alvao, and give the account the right to manage webhooks."
		r.Failed = true
	case len(absent) > 0:
		f.Detail = fmt.Sprintf("There is no webhook for %s yet.", strings.Join(absent, " and "))
		f.Remedy = "Nothing need be done: Tandem makes it at its next look."
	case n.Strays+len(n.Left) > 0:
		f.Detail = fmt.Sprintf("%d webhooks tell of changes at once, and Alvao may have %d more of this connector that Tandem can't remove.", len(served), n.Strays+len(n.Left))
		f.Remedy = fmt.Sprintf("Nothing need be done; to have none twice, remove all that lead to /hooks/alvao/%s in Alvao's administration, and Tandem makes those anew that it needs within a day.", k.Connector)
	default:
		f.Severity = item.OK
		f.Detail = fmt.Sprintf("%d webhooks at Alvao tell of changed statuses at once.", len(served))
		if _, one := wanted[fieldKey]; one {
			f.Detail = "One webhook at Alvao tells of every changed status at once."
		}
	}
	r.Finding = f
}

// untold is the report where the webhooks could not be seen to.
func (k *Keeper) untold(err error) Report {
	f := item.Finding{Check: check, Severity: item.Warning}
	failed := true
	switch fault.KindOf(err) {
	case fault.NotFound:
		// The resource is missing, which is no failure of anybody's.
		failed = false
		f.Detail = "Alvao offers no webhooks at " + k.Tenant + ", so changed statuses are found by polls, within the poll interval."
		f.Remedy = "Ask Alvao for the webhooks of its REST API, or import the Alvao application that comes with Tandem; without either everything works, only later."
	case fault.Denied, fault.Invalid, fault.Refused:
		f.Detail = "Tandem may not manage webhooks at Alvao, so changed statuses are found by polls: " + fault.Sentence(err)
		f.Remedy = fmt.Sprintf("Give the account the right to manage webhooks; or set manageHooks to false under alvao, and enter the webhooks by hand with the address that the command synccore hooks prints for %s.", k.Connector)
	default:
		f.Detail = "Alvao's webhooks can't be looked after at present: " + fault.Sentence(err)
		f.Remedy = "Tandem tries it again by itself."
	}
	return Report{Finding: f, Failed: failed}
}
