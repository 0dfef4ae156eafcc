package config

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
)

// settings reads the content of Alvao's "Connector Settings" field, an object or a
// text that holds one, and compiles it. Index is called with the number of the
// access token.
func (r *reader) settings(v value, s mapping.Settings, policy mapping.Policy, index func(at value, index string)) (mapping.Settings, mapping.Rules) {
	rules := mapping.Rules{Conflict: policy.Conflict, ExistingTickets: policy.ExistingTickets}
	v, ok := r.embedded(v)
	if !ok {
		return s, rules
	}
	o, ok := r.object(v, settingsKeys())
	if !ok {
		return s, rules
	}
	// Only keys that could be read are worth a second opinion.
	readable := map[string]bool{}
	places := map[string]place{}
	text := func(key, remedy string) string {
		content, found := r.needed(o, key, remedy)
		readable[key] = found
		return content
	}
	s.ConnectorType = text("ConnectorType", "Write AzureDevOps")
	s.URL = text("URL", "Write the address of the Azure DevOps project, as in https://dev.azure.com/contoso/Alvaoproject")
	if at := o.get("AccessToken"); at.absent() {
		r.missing(o, "AccessToken", `Write the number of a token of accessTokens, usually "0"`)
	} else if s.AccessToken, ok = r.tokenNumber(at); ok {
		index(at, s.AccessToken)
	}
	entries, ok := r.texts(o, "AttributeMap", "Say which fields a work item gets, at least System.Title and System.WorkItemType", places)
	readable["AttributeMap"] = ok
	for _, e := range entries {
		s.AttributeMap = append(s.AttributeMap, mapping.AttributeText{Field: e.key, Value: e.value.node.Value})
	}
	entries, ok = r.texts(o, "StatusMap", `Say which status each state stands for, as in {"To Do": "Development"}`, places)
	readable["StatusMap"] = ok
	for _, e := range entries {
		s.StatusMap = append(s.StatusMap, item.Pair{State: e.key, Status: e.value.node.Value})
	}
	s.SyncCommunication = r.flag(o.get("SyncCommunication"), s.SyncCommunication)
	// The manual's sample and its legend differ in the key's name; the legend wins.
	s.OpenCommand = r.flag(o.get("DisplayOpenExternalCommand"), s.OpenCommand)
	s.OpenCommand = r.flag(o.get("ShowOpenExternalTicketCommand"), s.OpenCommand)
	if at := o.get("TicketReporter"); !at.absent() {
		var name string
		if name, readable["TicketReporter"] = r.filled(at); name != "" {
			s.TicketReporter = name
		}
	}
	for _, e := range o.entries {
		places[e.key] = place{entry: e}
	}
	rules, problems := mapping.Compile(s, policy)
	for _, p := range problems {
		if !readable[p.Path[0]] {
			continue
		}
		where, ok := places[strings.Join(p.Path, "\x00")]
		if !ok {
			where = places[p.Path[0]]
		}
		node := where.value.node
		if p.AtKey {
			node = where.name
		}
		r.reportAt(where.value, node, p.Offset, p.Text, p.Remedy, p.Warning)
	}
	return s, rules
}

// place is where a key of the settings stands.
type place struct{ entry }

// tokenNumber reads the number of a token, written as a number or as text.
func (r *reader) tokenNumber(v value) (string, bool) {
	const remedy = `Write the number of a token of accessTokens, usually "0"`
	if v.node.Kind != yaml.ScalarNode || (v.node.Tag != "!!str" && v.node.Tag != "!!int") {
		r.report(v, "it is "+kindOf(v.node)+" where the number of a token is wanted", remedy)
		return "", false
	}
	number := strings.TrimSpace(v.node.Value)
	if !tokenIndex.MatchString(number) {
		text := strconv.Quote(number) + " is not the number of a token"
		if len(number) > 9 {
			// Somebody may have put the token itself here; it must not be repeated.
			text = "it is not the number of a token"
		}
		r.report(v, text, remedy)
		return "", false
	}
	return number, true
}

// texts reads an object of texts, or a text that holds one, in the order written.
func (r *reader) texts(settings object, key, remedy string, places map[string]place) ([]entry, bool) {
	v := settings.get(key)
	if v.absent() {
		r.missing(settings, key, remedy)
		return nil, false
	}
	v, ok := r.embedded(v)
	if !ok {
		return nil, false
	}
	o, ok := r.mapping(v, nil)
	if !ok {
		return nil, false
	}
	var entries []entry
	for _, e := range o.entries {
		if e.value.node.Kind == yaml.ScalarNode && (e.value.node.Tag == "!!int" || e.value.node.Tag == "!!float" || e.value.node.Tag == "!!bool") && key == "AttributeMap" {
			// A bare 2 or true in AttributeMap is a value like "2".
			entries = append(entries, e)
		} else if _, isText := r.text(e.value); isText {
			entries = append(entries, e)
		} else {
			ok = false
			continue
		}
		places[key+"\x00"+e.key] = place{entry: e}
	}
	return entries, ok
}
