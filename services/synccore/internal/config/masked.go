package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/tandem-sync/tandem/services/synccore/internal/secret"
)

// Masked prints the configuration that is in effect, defaults included, as YAML.
// Secrets appear as references only. Its form is for people and for comparing.
func (c *Config) Masked() string {
	root := objectNode(
		"publicUrl", c.PublicURL,
		"resync", objectNode("interval", c.Resync.Interval.String()),
		"accessTokens", tokens(c.AccessTokens),
		"hookSecrets", sequence(c.HookSecrets, refNode),
		"allowVolatileRedis", c.AllowVolatileRedis,
		"callers", callersNode(c.Callers),
	)
	if c.Mail.Host != "" {
		add(root, "mail", mailNode(c.Mail))
	}
	add(root, "connectors", sequence(c.Connectors, connectorNode))
	var b strings.Builder
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode(root); err != nil {
		return fmt.Sprintf("# the configuration can't be printed: %v\n", err)
	}
	return b.String()
}

func connectorNode(c Connector) *yaml.Node {
	attributes, statuses := objectNode(), objectNode()
	for _, a := range c.Settings.AttributeMap {
		add(attributes, a.Field, a.Value)
	}
	for _, p := range c.Settings.StatusMap {
		add(statuses, p.State, p.Status)
	}
	node := objectNode(
		"name", c.Name,
		"alvao", objectNode(
			"url", c.Alvao.URL,
			"webUrl", c.Alvao.WebURL,
			"service", c.Alvao.Service,
			"process", given(c.Alvao.Process),
			"externalIdField", c.Alvao.ExternalIDField,
			"credentials", credentialsNode(c.Alvao.Credentials),
			"caFile", given(c.Alvao.CAFile),
			"timeZone", c.Alvao.Location.String(),
			"limit", objectNode("perSecond", c.Alvao.Limit.PerSecond, "concurrent", c.Alvao.Limit.Concurrent),
			"manageHooks", c.Alvao.Hooks.Managed(),
		),
		"azureDevOps", objectNode("apiVersion", given(c.AzureDevOps.APIVersion), "caFile", given(c.AzureDevOps.CAFile), "manageHooks", c.AzureDevOps.Hooks.Managed()),
		"settings", objectNode(
			"ConnectorType", c.Settings.ConnectorType,
			"URL", c.Rules.Project.URL(),
			"AccessToken", c.Settings.AccessToken,
			"AttributeMap", attributes,
			"StatusMap", statuses,
			"SyncCommunication", c.Settings.SyncCommunication,
			"ShowOpenExternalTicketCommand", c.Settings.OpenCommand,
			"TicketReporter", c.Settings.TicketReporter,
		),
		"conflict", string(c.Rules.Conflict),
		"pollInterval", c.PollInterval.String(),
		"existingTickets", string(c.Rules.ExistingTickets),
		"messages", messagesNode(c.Messages),
		"redact", redactNode(c.Redact),
		"brake", objectNode("share", shareOf(c.Brake.Share), "atLeast", c.Brake.AtLeast),
	)
	if c.Notice.Wanted() {
		add(node, "notice", noticeNode(c.Notice))
	}
	return node
}

func messagesNode(m Messages) *yaml.Node {
	history := historyAll
	if m.SinceLinked {
		history = historySinceLinked
	}
	node := objectNode("history", history, "showToRequester", m.ShowToRequester, "format", string(m.Format), "maxFile", sizeOf(m.MaxFile))
	addCrossing(node, m.Crossing)
	return node
}

// objectNode makes an object of keys and values, in that order.
func objectNode(pairs ...any) *yaml.Node {
	node := &yaml.Node{Kind: yaml.MappingNode}
	for i := 0; i+1 < len(pairs); i += 2 {
		add(node, fmt.Sprint(pairs[i]), pairs[i+1])
	}
	return node
}

func add(node *yaml.Node, key string, content any) {
	if content == nil {
		return
	}
	node.Content = append(node.Content, scalar("!!str", key))
	switch content := content.(type) {
	case *yaml.Node:
		node.Content = append(node.Content, content)
	case bool:
		node.Content = append(node.Content, scalar("!!bool", strconv.FormatBool(content)))
	case int:
		node.Content = append(node.Content, scalar("!!int", strconv.Itoa(content)))
	case float64:
		node.Content = append(node.Content, scalar("!!float", strconv.FormatFloat(content, 'f', -1, 64)))
	default:
		node.Content = append(node.Content, scalar("!!str", fmt.Sprint(content)))
	}
}

// given leaves out what the file may leave out.
func given(text string) any {
	if text == "" {
		return nil
	}
	return text
}

func scalar(tag, text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: text}
}

func sequence[T any](items []T, node func(T) *yaml.Node) *yaml.Node {
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for _, item := range items {
		list.Content = append(list.Content, node(item))
	}
	return list
}

func refNode(ref secret.Ref) *yaml.Node {
	node := objectNode()
	if ref.File != "" {
		add(node, "file", ref.File)
	}
	if ref.Env != "" {
		add(node, "env", ref.Env)
	}
	return node
}

func tokens(all map[string]Credential) *yaml.Node {
	node := objectNode()
	for _, index := range slices.Sorted(maps.Keys(all)) {
		add(node, index, credentialNode(all[index]))
	}
	return node
}

func credentialsNode(c Credentials) *yaml.Node {
	if c.Username == "" {
		node := credentialNode(c.Credential)
		add(node, "application", c.Application)
		return node
	}
	node := objectNode("username", c.Username, "password", refNode(c.Ref))
	add(node, "expires", dayNode(c.Expires))
	return node
}
