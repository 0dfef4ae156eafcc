package connector

import (
	"context"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/deskhook"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/subscription"
)

// newKeeper makes what sees to the service hooks; nil where that is a person's matter.
func (r *running) newKeeper() *subscription.Keeper {
	hooks := r.cfg.AzureDevOps.Hooks
	if !hooks.Managed() || r.clients.Hooks == nil {
		return nil
	}
	desk := ""
	if u, err := url.Parse(r.cfg.Alvao.URL); err == nil {
		desk = u.Host
	}
	return &subscription.Keeper{
		Connector: r.cfg.Name, Address: subscription.Address(hooks.PublicURL, r.cfg.Name), ProjectURL: r.cfg.Rules.Project.URL(), DeskHost: desk,
		Boards: r.clients.Hooks, Notes: r.deps.Origins, Leases: r.deps.Leases, Turn: r.turnKey(turnHooks),
		Password: r.clients.HookPassword, Now: r.deps.Now,
	}
}

// watchHooks sees to the service hooks, or looks how those fare that a person sees to,
// and asks for another look at what they may not have told.
func (r *running) watchHooks(ctx context.Context) {
	if r.health.allow(item.AzureDevOps) != nil {
		return
	}
	report := subscription.Report{}
	if r.keeper != nil {
		report = r.keeper.Once(ctx)
	} else {
		report.Findings = r.clients.WorkItems.CheckHooks(ctx)
	}
	if ctx.Err() != nil {
		return
	}
	for _, done := range report.Done {
		r.deps.Logger.InfoContext(ctx, "hooks.changed", slog.String("connector", r.cfg.Name), slog.String("change", done))
	}
	told := r.tellOfHooks(ctx, report)
	if report.Missed || (r.keeper == nil && told != "") {
		r.catchUp()
	}
}

// catchUp has the work items be polled now, since service hooks may not have told of
// events.
func (r *running) catchUp() {
	r.missed.Store(true)
	select {
	case r.changesNow <- struct{}{}:
	default:
	}
}

// checkHooks looks how the service hooks fare and changes none. Those that a person
// sees to are looked at with the rest of Azure DevOps.
func (r *running) checkHooks(ctx context.Context) []item.Finding {
	if r.keeper == nil {
		r.watchHooks(ctx)
		return nil
	}
	report := r.keeper.Look(ctx)
	if ctx.Err() == nil {
		r.tellOfHooks(ctx, report)
	}
	return report.Findings
}

// tellOfHooks has the connector's health and the log tell what was found, and gives the
// sentences.
func (r *running) tellOfHooks(ctx context.Context, report subscription.Report) string {
	var sentences []string
	for _, f := range report.Findings {
		switch f.Severity {
		case item.Error:
			return "" // it could not be looked up; the next look tells
		case item.Warning:
			sentences = append(sentences, f.Detail, f.Remedy)
		default:
		}
	}
	told := strings.Join(sentences, " ")
	r.health.count(report.Statuses)
	switch news := r.health.limit(item.AzureDevOps, told); {
	case news && told != "":
		r.deps.Logger.WarnContext(ctx, "connector.degraded", slog.String("connector", r.cfg.Name), slog.String("reason", told))
	case news:
		r.deps.Logger.InfoContext(ctx, "connector.hooks", slog.String("connector", r.cfg.Name))
	}
	return told
}

// newDeskKeeper makes what sees to the webhooks at Alvao; nil where that is a person's
// matter.
func (r *running) newDeskKeeper() *deskhook.Keeper {
	hooks := r.cfg.Alvao.Hooks
	if !hooks.Managed() || r.clients.DeskHooks == nil {
		return nil
	}
	return &deskhook.Keeper{
		Connector: r.cfg.Name, Tenant: r.cfg.Alvao.URL, Service: r.cfg.Alvao.Service, Process: r.cfg.Alvao.Process,
		Statuses: statusesOf(r.cfg.Rules.Statuses), Desk: r.clients.DeskHooks, Notes: r.deps.Origins, Leases: r.deps.Leases,
		Turn: r.turnKey(turnDeskHooks), Now: r.deps.Now,
		Address: func() (string, error) {
			token, err := r.clients.DeskToken()
			return deskhook.Address(hooks.PublicURL, r.cfg.Name, token), err
		},
	}
}

// watchDeskHooks sees to the webhooks at Alvao, and has the tickets be polled where they
// may not have told of changes.
func (r *running) watchDeskHooks(ctx context.Context) {
	if r.health.allow(item.Alvao) != nil {
		return
	}
	report := r.deskKeeper.Once(ctx)
	if ctx.Err() != nil || report.Finding.Check == "" {
		return
	}
	for _, done := range report.Done {
		r.deps.Logger.InfoContext(ctx, "hooks.changed", slog.String("connector", r.cfg.Name), slog.String("change", done))
	}
	r.tellOfDeskHooks(ctx, report)
	if report.Missed {
		r.deskMissed.Store(true)
		select {
		case r.ticketsNow <- struct{}{}:
		default:
		}
	}
}

// checkDeskHooks looks how the webhooks at Alvao fare and changes none.
func (r *running) checkDeskHooks(ctx context.Context) []item.Finding {
	if r.deskKeeper == nil {
		return nil
	}
	return []item.Finding{r.deskKeeper.Look(ctx).Finding}
}

func (r *running) tellOfDeskHooks(ctx context.Context, report deskhook.Report) {
	told := ""
	if report.Failed {
		told = report.Finding.Detail + " " + report.Finding.Remedy
	}
	switch news := r.health.limit(item.Alvao, told); {
	case news && told != "":
		r.deps.Logger.WarnContext(ctx, "connector.degraded", slog.String("connector", r.cfg.Name), slog.String("reason", told))
	case news:
		r.deps.Logger.InfoContext(ctx, "connector.hooks", slog.String("connector", r.cfg.Name))
	}
}

// retireTime is how long removing the webhooks of a connector that is no more may take.
const retireTime = 15 * time.Second

// retire removes what Tandem made at the systems for a connector that is no more. It must
// have been halted.
func (r *running) retire(ctx context.Context) {
	if r.deskKeeper == nil || r.health.allow(item.Alvao) != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, retireTime)
	defer cancel()
	err := r.deskKeeper.Retire(ctx)
	if err != nil && !fault.Is(err, fault.Conflict) {
		r.deps.Logger.WarnContext(ctx, "hooks.left", slog.String("connector", r.cfg.Name), slog.String("error", err.Error()))
	}
}
