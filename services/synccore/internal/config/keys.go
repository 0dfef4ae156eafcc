package config

import (
	"github.com/tandem-sync/tandem/services/synccore/internal/schema"
)

// The functions here and in keys_connector.go are the tables of all keys: the reader
// refuses what does not stand in them, and the schema and the page of reference are made
// of them, so that there is no key without an explanation.

// JSONSchema is the schema of the configuration file, for editors.
func JSONSchema() ([]byte, error) {
	return schema.JSON("Tandem's configuration file", fileKeys())
}

// Reference is the same as a page for people, in Markdown.
func Reference() ([]byte, error) {
	return schema.Markdown("The configuration file, key by key", introduction, fileKeys())
}

const introduction = "<!-- Made by `synccore config-schema`: change services/synccore/internal/config/keys*.go and run `make generate`. -->\n\n" +
	"One file, YAML or JSON, holds what Tandem is to do. What an unknown key, a wrong value or a secret in the wrong place means is told by\n" +
	"`synccore check-config FILE`, all of it at once, with line and remedy. [README.md](README.md#5-the-configuration-file) tells how the file is used.\n\n" +
	"An editor that knows JSON Schema completes and explains the keys when the file begins with the line\n" +
	"`# yaml-language-server: $schema=config.schema.json`, with the way to [config.schema.json](config.schema.json), or to a copy of it that\n" +
	"`synccore config-schema > config.schema.json` writes. In a file of JSON the key `$schema` does the same. The schema knows the form of each value; that names\n" +
	"agree, such as the number of a token, `check-config` alone can tell."

// Bounds of numbers.
const (
	leastPerSecond      = 0.1
	mostCallsPerSecond  = 100_000
	mostBurst           = 1_000_000
	mostAlvaoPerSecond  = 10_000
	mostAlvaoConcurrent = 1000
	mostBrakeAtLeast    = 1_000_000
	mostHookSecrets     = 2
	mostCallerName      = 200
)

// Forms of texts, as editors check them. The reader cuts blanks around a text off.
const (
	addressForm = `^\s*([Hh][Tt][Tt][Pp][Ss]?://[^/?#@\s]+(/[^?#]*)?#?)\s*$`
	idForm      = `^\s*[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\s*$`
	dayForm     = `^\s*[2-9][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])\s*$`
	numberForm  = `^\s*(0|[1-9][0-9]{0,8})\s*$`
)

func address() schema.Value { return schema.Pattern("an address", addressForm) }
func guidText() schema.Value {
	return schema.Pattern("an id such as `00000000-0000-0000-0000-000000000000`", idForm)
}
func dayText() schema.Value   { return schema.Pattern("a day such as `2027-01-31`", dayForm) }
func file() schema.Value      { return schema.Pattern("the path of a file", `\S`) }
func secretRef() schema.Value { return schema.Keys(secretKeys) }

