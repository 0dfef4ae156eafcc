package config

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/tandem-sync/tandem/services/synccore/internal/crossing"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// The words for what crosses.
const (
	onlyAll       = "all"
	onlyVisible   = "visibleToRequester"
	toAzureDevOps = "toAzureDevOps"
	toAlvao       = "toAlvao"
)

// crossing reads which messages and files cross.
func (r *reader) crossing(messages object) crossing.Rules {
	rules := crossing.Rules{
		OffToAzureDevOps: !r.flag(messages.get(toAzureDevOps), true),
		OffToAlvao:       !r.flag(messages.get(toAlvao), true),
		OnlyVisible:      r.choice(messages.get("only"), []string{onlyAll, onlyVisible}, onlyAll) == onlyVisible,
	}
	if at := messages.get("kinds"); !at.absent() {
		rules.Kinds = r.kinds(at)
	}
	list := messages.get("rules")
	for i, v := range r.list(list) {
		if i == crossing.MaxRules {
			r.report(v, fmt.Sprintf("there are more than %d rules", crossing.MaxRules), "Join some by patterns such as (this|that)")
			break
		}
		rules.List = append(rules.List, r.rule(v))
	}
	rules.Files = r.files(messages.get("files"))
	return rules
}

func (r *reader) rule(v value) crossing.Rule {
	var rule crossing.Rule
	o, ok := r.object(v, ruleKeys())
	if !ok {
		return rule
	}
	if at := o.get("cross"); at.absent() {
		r.missing(o, "cross", "Write cross: true or cross: false")
	} else {
		rule.Cross = r.flag(at, false)
	}
	switch r.choice(o.get("direction"), directionWords(), "") {
	case toAzureDevOps:
		rule.To = item.AzureDevOps
	case toAlvao:
		rule.To = item.Alvao
	}
	if at := o.get("kinds"); !at.absent() {
		rule.Kinds = r.kinds(at)
	}
	if at := o.get("showToRequester"); !at.absent() {
		visible := r.flag(at, false)
		rule.Visible = &visible
	}
	if rule.To == item.Alvao && (len(rule.Kinds) > 0 || rule.Visible != nil) {
		r.report(v, "it never matches: kinds and showToRequester are of Alvao's records, and those go to Azure DevOps",
			"Remove them, or write direction: toAzureDevOps")
	}
	rule.Author = r.pattern(o.get("author"))
	rule.Text = r.pattern(o.get("text"))
	return rule
}

// pattern reads a regular expression.
func (r *reader) pattern(v value) crossing.Pattern {
	if v.absent() {
		return crossing.Pattern{}
	}
	text, ok := r.filled(v)
	if !ok {
		return crossing.Pattern{}
	}
	pattern, err := crossing.NewPattern(text)
	if err != nil {
		r.report(v, err.Error(), "Write a regular expression as RE2 knows it, such as (?i)#internal; it has no look-around and no back-references")
	}
	return pattern
}

func (r *reader) files(v value) crossing.Files {
	o, ok := r.object(v, filesKeys())
	if !ok {
		return crossing.Files{}
	}
	return crossing.Files{Allow: r.fileTypes(o.get("allow")), Deny: r.fileTypes(o.get("deny"))}
}

func (r *reader) fileTypes(v value) []crossing.FileType {
	const remedy = "Write endings such as pdf or tar.gz, and content types such as application/pdf or image/*"
	var types []crossing.FileType
	for i, one := range r.list(v) {
		if i == crossing.MaxTypes {
			r.report(one, fmt.Sprintf("there are more than %d types", crossing.MaxTypes), "Name content types such as image/* instead")
			break
		}
		text, ok := r.filled(one)
		if !ok {
			continue
		}
		t, err := crossing.NewFileType(text)
		if err != nil {
			r.report(one, strings.Replace(err.Error(), "it", fmt.Sprintf("%q", text), 1), remedy)
			continue
		}
		types = append(types, t)
	}
	if !v.absent() && v.node.Kind == yaml.SequenceNode && len(v.node.Content) == 0 {
		r.report(v, "it names no type", "Name at least one type, or remove the key")
	}
	return types
}

// addCrossing writes what crosses as it is read, but for what is as by default.
func addCrossing(node *yaml.Node, rules crossing.Rules) {
	if rules.OffToAzureDevOps {
		add(node, toAzureDevOps, false)
	}
	if rules.OffToAlvao {
		add(node, toAlvao, false)
	}
	if rules.OnlyVisible {
		add(node, "only", onlyVisible)
	}
	text := func(s string) *yaml.Node { return scalar("!!str", s) }
	if len(rules.Kinds) > 0 {
		add(node, "kinds", sequence(rules.Kinds, text))
	}
	if len(rules.List) > 0 {
		add(node, "rules", sequence(rules.List, ruleNode))
	}
	types := func(list []crossing.FileType) any {
		if len(list) == 0 {
			return nil
		}
		return sequence(list, func(t crossing.FileType) *yaml.Node { return text(string(t)) })
	}
	if files := objectNode("allow", types(rules.Files.Allow), "deny", types(rules.Files.Deny)); len(files.Content) > 0 {
		add(node, "files", files)
	}
}

func ruleNode(rule crossing.Rule) *yaml.Node {
	node := objectNode("cross", rule.Cross)
	switch rule.To {
	case item.AzureDevOps:
		add(node, "direction", toAzureDevOps)
	case item.Alvao:
		add(node, "direction", toAlvao)
	case item.Notices: // nothing crosses to there
	}
	if len(rule.Kinds) > 0 {
		add(node, "kinds", sequence(rule.Kinds, func(s string) *yaml.Node { return scalar("!!str", s) }))
	}
	if rule.Visible != nil {
		add(node, "showToRequester", *rule.Visible)
	}
	add(node, "author", given(rule.Author.String()))
	add(node, "text", given(rule.Text.String()))
	return node
}
