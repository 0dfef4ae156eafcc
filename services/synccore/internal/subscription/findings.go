package subscription

import (
	"cmp"
	"fmt"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/hookkey"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// check is the name of what is looked at; package azuredevops looks at the same where
// hooks are a person's matter.
const check = "azure-devops.hooks"

// other is the name for statuses that are not known.
const other = "other"

// names are the names of the statuses in a Report.
func names() map[item.HookStatus]string {
	return map[item.HookStatus]string{
		item.HookEnabled: "enabled", item.HookOnProbation: "on_probation", item.HookDisabledBySystem: "disabled_by_system",
		item.HookDisabledByInactiveIdentity: "disabled_by_inactive_identity", item.HookDisabledByUser: "disabled_by_user",
		missing: "missing", "": other,
	}
}

// report puts a decision, and what became of it, into words. A nil failed tells that
// nothing was tried.
func (k *Keeper) report(d decision, failed map[string]error, done []string) Report {
	r := Report{Statuses: Statuses(), Missed: d.missed, Done: done}
	planned := map[string]bool{}
	for _, c := range d.changes {
		planned[c.event] = true
	}
	byHand, toldByHand := 0, false
	for _, s := range d.standings {
		if s.byHand {
			byHand++
		}
		tried := failed != nil && planned[s.event] && failed[s.event] == nil
		status := s.status
		if tried && (status == missing || status == item.HookDisabledByInactiveIdentity) {
			// Unlike one whose deliveries failed, a new one is in order until it is seen not to be.
			status = item.HookEnabled
		}
		r.Statuses[cmp.Or(names()[status], other)]++
		f, told := k.finding(s, planned[s.event], failed != nil, failed[s.event])
		// A right that is missing is missing for all.
		steps := f.Remedy == k.byHand()
		if told && (!steps || !toldByHand) {
			r.Findings = append(r.Findings, f)
		}
		toldByHand = toldByHand || steps
	}
	if len(r.Findings) == 0 {
		detail := fmt.Sprintf("All %d service hooks of this connector are switched on.", len(d.standings))
		if byHand > 0 {
			detail = fmt.Sprintf("All %d service hooks of this connector are switched on; a person set %d of them up.", len(d.standings), byHand)
		}
		r.Findings = []item.Finding{{Check: check, Severity: item.OK, Detail: detail}}
	}
	return r
}

// finding tells of one event, unless all is well with it.
func (k *Keeper) finding(s standing, planned, acted bool, err error) (item.Finding, bool) {
	f := item.Finding{Check: check, Severity: item.Warning}
	if err != nil {
		f.Detail = fmt.Sprintf("The service hook for %s could not be put in order: %s", s.event, fault.Sentence(err))
		f.Remedy = "Tandem tries it again by itself."
		if fault.Is(err, fault.Denied) || fault.Is(err, fault.BadToken) || fault.Is(err, fault.Invalid) || fault.Is(err, fault.Refused) {
			f.Detail = "Tandem could not put the service hooks in order: " + fault.Sentence(err)
			f.Remedy = k.byHand()
		}
		return f, true
	}
	soon := "Tandem puts it in order at its next look."
	if acted {
		soon = "Tandem switched it on again."
	}
	if !s.until.IsZero() {
		soon = fmt.Sprintf("Tandem switches it on again after %s.", s.until.UTC().Format(time.TimeOnly+" MST"))
	}
	reach := fmt.Sprintf("See that Azure DevOps reaches %s and is not turned away there; %s", k.Address, soon)
	switch s.status {
	case item.HookOnProbation:
		f.Detail = fmt.Sprintf("The service hook for %s was put on probation because deliveries failed, so events are late or lost.", s.event)
		f.Remedy = reach
	case item.HookDisabledBySystem:
		f.Detail = fmt.Sprintf("The service hook for %s was switched off by Azure DevOps because deliveries failed.", s.event)
		f.Remedy = reach
	case item.HookDisabledByUser:
		f.Detail = fmt.Sprintf("The service hook for %s was switched off by a person, so Tandem leaves it off and hears of such changes late.", s.event)
		f.Remedy = fmt.Sprintf("Switch it on at %s/_settings/serviceHooks.", k.ProjectURL)
	case item.HookDisabledByInactiveIdentity, missing:
		if acted {
			return f, false
		}
		f.Detail = fmt.Sprintf("There is no service hook for %s that works.", s.event)
		f.Remedy = "Nothing need be done: Tandem creates one at its next look."
	case item.HookEnabled:
		if !planned && s.until.IsZero() || acted && planned {
			return f, false
		}
		f.Detail = fmt.Sprintf("The service hook for %s differs from what Tandem needs.", s.event)
		f.Remedy = "Nothing need be done: Tandem changes it by itself."
	default:
		f.Detail = fmt.Sprintf("The service hook for %s is %q, which Tandem does not know, so it leaves it as it is.", s.event, string(s.status))
		f.Remedy = fmt.Sprintf("Look at it under %s/_settings/serviceHooks.", k.ProjectURL)
	}
	return f, true
}

// unlisted is the finding where the hooks can't be listed. Nothing is changed then.
func (k *Keeper) unlisted(err error) *item.Finding {
	switch fault.KindOf(err) {
	case fault.Denied, fault.BadToken, fault.NotFound, fault.Misconfigured, fault.Invalid, fault.Refused:
		return &item.Finding{
			Check: check, Severity: item.Warning,
			Detail: "The access token may not manage service hooks, so Tandem can't see to it that Azure DevOps tells of changes at once.",
			Remedy: k.byHand(),
		}
	case fault.Internal, fault.Throttled, fault.Unavailable, fault.Conflict, fault.Busy:
	default:
	}
	return &item.Finding{
		Check: check, Severity: item.Error,
		Detail: "The service hooks can't be looked at, so none is created, changed or removed: " + fault.Sentence(err),
		Remedy: "Tandem tries it again by itself.",
	}
}

// byHand says how a person does what Tandem may not do.
func (k *Keeper) byHand() string {
	return fmt.Sprintf("Give its account the right to view and edit service hook subscriptions; or set manageHooks to false, create at %s/_settings/serviceHooks "+
		"one subscription of Web Hooks each for Work item created, updated, commented on, deleted and restored, without filters, with the URL %s, "+
		"the user name %s, the password that the command synccore hooks prints, Resource details to send All, and messages None.",
		k.ProjectURL, k.Address, hookkey.AzureDevOpsUser)
}
