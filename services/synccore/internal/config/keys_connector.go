package config

import (
	"slices"

	"github.com/tandem-sync/tandem/services/synccore/internal/crossing"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
	"github.com/tandem-sync/tandem/services/synccore/internal/redact"
	"github.com/tandem-sync/tandem/services/synccore/internal/schema"
)

// connectorKeys are those of one pairing.
func connectorKeys() schema.Object {
	return schema.Object{
		Keys: []schema.Key{
			{
				Name: "name", About: "Its name: part of addresses, of metrics and of what is kept, so it stays. Small letters, digits and dashes, a letter first.", Required: true,
				Example: "development", Value: schema.Pattern("at most 63 of `a-z`, `0-9` and `-`", `^\s*[a-z][a-z0-9-]{0,62}\s*$`),
			},
			{
				Name: "alvao", About: "The side of the tickets.", Required: true, Value: schema.Keys(alvaoKeys),
				Example: "{url: \"https://contoso.onalvao.com/AlvaoRestApi\", service: Development, credentials: {username: tandem, password: {file: /run/secrets/alvao-password}}}",
			},
			{Name: "azureDevOps", About: "What the settings leave open about the side of the work items.", Absent: "the defaults below", Example: `{apiVersion: "7.0"}`, Value: schema.Keys(azureDevOpsKeys)},
			{
				Name: "settings", About: "The content of the field *External Application - Connector Settings* of Alvao's service, pasted unchanged: as an object, or as a text that holds it.", Required: true,
				Example: exampleSettings,
				Value:   schema.KeysOr("an object, or a text that holds one", "The same as a text of JSON; the keys within are checked by `synccore check-config`.", settingsKeys),
			},
			{
				Name: "conflict", About: "Who wins when status and state changed on both sides since they last agreed: the later change, or always one side. The losing value is kept in the link's history.",
				Default: string(mapping.ConflictNewest), Example: string(mapping.ConflictAlvao), Value: schema.Words(conflictWords()...),
			},
			{
				Name: "existingTickets", About: "What becomes of tickets that were in a status of the map already when the connector was first started: `ignore` leaves them alone, `link` makes work items for them.",
				Default: string(mapping.ExistingIgnore), Example: string(mapping.ExistingLink), Value: schema.Words(existingWords()...),
			},
			{Name: "pollInterval", About: "How often both systems are asked what changed, for what no webhook told of.", Default: "30s", Example: "2m", Value: schema.Span()},
			{Name: "messages", About: "How messages and files cross, where `SyncCommunication` has them synchronised.", Absent: "the defaults below", Example: "{only: visibleToRequester}", Value: schema.Keys(messagesKeys)},
			{Name: "redact", About: "What is taken out of texts that cross.", Absent: "the defaults below", Example: "{except: [web token]}", Value: schema.Keys(redactKeys)},
			{Name: "brake", About: "When a mass change of this connector waits for a person.", Absent: "as the file's `brake` says", Example: "{share: 50%}", Value: schema.Keys(brakeKeys)},
			{Name: "notice", About: "How a ticket's solver is told of comments.", Absent: "nobody is told", Example: "{email: true}", Value: schema.Keys(noticeKeys)},
		},
	}
}

// exampleSettings are short ones.
const exampleSettings = `{"ConnectorType": "AzureDevOps", "URL": "https://dev.azure.com/Alvao/Alvaoproject", "AccessToken": "0", ` +
	`"AttributeMap": {"System.Title": "[$TicketTitle$]", "System.WorkItemType": "Task"}, "StatusMap": {"To Do": "Development", "Done": "Testing"}}`

func conflictWords() []string {
	return []string{string(mapping.ConflictNewest), string(mapping.ConflictAlvao), string(mapping.ConflictAzureDevOps)}
}

func existingWords() []string {
	return []string{string(mapping.ExistingIgnore), string(mapping.ExistingLink)}
}