// fileKeys are the keys of the file.
func fileKeys() schema.Object {
	return schema.Object{
		About: "What Tandem's sync-core is to do. Relative paths count from the file's own folder.",
		Keys: []schema.Key{
			{
				Name: "publicUrl", About: "Where both vendors reach the gateway from outside (`appHost` in Port's integration). It becomes part of the webhooks' addresses.",
				Absent: "there are no live events; polls and resyncs find what changed", Example: "https://tandem.contoso.com",
				Value: schema.Pattern("an address", `^\s*$|`+addressForm),
			},
			{Name: "resync", About: "When everything is compared.", Absent: "the defaults below", Example: "{interval: 1h}", Value: schema.Keys(resyncKeys)},
			{
				Name: "accessTokens", About: "The Azure DevOps tokens by the number that `AccessToken` in a connector's settings names. " +
					"`\"0\"` is what Alvao calls the setting `DevOpsIntegrationToken0`.",
				Absent: "there can be no connector, since each names a token", Example: `{"0": {file: /run/secrets/devops-integration-token-0}}`,
				Value: schema.Map("an object of tokens by number", "NUMBER", `^(0|[1-9][0-9]{0,8})$`, tokenKeys),
			},
			{
				Name: "hookSecrets", About: "The secrets, of at least 32 random characters, that the webhooks' credentials are derived from: the present one first, then, while it is being replaced, the one before it. " +
					"The gateway gets the same.",
				Absent: "webhooks can't be told from forged ones, and none is taken", Example: "[{file: /run/secrets/hook-secret}]", Value: schema.List(mostHookSecrets, secretKeys),
			},
			{
				Name: "allowVolatileRedis", About: "Accept a Redis whose settings lose data, such as one without an append-only file. For demonstrations.",
				Default: "false", Example: "true", Value: schema.Flag(),
			},
			{
				Name: "callers", About: "Who may call the API, over gRPC and REST alike. A change counts at once.", Absent: "nobody may, not even the gateway",
				Example: "{tokens: [{name: gateway, role: edge, secret: {file: /run/secrets/gateway-token}}]}", Value: schema.Keys(callersKeys),
			},
			{
				Name: "mail", About: "The mail server that tickets' solvers are told by.", Absent: "no mail is sent",
				Example: "{server: smtp.contoso.com, from: Tandem <tandem@contoso.com>}", Value: schema.Keys(mailKeys),
			},
			{
				Name: "brake", About: "When a mass change waits for a person, for connectors that don't say otherwise.", Absent: "the defaults below",
				Example: "{share: 20%, atLeast: 25}", Value: schema.Keys(brakeKeys),
			},
			{
				Name: "connectors", About: "The pairings, each of an Alvao service with an Azure DevOps project. They may be added, changed and removed while sync-core runs.",
				Required: true, Value: schema.List(0, connectorKeys),
				Example: "[{name: development, alvao: {url: \"" + exampleAlvao + "\", service: Development, credentials: {username: tandem, password: {file: /run/secrets/alvao-password}}}, settings: " +
					exampleSettings + "}]",
			},
			{
				Name: "$schema", About: "The JSON Schema of this file, for editors of JSON. sync-core does not read it.",
				Absent: "nothing, sync-core does without", Example: "config.schema.json", Value: schema.Text(),
			},
		},
	}
}

func resyncKeys() schema.Object {
	return schema.Object{Keys: []schema.Key{
		{
			Name: "interval", About: "How often everything that the connectors cover is read and compared (`scheduledResyncInterval` in Port's integration).",
			Default: "1h", Example: "30m", Value: schema.Span(),
		},
	}}
}

// secretKeys say where a secret is.
func secretKeys() schema.Object {
	return schema.Object{
		Name:  "A secret",
		About: "A secret never stands in this file, only where it is: `{file: …}` or `{env: …}`. A file that changes is read again, without a restart.",
		Keys: []schema.Key{
			{
				Name: "file", About: "The file that holds the secret and nothing else; a line's end behind it does not count.",
				Absent: "`env` says where", Example: "/run/secrets/hook-secret", Value: file(),
			},
			{Name: "env", About: "The environment variable that holds it, without `$`.", Absent: "`file` says where", Example: "ALVAO_PASSWORD", Value: envText()},
		},
		Ways: [][]schema.Way{{{Needs: []string{"file"}, Without: []string{"env"}}, {Needs: []string{"env"}, Without: []string{"file"}}}},
	}
}

func envText() schema.Value {
	return schema.Pattern("the name of a variable", `^\s*[A-Za-z_][A-Za-z0-9_]*\s*$`)
}

// expiresKey is that of a secret whose end is known.
func expiresKey() schema.Key {
	return schema.Key{
		Name: "expires", About: "The day on which the secret ends. It is told two weeks ahead, in the log, the metrics and by the check. A certificate's end is known without it.",
		Absent: "no end is known", Example: "2027-01-31", Value: dayText(),
	}
}

