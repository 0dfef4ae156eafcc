package config

import "github.com/tandem-sync/tandem/services/synccore/internal/mapping"

// WithSettings is the connector with other settings, given as JSON or YAML in the form
// of Alvao's field, to try them. It fails with Problems, all at once; whether there is
// the access token that they name is not asked.
func (c Connector) WithSettings(text string) (Connector, error) {
	r := &reader{file: "settings"}
	root, ok := r.parse(newDocument([]byte(text), nil), "")
	if ok {
		_, fresh := defaults()
		policy := mapping.Policy{Conflict: c.Rules.Conflict, ExistingTickets: c.Rules.ExistingTickets}
		c.Settings, c.Rules = r.settings(root, fresh.Settings, policy, func(value, string) {})
	}
	r.problems.sort()
	if fatal, _ := r.problems.split(); len(fatal) > 0 {
		return Connector{}, fatal
	}
	return c, nil
}