func alvaoKeys() schema.Object {
	return schema.Object{
		Keys: []schema.Key{
			{Name: "url", About: "The address of the tenant's REST API.", Required: true, Example: exampleAlvao, Value: address()},
			{Name: "webUrl", About: "The address of its web application, for links to tickets.", Absent: "`Alvao` beside the REST API", Example: "https://contoso.onalvao.com/Alvao", Value: address()},
			{Name: "service", About: "The name of the service whose tickets take part, as Alvao shows it in its default language.", Required: true, Example: "Development", Value: schema.Filled()},
			{Name: "process", About: "Only tickets of this process take part.", Absent: "those of any", Example: "Development process", Value: schema.Filled()},
			{
				Name: "externalIdField", About: "The database column of the ticket's custom field *External Application - the ticket ID*, as *Administration – Custom fields* shows it.",
				Default: "ExternalTicketId", Example: "DevOpsId", Value: schema.Pattern("a column's name", `^\s*[^\s.\[\]$]+\s*$`),
			},
			{Name: "credentials", About: "Those of an application account.", Required: true, Example: "{username: tandem, password: {file: /run/secrets/alvao-password}}", Value: schema.Keys(credentialsKeys)},
			caFileKey("the tenant's certificate"),
			{Name: "timeZone", About: "The zone of times that the tenant tells without one, and of dates in work items: a name of the IANA database.", Default: "UTC", Example: "Europe/Prague", Value: schema.Filled()},
			{Name: "limit", About: "The most calls of one sync-core for this connector.", Absent: "the defaults below", Example: "{perSecond: 2.5, concurrent: 4}", Value: schema.Keys(alvaoLimitKeys)},
			{
				Name: "manageHooks", About: "Tandem makes, renews and removes Alvao's webhooks itself; `false`: a person does.", Absent: "`true` where there are `publicUrl` and `hookSecrets`, else `false`",
				Example: "false", Value: schema.Flag(),
			},
		},
	}
}

func alvaoLimitKeys() schema.Object {
	return schema.Object{Keys: []schema.Key{
		{Name: "perSecond", About: "Calls per second, for long; twice as many may go out at once after a pause.", Default: "20", Example: "2.5", Value: schema.Number(leastPerSecond, mostAlvaoPerSecond)},
		{Name: "concurrent", About: "Calls under way at once.", Default: "8", Example: "4", Value: schema.Whole(1, mostAlvaoConcurrent)},
	}}
}

func credentialsKeys() schema.Object {
	return schema.Object{
		About: "`username` and `password` of an application account, or, where the tenant signs in by Microsoft Entra, `application` with `entra` or `managedIdentity`.",
		Keys: []schema.Key{
			{Name: "username", About: "The account's login, without a colon.", Absent: "it is an application of Microsoft Entra", Example: "tandem", Value: schema.Pattern("text", `^[^:]*[^:\s][^:]*$`)},
			{Name: "password", About: "Where its password is.", Absent: "it is an application of Microsoft Entra", Example: "{file: /run/secrets/alvao-password}", Value: secretRef()},
			{
				Name: "application", About: "The *Application (client) ID* of Alvao's own application in Microsoft Entra, which tokens are asked for.", Absent: "it is an account with a password",
				Example: "00112233-4455-6677-8899-aabbccddeeff", Value: guidText(),
			},
			entraKey("it is an account with a password, or a managed identity"),
			managedIdentityKey("it is an account with a password, or an application"),
			expiresKey(),
		},
		Ways: [][]schema.Way{{
			{Needs: []string{"username", "password"}, Without: []string{"application", "entra", "managedIdentity"}},
			{Needs: []string{"application", "entra"}, Without: []string{"username", "password", "managedIdentity"}},
			{Needs: []string{"application", "managedIdentity"}, Without: []string{"username", "password", "entra", "expires"}},
		}},
	}
}