// tokenKeys are those of an access token.
func tokenKeys() schema.Object {
	ways := func(keys ...string) []schema.Way {
		var all []schema.Way
		for i, key := range keys {
			var others []string
			for j, other := range keys {
				if i != j {
					others = append(others, other)
				}
			}
			all = append(all, schema.Way{Needs: []string{key}, Without: others})
		}
		return all
	}
	return schema.Object{
		About: "One of `file`, `env`, `entra` and `managedIdentity`: a personal access token, or an application or managed identity of Microsoft Entra in its place.",
		Keys: []schema.Key{
			{Name: "file", About: "The file that holds a personal access token.", Absent: "another key says how to sign in", Example: "/run/secrets/devops-integration-token-0", Value: file()},
			{Name: "env", About: "The environment variable that holds a personal access token.", Absent: "another key says how to sign in", Example: "DEVOPS_TOKEN", Value: envText()},
			entraKey("another key says how to sign in"),
			managedIdentityKey("another key says how to sign in"),
			expiresKey(),
		},
		Ways: [][]schema.Way{ways("file", "env", "entra", "managedIdentity"), {{Without: []string{"managedIdentity"}}, {Without: []string{"expires"}}}},
	}
}

func entraKey(absent string) schema.Key {
	return schema.Key{
		Name: "entra", About: "An application of Microsoft Entra to sign in as.", Absent: absent,
		Example: "{tenant: contoso.onmicrosoft.com, clientId: 6b1f0c1e-0d5a-4f0e-9a53-1c2d3e4f5a6b, clientSecret: {file: /run/secrets/devops-client}}",
		Value:   schema.Keys(entraKeys),
	}
}

func entraKeys() schema.Object {
	return schema.Object{
		Name:  "An application of Microsoft Entra",
		About: "Its proof is either `clientSecret` or `certificate`.",
		Keys: []schema.Key{
			{
				Name: "tenant", About: "The directory's id or domain.", Required: true, Example: "contoso.onmicrosoft.com",
				Value: schema.Pattern("an id or a domain", `^\s*[0-9a-zA-Z]([0-9a-zA-Z.-]*[0-9a-zA-Z])?\s*$`),
			},
			{Name: "clientId", About: "The *Application (client) ID* that Microsoft Entra shows.", Required: true, Example: "6b1f0c1e-0d5a-4f0e-9a53-1c2d3e4f5a6b", Value: guidText()},
			{Name: "clientSecret", About: "Where its client secret is.", Absent: "`certificate` is its proof", Example: "{file: /run/secrets/devops-client}", Value: secretRef()},
			{
				Name: "certificate", About: "Where its certificate is: PEM together with the private key, without a password.", Absent: "`clientSecret` is its proof",
				Example: "{file: /run/secrets/devops.pem}", Value: secretRef(),
			},
			{
				Name: "authority", About: "Where tokens are asked for; `https://login.microsoftonline.us` and `https://login.partner.microsoftonline.cn` are those of national clouds.",
				Default: "https://login.microsoftonline.com", Example: "https://login.microsoftonline.us", Value: schema.Filled(),
			},
		},
		Ways: [][]schema.Way{{{Needs: []string{"clientSecret"}, Without: []string{"certificate"}}, {Needs: []string{"certificate"}, Without: []string{"clientSecret"}}}},
	}
}

func managedIdentityKey(absent string) schema.Key {
	return schema.Key{
		Name: "managedIdentity", About: "The identity that Azure gives the machine; `{}` is the system-assigned one. It has nothing that expires.",
		Absent: absent, Example: "{}", Value: schema.Keys(managedIdentityKeys),
	}
}

func managedIdentityKeys() schema.Object {
	return schema.Object{
		Name: "A managed identity",
		Keys: []schema.Key{
			{Name: "clientId", About: "The client ID of a user-assigned identity.", Absent: "the system-assigned one is used", Example: "0f0e0d0c-0b0a-0908-0706-050403020100", Value: guidText()},
		},
	}
}

