package app

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/api"
	"github.com/tandem-sync/tandem/services/synccore/internal/config"
	"github.com/tandem-sync/tandem/services/synccore/internal/connector"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// Link implements api.Connectors.
func (d describer) Link(ctx context.Context, name string, ticket, workItem int64, dry bool) (item.Link, error) {
	return d.set.Link(ctx, name, ticket, workItem, dry)
}

// mappings tries settings in the API's words.
type mappings struct{ set *connector.Set }

// Preview implements api.Mappings.
func (m mappings) Preview(ctx context.Context, name string, ticket int64, sample *item.Ticket, message, settings string) (api.Rendering, error) {
	var madeUp *connector.Sample
	if sample != nil {
		madeUp = &connector.Sample{Ticket: *sample, Message: message}
	}
	got, err := m.set.Preview(ctx, name, ticket, madeUp, settings)
	if err != nil {
		return api.Rendering{}, ofSettings(err)
	}
	out := api.Rendering{Ticket: got.Ticket.ID, TicketURL: got.Draft.TicketURL, Draft: got.Draft, States: got.States, Doubts: got.Doubts}
	if got.Draft.Reporter != nil {
		out.Reporter = got.Draft.Reporter.UniqueName
	}
	return out, nil
}

// Examples implements api.Mappings.
func (m mappings) Examples(ctx context.Context, name string) ([]map[string]any, []map[string]any, error) {
	got, err := m.set.Examples(ctx, name)
	return got.Tickets, got.WorkItems, err
}

// Compare implements api.Mappings.
func (m mappings) Compare(ctx context.Context, name, settings string, since time.Time, most int) (api.Comparison, error) {
	got, err := m.set.Compare(ctx, name, settings, since, most)
	if err != nil {
		return api.Comparison{}, ofSettings(err)
	}
	out := api.Comparison{Tickets: got.Tickets, Differing: got.Differing, Truncated: got.Truncated}
	for _, one := range got.Differences {
		out.Differences = append(out.Differences, api.Difference{Ticket: one.Ticket, Field: one.Field, Present: one.Present, Draft: one.Draft})
	}
	return out, nil
}

// ofSettings gives problems of settings in the API's words.
func ofSettings(err error) error {
	problems, ok := errors.AsType[config.Problems](err)
	if !ok {
		return err
	}
	wrong := &api.SettingsError{}
	for _, p := range problems {
		text := strings.TrimSuffix(p.Text, ".")
		if p.Remedy != "" {
			text += ": " + strings.TrimSuffix(p.Remedy, ".")
		}
		wrong.Problems = append(wrong.Problems, [2]string{strings.TrimPrefix(p.Path, "."), text})
	}
	return wrong
}
