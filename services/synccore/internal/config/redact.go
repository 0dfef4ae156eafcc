package config

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/tandem-sync/tandem/services/synccore/internal/redact"
)

// redact reads what is taken out of texts that cross.
func (r *reader) redact(v value, d Redact) Redact {
	o, ok := r.object(v, redactKeys())
	if !ok {
		return d
	}
	d.Shipped = r.flag(o.get("shipped"), d.Shipped)
	names := shippedNames()
	for _, one := range r.list(o.get("except")) {
		if name := r.choice(one, names, ""); name != "" {
			d.Except = append(d.Except, name)
		}
	}
	if at := o.get("directions"); !at.absent() {
		d.OffToAzureDevOps, d.OffToAlvao = true, true
		for _, one := range r.list(at) {
			switch r.choice(one, directionWords(), "") {
			case toAzureDevOps:
				d.OffToAzureDevOps = false
			case toAlvao:
				d.OffToAlvao = false
			}
		}
	}
	for i, one := range r.list(o.get("patterns")) {
		if i == redact.MaxPatterns {
			r.report(one, fmt.Sprintf("there are more than %d patterns", redact.MaxPatterns), "Join some as in (this|that)")
			break
		}
		if pattern, ok := r.redactPattern(one); ok {
			d.Patterns = append(d.Patterns, pattern)
		}
	}
	return d
}

func (r *reader) redactPattern(v value) (redact.Pattern, bool) {
	o, ok := r.object(v, redactPatternKeys())
	if !ok {
		return redact.Pattern{}, false
	}
	name, named := r.needed(o, "name", "Say what people read in its place, such as customer number")
	text, written := r.needed(o, "pattern", `Write a regular expression as RE2 knows it, such as \bKD-[0-9]{8}\b`)
	if !named || !written {
		return redact.Pattern{}, false
	}
	pattern, err := redact.NewPattern(name, text)
	if err != nil {
		at := o.get("pattern")
		if strings.HasPrefix(err.Error(), "the name") {
			at = o.get("name")
		}
		r.report(at, err.Error(), `Write it as in {name: customer number, pattern: '\bKD-[0-9]{8}\b'}; RE2 has no look-around and no back-references`)
		return redact.Pattern{}, false
	}
	return pattern, true
}

func redactNode(d Redact) *yaml.Node {
	node := objectNode("shipped", d.Shipped)
	text := func(s string) *yaml.Node { return scalar("!!str", s) }
	if len(d.Except) > 0 {
		add(node, "except", sequence(d.Except, text))
	}
	if d.OffToAzureDevOps || d.OffToAlvao {
		var on []string
		if !d.OffToAzureDevOps {
			on = append(on, toAzureDevOps)
		}
		if !d.OffToAlvao {
			on = append(on, toAlvao)
		}
		add(node, "directions", sequence(on, text))
	}
	if len(d.Patterns) > 0 {
		add(node, "patterns", sequence(d.Patterns, func(p redact.Pattern) *yaml.Node {
			return objectNode("name", p.Name(), "pattern", p.String())
		}))
	}
	return node
}