func azureDevOpsKeys() schema.Object {
	return schema.Object{Keys: []schema.Key{
		{
			Name: "apiVersion", About: "The version of the REST API, for Azure DevOps Server: `5.0` (2019), `6.0` (2020), `7.0` (2022).", Absent: "the newest that the server is known to have",
			Example: `"7.0"`, Value: schema.Or("a version", schema.Pattern("", `^[0-9]\.[0-9]$`), schema.Number(0, 10)),
		},
		caFileKey("the server's certificate"),
		{
			Name: "manageHooks", About: "Tandem makes and mends the service hooks itself, where the token's account may; `false`: a person does.",
			Absent: "`true` where there are `publicUrl` and `hookSecrets`, else `false`", Example: "false", Value: schema.Flag(),
		},
	}}
}

// settingsKeys are those of Alvao's own connector (Alvao: "Azure DevOps Connector",
// version 26). They are Alvao's, so their names begin with capitals.
func settingsKeys() schema.Object {
	return schema.Object{
		About: "The keys are those of Alvao's own connector. `BeginState` and `EndState` of versions before 26 are refused: `StatusMap` has taken their place.",
		Keys: []schema.Key{
			{Name: "ConnectorType", About: "Always `AzureDevOps`.", Required: true, Example: "AzureDevOps", Value: schema.Pattern("`AzureDevOps`", `^\s*AzureDevOps\s*$`)},
			{
				Name: "URL", About: "The address of the Azure DevOps project: organization and project behind the host. Braces that the manual's form has around names are cut off.", Required: true,
				Example: "https://dev.azure.com/Alvao/Alvaoproject", Value: schema.Pattern("an address", `^\s*\S`),
			},
			{
				Name: "AccessToken", About: "The number of the access token, as text or as a number: Alvao keeps it in the setting `DevOpsIntegrationToken0`, this file under `accessTokens`.", Required: true,
				Example: `"0"`, Value: schema.Or("a number", schema.Pattern("", numberForm), schema.Whole(0, 999_999_999)),
			},
			{
				Name: "AttributeMap", About: "The fields of a new work item by reference name, and what they are filled with: text with variables such as `[$TicketTitle$]` or `[$LatestImportantMessage$]`, those of " +
					"Alvao's notification templates. `System.Title` and `System.WorkItemType` must be among them. What stands there takes the form of its field; an empty value leaves the field to its default.",
				Required: true, Example: `{"System.Title": "[$TicketTitle$]", "System.Description": "[$LatestImportantMessage$]", "System.WorkItemType": "Task"}`,
				Value: schema.TextMap("an object of fields, or a text that holds one", "The same as a text of JSON.",
					schema.Or("text, a number, `true` or `false`", schema.Text(), schema.Number(-1e300, 1e300), schema.Flag())),
			},
			{
				Name: "StatusMap", About: "The states of the work item and the ticket's status that each stands for, in the default languages of the two systems. The first time that a ticket enters one of these " +
					"statuses it gets a work item; from then on status and state follow each other. Several states may stand for one status: then the first of them is the one that a status leads to, so the order counts.",
				Required: true, Example: `{"To Do": "Development", "Doing": "Development pending", "Done": "Testing"}`,
				Value: schema.TextMap("an object of states, or a text that holds one", "The same as a text of JSON.", schema.Pattern("", `\S`)),
			},
			{
				Name: "SyncCommunication", About: "Each record of the ticket's communication becomes a comment of the work item, each comment a record of the ticket; files go with them. See `messages` for what may cross.",
				Default: "false", Example: "true", Value: schema.Flag(),
			},
			{
				Name: "DisplayOpenExternalCommand", About: "The older name of `ShowOpenExternalTicketCommand`, which counts if both are there.", Default: "true", Example: "false", Value: schema.Flag(),
			},
			{
				Name: "ShowOpenExternalTicketCommand", About: "The ticket's page has the command *Open related Azure DevOps work item*, which the Alvao application adds.", Default: "true", Example: "false", Value: schema.Flag(),
			},
			{
				Name: "TicketReporter", About: "Who is the work item's reporter: `Default`, the owner of the access token; `Requester`, the ticket's requester, found by user name or e-mail, else the token's owner; or a " +
					"user's name.",
				Default: "Default", Example: "Requester", Value: schema.Filled(),
			},
		},
	}
}