// callersKeys say who may call the API.
func callersKeys() schema.Object {
	return schema.Object{
		About: "A `viewer` may read; an `operator` also check, replay, resync, repair and try settings; an `admin` also link pairs, part them and let mass changes go; `edge` is the gateway's role, and brings events alone.",
		Keys: []schema.Key{
			{
				Name: "anonymous", About: "The role of whoever shows nothing. For demonstrations: everybody who reaches the API has it.", Absent: "whoever shows nothing may do nothing",
				Example: "viewer", Value: schema.Words(callerRoles()[:3]...),
			},
			{
				Name: "tokens", About: "Callers with a bearer token. `synccore token NAME --role ROLE` makes one and prints its entry.", Absent: "no such token is known",
				Example: "[{name: portal, role: viewer, sha256: 6ff219f2430bb76c549963799dd0adcdfa028c83c1e0f0e799e47ab409fc59ec}]", Value: schema.List(0, callerTokenKeys),
			},
			{
				Name: "certificates", About: "Callers with a client certificate, where sync-core has `--tls-client-ca`.", Absent: "no certificate stands for a caller",
				Example: "[{name: reports.contoso.com, role: viewer}]", Value: schema.List(0, callerCertificateKeys),
			},
			{
				Name: "issuers", About: "Whose signed tokens (JWT) are believed, such as those of Microsoft Entra or Keycloak.", Absent: "no signed token is believed",
				Example: "[{issuer: \"https://login.microsoftonline.com/TENANT-ID/v2.0\", audience: \"api://tandem\", roles: [{value: Tandem.Viewer, role: viewer}]}]",
				Value:   schema.List(0, issuerKeys),
			},
			{Name: "limit", About: "How often one caller may call; the gateway's events are not counted. Who calls more often is told how long to wait.", Absent: "the defaults below", Example: "{perSecond: 10, burst: 40}", Value: schema.Keys(callLimitKeys)},
		},
	}
}

func callLimitKeys() schema.Object {
	return schema.Object{Keys: []schema.Key{
		{Name: "perSecond", About: "Calls per second, for long.", Default: "50", Example: "10", Value: schema.Number(leastPerSecond, mostCallsPerSecond)},
		{Name: "burst", About: "How many calls may come at once.", Default: "200", Example: "40", Value: schema.Whole(1, mostBurst)},
	}}
}

func roleKey(words ...string) schema.Key {
	return schema.Key{Name: "role", About: "What the caller may do.", Required: true, Example: RoleViewer, Value: schema.Words(words...)}
}

func grantedKey() schema.Key {
	return schema.Key{
		Name: "connectors", About: "The connectors that the role holds for. The gateway's role holds for all.", Absent: "the role holds for all",
		Example: "[development]", Value: schema.Texts(1, 0, false, schema.Filled()),
	}
}

func callerTokenKeys() schema.Object {
	return schema.Object{
		About: "Either `sha256` or `secret` says what the token is.",
		Keys: []schema.Key{
			{Name: "name", About: "What the audit log calls the caller; each has its own.", Required: true, Example: "portal", Value: schema.Filled()},
			roleKey(callerRoles()...),
			grantedKey(),
			{
				Name: "sha256", About: "The token's SHA-256 in hexadecimal, so that this file holds no token.", Absent: "`secret` says where the token is",
				Example: "6ff219f2430bb76c549963799dd0adcdfa028c83c1e0f0e799e47ab409fc59ec",
				// A hash of digits alone is a number to YAML.
				Value: schema.Or("64 hexadecimal digits", schema.Pattern("", `^\s*[0-9a-fA-F]{64}\s*$`), schema.Number(0, 1e64)),
			},
			{Name: "secret", About: "Where the token itself is, such as the one shared with the gateway, of at least 32 characters.", Absent: "`sha256` says which it is", Example: "{file: /run/secrets/gateway-token}", Value: secretRef()},
			{Name: "expires", About: "The day on which the token ends.", Absent: "it never does", Example: "2027-01-31", Value: dayText()},
		},
		Ways: [][]schema.Way{{{Needs: []string{"sha256"}, Without: []string{"secret"}}, {Needs: []string{"secret"}, Without: []string{"sha256"}}}},
	}
}

