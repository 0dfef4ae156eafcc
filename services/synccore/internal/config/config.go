// Package config reads Tandem's configuration file: strictly, completely, and in
// words for the administrator who wrote it.
//
// Its one invariant: Load either returns a configuration in which everything that
// can be known without asking a vendor is right, or every problem of the file at
// once, each with its place, what is wrong and what to do.
package config

import (
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/brake"
	"github.com/tandem-sync/tandem/services/synccore/internal/crossing"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
	"github.com/tandem-sync/tandem/services/synccore/internal/redact"
	"github.com/tandem-sync/tandem/services/synccore/internal/secret"
)

// Config is the whole of a configuration file, checked, with defaults filled in
// and all paths absolute. It is not changed after Load.
type Config struct {
	// PublicURL is where the vendors reach the gateway, without a slash at its end.
	// Empty: there are no live events, only polls and resyncs.
	PublicURL string
	// Resync says how often everything is compared.
	Resync Resync
	// AccessTokens holds the Azure DevOps tokens by the number that settings call
	// them by (Alvao: the settings DevOpsIntegrationToken0, 1, …).
	AccessTokens map[string]Credential
	// HookSecrets holds the secrets that webhook credentials are derived from: the
	// present one first, then the previous one while it is being replaced.
	HookSecrets []secret.Ref
	// AllowVolatileRedis accepts a Redis whose settings may lose data.
	AllowVolatileRedis bool
	// Callers say who may call the API.
	Callers Callers
	// Mail is the server that mails are sent by; the zero value: none.
	Mail Mail
	// Connectors are the pairings, in the order written. May be empty.
	Connectors []Connector
	// Warnings are remarks that do not keep the configuration from working.
	Warnings Problems

	path        string
	fingerprint fingerprint
}

// Resync says how often everything is compared.
type Resync struct {
	// Interval is the time between two resyncs, at least one second.
	Interval time.Duration
}

// Connector is one pairing of an Alvao service with an Azure DevOps project.
type Connector struct {
	// Name is [a-z][a-z0-9-]{0,62}, unique; it is part of URLs, keys and metrics.
	Name string
	// Alvao is the side of the tickets.
	Alvao Alvao
	// AzureDevOps is what the settings leave open about the side of the work items.
	AzureDevOps AzureDevOps
	// Token is the access token that the settings ask for.
	Token Credential
	// Settings is the content of Alvao's "Connector Settings" field as written.
	Settings mapping.Settings
	// Rules is Settings and the policies below, compiled.
	Rules mapping.Rules
	// PollInterval is the time between two looks for tickets that changed without
	// an event, at least one second.
	PollInterval time.Duration
	// Messages says how messages and files cross where the settings have them
	// synchronised (SyncCommunication).
	Messages Messages
	// Notice says how a ticket's solver is told of comments.
	Notice Notice
	// Redact says what is taken out of texts that cross.
	Redact Redact
	// Brake says when a mass change waits for a person.
	Brake brake.Settings
}

// Redact says what is taken out of texts that cross.
type Redact struct {
	// Shipped takes out what package redact knows by itself, but for Except.
	Shipped bool
	Except  []string
	// Patterns are taken out too.
	Patterns []redact.Pattern
	// OffToAzureDevOps and OffToAlvao let texts pass as they are that way.
	OffToAzureDevOps, OffToAlvao bool
}

// Messages says how messages and files cross.
type Messages struct {
	// SinceLinked leaves out what is older than the link.
	SinceLinked bool
	// ShowToRequester lets a ticket's requester see what comes from Azure DevOps.
	ShowToRequester bool
	// Format is what comments are written in: html or markdown.
	Format item.TextFormat
	// MaxFile is the largest file that crosses, in bytes.
	MaxFile int64
	// Crossing says which of them cross.
	Crossing crossing.Rules
}

