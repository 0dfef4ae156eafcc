package connector

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

const (
	// expiryNotice is how long before its end a credential is warned of.
	expiryNotice = 14 * 24 * time.Hour
	// expiryEvery is how often the log tells of it.
	expiryEvery = 24 * time.Hour
)

// Expiry is when the secret that opens a system ends.
type Expiry struct {
	System item.System
	At     time.Time
}

// expiries lists the ends that are known.
func (r *running) expiries() []Expiry {
	if r.clients.Expiry == nil {
		return nil
	}
	var known []Expiry
	for _, system := range []item.System{item.Alvao, item.AzureDevOps} {
		if at := r.clients.Expiry(system); !at.IsZero() {
			known = append(known, Expiry{System: system, At: at})
		}
	}
	return known
}

// warnOfExpiry tells the log of what ends soon.
func (r *running) warnOfExpiry(ctx context.Context) {
	now := r.deps.Now()
	for _, one := range r.expiries() {
		if one.At.Sub(now) <= expiryNotice {
			r.deps.Logger.WarnContext(ctx, "connector.expiry", slog.String("connector", r.cfg.Name),
				slog.String("system", string(one.System)), slog.Time("expires", one.At), slog.String("detail", one.finding(now).Detail))
		}
	}
}

// checkExpiry tells how long the credentials are good for.
func (r *running) checkExpiry() []item.Finding {
	now := r.deps.Now()
	var found []item.Finding
	for _, one := range r.expiries() {
		found = append(found, one.finding(now))
	}
	return found
}

func (e Expiry) finding(now time.Time) item.Finding {
	check, what, place := "alvao.expiry", "The credential for Alvao", "alvao.credentials"
	if e.System == item.AzureDevOps {
		check, what, place = "azure-devops.expiry", "The access token for Azure DevOps", "accessTokens"
	}
	day := e.At.UTC().Format(time.DateOnly)
	left := e.At.Sub(now)
	f := item.Finding{Check: check, Severity: item.OK, Detail: fmt.Sprintf("%s is good until %s.", what, day)}
	switch {
	case left <= 0:
		f.Severity, f.Detail = item.Error, fmt.Sprintf("%s ended on %s.", what, day)
	case left <= expiryNotice:
		f.Severity, f.Detail = item.Warning, fmt.Sprintf("%s ends on %s, in %s.", what, day, days(left))
	default:
		return f
	}
	f.Remedy = fmt.Sprintf("Make a new one, put it in the place that %s names, and correct expires beside it.", place)
	return f
}

func days(left time.Duration) string {
	switch n := int(left / (24 * time.Hour)); n {
	case 0:
		return "less than a day"
	case 1:
		return "1 day"
	default:
		return fmt.Sprintf("%d days", n)
	}
}