func callerCertificateKeys() schema.Object {
	return schema.Object{Keys: []schema.Key{
		{
			Name: "name", About: "A DNS name or URI of the certificate's subject alternative names, or its common name where it has none of them.", Required: true,
			Example: "reports.contoso.com", Value: schema.Filled(),
		},
		roleKey(callerRoles()...),
		grantedKey(),
	}}
}

func issuerKeys() schema.Object {
	return schema.Object{Keys: []schema.Key{
		{
			Name: "issuer", About: "The `iss` of its tokens. Its keys are found below it, at `/.well-known/openid-configuration`.", Required: true,
			Example: "https://login.microsoftonline.com/TENANT-ID/v2.0", Value: schema.Pattern("an address that begins with `https://`", addressForm),
		},
		{Name: "audience", About: "The `aud` of tokens that are meant for Tandem.", Required: true, Example: "api://tandem", Value: schema.Filled()},
		{
			Name: "rolesClaim", About: "The claim that holds a caller's roles, with dots where it is nested, as in Keycloak's `realm_access.roles`.", Default: defaultRolesClaim,
			Example: "realm_access.roles", Value: schema.Filled(),
		},
		{
			Name: "roles", About: "What the values of that claim mean.", Required: true, Example: "[{value: Tandem.Viewer, role: viewer}]",
			Value: schema.List(0, issuerRoleKeys),
		},
		caFileKey("the issuer's certificate"),
	}}
}

func issuerRoleKeys() schema.Object {
	return schema.Object{Keys: []schema.Key{
		{Name: "value", About: "The claim's value.", Required: true, Example: "Tandem.Viewer", Value: schema.Filled()},
		roleKey(callerRoles()[:3]...),
		grantedKey(),
	}}
}

func caFileKey(of string) schema.Key {
	return schema.Key{
		Name: "caFile", About: "A PEM file of certificate authorities to trust for " + of + ", beside the system's.", Absent: "the system's are trusted",
		Example: "/etc/ssl/contoso-ca.pem", Value: file(),
	}
}

func mailKeys() schema.Object {
	return schema.Object{
		Keys: []schema.Key{
			{Name: "server", About: "The server, with a port if it is not the usual one (587, with `implicit` 465, with `none` 25).", Required: true, Example: "smtp.contoso.com:587", Value: schema.Filled()},
			{
				Name: "tls", About: "How the connection is encrypted: from the start (`implicit`), by STARTTLS, or, on a trusted network, not at all.", Default: startTLS,
				Example: implicitTLS, Value: schema.Words(mailWords()...),
			},
			{Name: "from", About: "The sender.", Required: true, Example: "Tandem <tandem@contoso.com>", Value: schema.Pattern("an e-mail address", "@")},
			{Name: "user", About: "The account to sign in with; never used without TLS.", Absent: "it is not signed in", Example: "tandem@contoso.com", Value: schema.Filled()},
			{Name: "password", About: "Where the account's password is.", Absent: "it is not signed in", Example: "{file: /run/secrets/mail-password}", Value: secretRef()},
			caFileKey("the server's certificate"),
		},
		Ways: [][]schema.Way{{{Needs: []string{"user", "password"}}, {Without: []string{"user", "password"}}}},
	}
}

// brakeKeys say when a mass change waits for a person.
func brakeKeys() schema.Object {
	return schema.Object{
		Name: "The brake",
		About: "A resync that would write to more items than both bounds allow writes to none of them and waits for a person, so that a slip in `StatusMap` does not move a thousand tickets. " +
			"A connector's own counts before the file's.",
		Keys: []schema.Key{
			{
				Name: "share", About: "The share of a connector's links that a resync may write to. `100%` switches the brake off.", Default: "20%", Example: "12.5%",
				Value: schema.Pattern("a share from `0%` to `100%`", `^\s*(0?[0-9]{1,2}(\.[0-9]{1,2})?|100(\.00?)?) ?%\s*$`),
			},
			{Name: "atLeast", About: "It never brakes below so many items.", Default: "25", Example: "10", Value: schema.Whole(1, mostBrakeAtLeast)},
		},
	}
}