func messagesKeys() schema.Object {
	return schema.Object{
		Keys: []schema.Key{
			{
				Name: "history", About: "Messages from before the link was made: `all` cross, or only those `sinceLinked`.", Default: historyAll, Example: historySinceLinked,
				Value: schema.Words(historyWords()...),
			},
			{Name: "showToRequester", About: "The ticket's requester sees in Alvao what comes from Azure DevOps.", Default: "false", Example: "true", Value: schema.Flag()},
			{
				Name: "format", About: "What comments are written in: `html`, or `markdown` where the server takes it.", Default: string(item.HTML), Example: string(item.Markdown),
				Value: schema.Words(formatWords()...),
			},
			{
				Name: "maxFile", About: "The largest file that crosses; to Alvao at most 20 MiB. One that stays behind is named in a note on the other side.", Default: "60MiB", Example: "20MiB",
				Value: schema.Or("a size of at most `1GiB`, such as `512KiB` or `60MiB`", schema.Pattern("", `^\s*[1-9][0-9]{0,8} ?(KiB|MiB|GiB)?\s*$`), schema.Whole(1, 999_999_999)),
			},
			{
				Name: "kinds", About: "The kinds of Alvao's records that cross where no rule decides.", Absent: "all but `Process` and `Notification`", Example: "[Email, Note]",
				Value: kindsList(),
			},
			{
				Name: "only", About: "`visibleToRequester`: records that the requester may not see never cross, whatever the rules say.", Default: onlyAll, Example: onlyVisible,
				Value: schema.Words(onlyAll, onlyVisible),
			},
			{Name: toAzureDevOps, About: "`false`: no message or file is written to Azure DevOps.", Default: "true", Example: "false", Value: schema.Flag()},
			{Name: toAlvao, About: "`false`: no message or file is written to Alvao.", Default: "true", Example: "false", Value: schema.Flag()},
			{Name: "rules", About: "Which messages cross: the first rule that matches decides; where none does, `kinds`.", Absent: "there are none", Example: "[{cross: false, text: '(?i)#internal'}]", Value: schema.List(crossing.MaxRules, ruleKeys)},
			{Name: "files", About: "Which types of files cross.", Absent: "all", Example: "{deny: [exe, 'image/svg+xml']}", Value: schema.Keys(filesKeys)},
		},
	}
}

func kindsList() schema.Value { return schema.Texts(1, 0, true, schema.Words(recordKinds...)) }

func historyWords() []string { return []string{historyAll, historySinceLinked} }

func formatWords() []string { return []string{string(item.HTML), string(item.Markdown)} }

func directionWords() []string { return []string{toAzureDevOps, toAlvao} }

func ruleKeys() schema.Object {
	expression := schema.Pattern("a regular expression ([RE2](https://github.com/google/re2/wiki/Syntax)) of at most 1,000 bytes", `\S`)
	return schema.Object{
		About: "A rule matches what fits all that it names. `kinds` and `showToRequester` are of Alvao's records, so they don't go with `direction: toAlvao`.",
		Keys: []schema.Key{
			{Name: "cross", About: "Whether what matches crosses.", Required: true, Example: "false", Value: schema.Flag()},
			{Name: "direction", About: "Only what goes there.", Absent: "both ways", Example: toAlvao, Value: schema.Words(directionWords()...)},
			{Name: "kinds", About: "Only records of these kinds.", Absent: "of any", Example: "[Process]", Value: kindsList()},
			{Name: "showToRequester", About: "Only records that the requester may see, or may not.", Absent: "either", Example: "true", Value: schema.Flag()},
			{Name: "author", About: "Only what somebody wrote whose name it matches.", Absent: "anybody", Example: "'^build-bot$'", Value: expression},
			{Name: "text", About: "Only what it matches; of a file of a work item, its name.", Absent: "any text", Example: "'(?i)#internal'", Value: expression},
		},
	}
}

