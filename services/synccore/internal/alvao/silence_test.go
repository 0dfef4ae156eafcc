package alvao_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	sandbox "github.com/tandem-sync/tandem/services/sandbox/alvao"
	"github.com/tandem-sync/tandem/services/synccore/internal/alvao"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// An application that tells nothing any more although tickets change is told as missing,
// with what to do; one of a service where nothing happens is not.
func TestSilentApplication(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		heard, active time.Duration // how long ago
		silent        bool
	}{
		"it told of late":              {heard: 25 * time.Hour, active: 0},
		"tickets change without it":    {heard: 60 * time.Hour, active: time.Hour, silent: true},
		"nothing happened either":      {heard: 60 * time.Hour, active: 59 * time.Hour},
		"the change was just after it": {heard: 60 * time.Hour, active: 35 * time.Hour},
	} {
		for _, filter := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				now := time.Now()
				pushed := &told{heard: now.Add(-tc.heard), records: []item.PushedRecord{pushedRecord(1, nil)}}
				w := open(t, func(o *sandbox.Options) {
					o.Tenant.LogUnreadable, o.Tenant.NoActivityFilter, o.Tenant.NoActivityOrder = true, !filter, !filter
					o.Now = func() time.Time { return now.Add(-tc.active) }
				}, func(o *alvao.Options) { o.Pushed = pushed })
				w.file(t, sandbox.NewTicket{Name: "Printer", Service: "Development"})
				able := w.Capabilities(t.Context())
				one := func(name string) item.Capability {
					return able[slices.IndexFunc(able, func(k item.Capability) bool { return k.Name == name })]
				}
				application, log := one(alvao.CapabilityApplication), one(alvao.CapabilityLog)
				if silent := application.Support == item.Missing; silent != tc.silent || silent != strings.Contains(log.Cost, "does not cross until the application tells again") {
					t.Fatalf("%+v\n%+v", application, log)
				}
				if !tc.silent {
					return
				}
				if !strings.Contains(application.Found, "although tickets changed since") || application.Fallback != "polls" ||
					!strings.Contains(application.Ask, "Enable the Tandem application") || log.Ask != application.Ask {
					t.Errorf("%+v\n%+v", application, log)
				}
				sentence(t, application.Ask)
				if found := w.Check(t.Context()); !slices.ContainsFunc(found, func(f item.Finding) bool {
					return f.Check == "alvao.log" && f.Severity == item.Warning && strings.Contains(f.Detail, "has told of none since")
				}) {
					t.Errorf("%+v", found)
				}
			})
		}
	}
}
