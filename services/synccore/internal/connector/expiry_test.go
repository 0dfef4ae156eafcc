package connector

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/config"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

func TestExpiryIsToldTwoWeeksAhead(t *testing.T) {
	t.Parallel()
	end := time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	for _, tc := range []struct {
		left     time.Duration
		severity item.Severity
		words    string
	}{
		{90 * day, item.OK, "is good until 2027-01-31"},
		{14*day + time.Second, item.OK, "is good until 2027-01-31"},
		{14 * day, item.Warning, "ends on 2027-01-31, in 14 days"},
		{day, item.Warning, "in 1 day."},
		{time.Hour, item.Warning, "in less than a day"},
		{0, item.Error, "ended on 2027-01-31"},
		{-day, item.Error, "ended on 2027-01-31"},
	} {
		var log bytes.Buffer
		r := &running{
			cfg: config.Connector{Name: "development"},
			deps: Deps{
				Now:    func() time.Time { return end.Add(-tc.left) },
				Logger: slog.New(slog.NewJSONHandler(&log, nil)),
			},
			clients: Clients{Expiry: func(system item.System) time.Time {
				if system == item.AzureDevOps {
					return end
				}
				return time.Time{}
			}},
		}
		found := r.checkExpiry()
		if len(found) != 1 || found[0].Check != "azure-devops.expiry" || found[0].Severity != tc.severity || !strings.Contains(found[0].Detail, tc.words) {
			t.Errorf("%s before: %+v", tc.left, found)
			continue
		}
		if (found[0].Remedy == "") != (tc.severity == item.OK) {
			t.Errorf("%s before: the remedy is %q", tc.left, found[0].Remedy)
		}
		r.warnOfExpiry(t.Context())
		if told := strings.Contains(log.String(), `"msg":"connector.expiry"`); told != (tc.severity != item.OK) {
			t.Errorf("%s before, the log says %q", tc.left, log.String())
		}
		r.clients.Expiry = nil
		if found := r.checkExpiry(); len(found) != 0 {
			t.Errorf("of what is not known: %+v", found)
		}
	}
}