// Alvao is the Alvao side of a connector.
type Alvao struct {
	// URL is the base address of the REST API, such as
	// https://contoso.onalvao.com/AlvaoRestApi, without a slash at its end.
	URL string
	// WebURL is the base address of the web application, such as
	// https://contoso.onalvao.com/Alvao; a ticket's page is WebURL/Ticket/{id}.
	WebURL string
	// Service is the name of the service whose tickets take part.
	Service string
	// Process restricts the connector to tickets of one process; empty: any.
	Process string
	// ExternalIDField is the database column name of the ticket's custom field
	// "External Application - the ticket ID".
	ExternalIDField string
	// Credentials are those of an application account.
	Credentials Credentials
	// CAFile is a PEM file of certificate authorities to trust beside the system's;
	// empty: none.
	CAFile string
	// Location is the time zone of times that Alvao tells without one (alvao.md
	// §1.3), and of dates that people read in work items.
	Location *time.Location
	// Limit bounds how much the tenant is asked.
	Limit Limit
	// Hooks says which webhooks Tandem sees to; the zero value: none, they are a person's
	// matter.
	Hooks Hooks
}

// Limit bounds the calls that one sync-core makes to a system. Alvao documents none of
// its own, so this one is for the tenant's other users.
type Limit struct {
	// PerSecond is the sustained rate of calls, above 0; twice as many may go out at
	// once after a pause.
	PerSecond float64
	// Concurrent is how many calls may be under way at once, at least 1.
	Concurrent int
}

// Credentials are a user name with its password, or an application of Microsoft Entra
// (alvao.md §1.1).
type Credentials struct {
	// Username is the account's login; empty: it is an application.
	Username string
	// Credential says where the password is, or which application it is.
	Credential

	// Application is the id of Alvao's own application in Microsoft Entra, which tokens
	// are asked for.
	Application string
}

// AzureDevOps is what the settings leave open about the Azure DevOps side.
type AzureDevOps struct {
	// APIVersion is the REST API version to ask for; empty: the newest that the kind
	// of server is known to have. Older servers need 5.0 (2019) or 6.0 (2020).
	APIVersion string
	// CAFile is a PEM file of certificate authorities to trust beside the system's;
	// empty: none.
	CAFile string
	// Hooks says which service hooks Tandem sees to; the zero value: none, they are a
	// person's matter.
	Hooks Hooks
}

// Hooks are the webhooks of a system that Tandem sees to.
type Hooks struct {
	// PublicURL is Config.PublicURL, Secret the first of Config.HookSecrets.
	PublicURL string
	Secret    secret.Ref
}

// Managed tells whether Tandem sees to them.
func (h Hooks) Managed() bool { return h.PublicURL != "" }

// Connector finds a connector by name; nil if there is none.
func (c *Config) Connector(name string) *Connector {
	for i := range c.Connectors {
		if c.Connectors[i].Name == name {
			return &c.Connectors[i]
		}
	}
	return nil
}

// Path is the absolute path of the file that was loaded; empty for parsed text.
func (c *Config) Path() string { return c.path }

// defaults are all the values that a file need not give.
func defaults() (Config, Connector) {
	config := Config{Resync: Resync{Interval: time.Hour}, Callers: Callers{Limit: defaultLimit()}}
	connector := Connector{
		Alvao:        Alvao{ExternalIDField: "ExternalTicketId", Location: time.UTC, Limit: Limit{PerSecond: 20, Concurrent: 8}},
		Settings:     mapping.Settings{OpenCommand: true, TicketReporter: "Default"},
		Rules:        mapping.Rules{Conflict: mapping.ConflictNewest, ExistingTickets: mapping.ExistingIgnore},
		PollInterval: 30 * time.Second,
		Messages:     Messages{Format: item.HTML, MaxFile: 60 << 20},
		Redact:       Redact{Shipped: true},
		Brake:        brake.Settings{Share: 0.2, AtLeast: 25},
	}
	return config, connector
}