func filesKeys() schema.Object {
	types := schema.Texts(1, crossing.MaxTypes, false, schema.Pattern("endings such as `pdf` and content types such as `image/*`", `\S`))
	return schema.Object{Keys: []schema.Key{
		{Name: "allow", About: "Only these cross.", Absent: "all", Example: "[pdf, 'image/*']", Value: types},
		{Name: "deny", About: "These don't, even if they are allowed. Each that stays is named on the other side.", Absent: "none", Example: "[exe]", Value: types},
	}}
}

func redactKeys() schema.Object {
	return schema.Object{
		About: "What must not be in two systems is taken out of messages that cross and of the fields of new work items; `[redacted: card number]` stands in its place. What people wrote stays where they wrote it.",
		Keys: []schema.Key{
			{Name: "shipped", About: "The patterns that Tandem brings along count: tokens and keys of the well-known vendors, private keys, card numbers.", Default: "true", Example: "false", Value: schema.Flag()},
			{Name: "except", About: "Shipped patterns to do without.", Absent: "none", Example: "[web token]", Value: schema.Texts(0, 0, false, schema.Words(shippedNames()...))},
			{Name: "directions", About: "The ways on which it is done.", Absent: "both", Example: "[toAzureDevOps]", Value: schema.Texts(0, 0, false, schema.Words(directionWords()...))},
			{Name: "patterns", About: "Patterns of your own.", Absent: "none", Example: `[{name: customer number, pattern: '\bKD-[0-9]{8}\b'}]`, Value: schema.List(redact.MaxPatterns, redactPatternKeys)},
		},
	}
}

func redactPatternKeys() schema.Object {
	return schema.Object{Keys: []schema.Key{
		{
			Name: "name", About: "What people read in its place.", Required: true, Example: "customer number", Value: schema.Filled(),
		},
		{
			Name: "pattern", About: "What to take out; with a group, only what the group holds.", Required: true, Example: `'\bKD-[0-9]{8}\b'`,
			Value: schema.Pattern("a regular expression ([RE2](https://github.com/google/re2/wiki/Syntax)) of at most 1,000 bytes", `\S`),
		},
	}}
}

func noticeKeys() schema.Object {
	return schema.Object{
		About: "The solver is told once of each comment of a person that lands in the ticket. `email`, `teams` or both say how; `subject` and `body` are templates, see [README.md](README.md#54-what-the-solver-is-told).",
		Keys: []schema.Key{
			{Name: "email", About: "By e-mail, through the file's `mail`.", Default: "false", Example: "true", Value: schema.Flag()},
			{
				Name: "teams", About: "In Teams: where the address of a flow *Post to a channel when a webhook request is received* is. The solver is mentioned.", Absent: "not in Teams",
				Example: "{file: /run/secrets/teams-webhook}", Value: secretRef(),
			},
			{Name: "subject", About: "The subject's template.", Absent: "the usual one, in English", Example: "'{{.Ticket.Tag}}: {{.Comment.Author}}'", Value: schema.Filled()},
			{Name: "body", About: "The text's template.", Absent: "the usual one, in English", Example: "'{{.Comment.Quoted}}'", Value: schema.Filled()},
			{Name: "bodyFile", About: "The file that holds the text's template, in place of `body`.", Absent: "`body` counts, or the usual text", Example: "notice.txt", Value: file()},
		},
		Ways: [][]schema.Way{{{Needs: []string{"email"}}, {Needs: []string{"teams"}}}, {{Without: []string{"body"}}, {Without: []string{"bodyFile"}}}},
	}
}

// shippedNames are the names of the shipped patterns, sorted; several may share one.
func shippedNames() []string {
	names := redact.Names()
	slices.Sort(names)
	return slices.Compact(names)
}
