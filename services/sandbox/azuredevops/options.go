package azuredevops

import (
	"net/http"
	"time"
)

// Flavor is the product the stand-in plays.
type Flavor int

const (
	// Services is Azure DevOps Services (dev.azure.com).
	Services Flavor = iota
	// OnPremises is Azure DevOps Server: a failed `test /rev` is 409 TF26071 instead of 412, hook events carry a
	// `server` container instead of `account`, there is no multilineFieldsFormat, and attachments default to 4 MiB.
	OnPremises
)

// Options configure a [Server]. The zero value gives the organisation `contoso` with the project `Alvaoproject` on the
// Basic process, three people, and the token `sandbox-pat` that may do everything.
type Options struct {
	// BaseURL is the absolute URL the handler is reached at, without the organisation, for example
	// "http://127.0.0.1:8088/azuredevops". Left empty, it is taken from each request's Host, which is only right if
	// the handler is mounted at the root; see also [Server.SetBaseURL].
	BaseURL string
	// Organization is the first path segment (on premises: the collection).
	Organization string
	// Flavor is the product played.
	Flavor Flavor
	// Projects are the projects that exist at the start.
	Projects []Project
	// Users are the people the organisation knows.
	Users []User
	// Tokens are the credentials it accepts.
	Tokens []Token
	// Fields are fields beyond the built-in ones.
	Fields []Field

	// FirstID is the id of the first work item; zero means 1.
	FirstID int
	// Refuse401 answers 401 to unknown credentials on every method. The default is what is reported of the service:
	// 203 and a sign-in page on GET and POST, 401 on the others (azure-devops.md §2.10).
	Refuse401 bool
	// IndexLag is how long after its creation a work item stays invisible to WIQL. The real lag is not documented.
	IndexLag time.Duration
	// Limits are the sizes that are refused.
	Limits Limits
	// Throttle switches rate limiting on.
	Throttle Throttle
	// Hooks configures the delivery of service hook notifications.
	Hooks Hooks
	// Quirks are variants of behaviour that reports disagree on.
	Quirks Quirks

	// Now is the clock; nil means the system's.
	Now func() time.Time
}

// Project is a project to begin with.
type Project struct {
	// Name is unique without regard to case. It may hold spaces.
	Name string
	// ID is its GUID; left empty it is derived from organisation and name.
	ID string
	// Process gives the work item types; the zero value means [Basic].
	Process Process
	// Areas and Iterations are paths below the project ("Team A", "Team A\\Web"), which alone are accepted besides the root.
	Areas, Iterations []string
}

// User is a person the organisation knows.
type User struct {
	// UniqueName is the sign-in name (UPN, or DOMAIN\user on premises), unique without regard to case.
	UniqueName string
	// DisplayName is what people see; left empty it is made of UniqueName.
	DisplayName string
	// Mail is the e-mail address if it is another than UniqueName.
	Mail string
	// ID is the identity's GUID; left empty it is derived from UniqueName.
	ID string
	// Inactive people are found by the identity search, without `isActive`, and can't be assigned.
	Inactive bool
}

// Rights say what a token may do.
type Rights uint

// The rights of a token.
const (
	// ReadWorkItems is the scope vso.work.
	ReadWorkItems Rights = 1 << iota
	// WriteWorkItems is the scope vso.work_write.
	WriteWorkItems
	// ReadIdentities is the scope vso.identity, without which the identity search answers 401.
	ReadIdentities
	// ManageHooks is the permission to view and edit service hook subscriptions.
	ManageHooks
	// BypassRules is the project permission "Bypass rules on work item updates".
	BypassRules

	// WorkItems is what the manual of Alvao's connector asks for: work items, read and write.
	WorkItems = ReadWorkItems | WriteWorkItems
	// AllRights is everything.
	AllRights = WorkItems | ReadIdentities | ManageHooks | BypassRules
)

// Token is a credential: a personal access token sent by Basic auth, or with Bearer an Entra access token.
type Token struct {
	// Secret is the token itself.
	Secret string
	// Owner is the UniqueName of whom it acts as; somebody unknown is added to the users.
	Owner string
	// Rights is what it may do.
	Rights Rights
	// Bearer tokens are sent as `Authorization: Bearer`, all others as the password of Basic auth.
	Bearer bool
}

// Limits are sizes beyond which requests are refused. A zero field takes the documented default.
type Limits struct {
	// Attachment is the greatest file in bytes (60 MiB; on premises 4 MiB): TF237082.
	Attachment int64
	// AttachmentsPerItem is 100: VS403313.
	AttachmentsPerItem int
	// LinksPerItem is 1,000.
	LinksPerItem int
	// TagsPerItem is 100.
	TagsPerItem int
	// TitleLength is 255 characters.
	TitleLength int
	// TextLength is 1,048,576 characters, for long text and for comments.
	TextLength int
	// Revisions is 10,000 per work item by REST.
	Revisions int
	// QueryResults is 20,000 per WIQL query: VS402337.
	QueryResults int
	// MemoryPerBlob is the size up to which an attachment is held in memory instead of in a temporary file (64 KiB).
	MemoryPerBlob int64
	// MemoryForBlobs is the memory all attachments together may take before even small ones go to files (64 MiB).
	MemoryForBlobs int64
}

// Throttle is a model of the rate limits (Azure DevOps: rate and usage limits page): a budget of throughput units for
// each identity that refills evenly over the window. Costs are modelled.
type Throttle struct {
	// Budget is the number of units (TSTU) in a window; zero switches throttling off. The real one is 200.
	Budget float64
	// Window is the length of the window; zero means 5 minutes.
	Window time.Duration
	// ReadCost and WriteCost are the units of one call; zero means 0.01 and 0.05.
	ReadCost, WriteCost float64
	// SoftFactor is how far above the budget calls still succeed, but with Retry-After and X-RateLimit headers,
	// before they are answered 429; zero means 1.25.
	SoftFactor float64
	// NoticeFactor is the part of the budget from which on answers tell, by X-RateLimit headers without Retry-After,
	// what is left; zero means 1: only calls over the budget are told.
	NoticeFactor float64
	// LongestDelay is how long a call is held back just below the refusal; between budget and refusal the delay grows
	// evenly. Zero means that nothing is held back. The documented one is 30 seconds.
	LongestDelay time.Duration
}

// Hooks configures the delivery of service hook notifications.
type Hooks struct {
	// Delay is how long after a change its notification is sent. Real deliveries come about 7 seconds late.
	Delay time.Duration
	// RetryScale shortens the documented retry waits (1, 2, 4 … seconds; 20 minutes … 15 hours) by multiplying them;
	// zero means 1. It has no effect on Delay.
	RetryScale float64
	// Parallel is how many requests are under way at once, over all subscriptions; zero means 8. With 1, delivery
	// keeps the order of events.
	Parallel int
	// Timeout is how long an answer is waited for; zero means 20 seconds. The real one is not documented.
	Timeout time.Duration
	// Intercept decides the fate of each notification before its first attempt; nil means each is sent once. It must
	// not call the Server.
	Intercept func(Notification) Fate
	// Client sends the requests; nil means one of its own.
	Client *http.Client
	// LogSize is how many attempts the delivery log keeps; zero means 10,000.
	LogSize int
}

// Fate is what becomes of a notification.
type Fate struct {
	// Drop loses it without a trace at the receiver.
	Drop bool
	// Copies is how often it is sent in excess of once, with the same ids.
	Copies int
	// Delay is added to Hooks.Delay. Different delays reorder notifications.
	Delay time.Duration
}

// Quirks are behaviours that differ between reports, installations or versions. The zero value is the one to expect.
type Quirks struct {
	// AddTagsReplaces makes `add` on System.Tags replace the tags as `replace` does. By default `add` adds to those
	// that are there, as is reported of the service.
	AddTagsReplaces bool
	// CommentIDAsCommentID names a comment's id `commentId`, as Microsoft's examples do, instead of `id` as the schema.
	CommentIDAsCommentID bool
	// CommentedOnEdit raises workitem.commented also when a comment is edited. Which is right is not documented.
	CommentedOnEdit bool
	// PartialTags makes WIQL's CONTAINS on tags find parts of tags. By default it finds whole tags.
	PartialTags bool
	// LateRevision renders the `revision` of a workitem.updated notification as it is when it is sent, not as it was
	// when the change was made, as field reports tell.
	LateRevision bool
}

func (o Options) withDefaults() Options {
	if o.Organization == "" {
		o.Organization = "contoso"
	}
	if len(o.Projects) == 0 {
		o.Projects = []Project{{Name: "Alvaoproject"}}
	}
	if len(o.Users) == 0 {
		o.Users = []User{
			{UniqueName: "tandem@contoso.com", DisplayName: "Tandem Service"},
			{UniqueName: "jana.dvorakova@contoso.com", DisplayName: "Jana Dvořáková"},
			{UniqueName: "petr.svoboda@contoso.com", DisplayName: "Petr Svoboda"},
		}
	}
	if len(o.Tokens) == 0 {
		o.Tokens = []Token{{Secret: "sandbox-pat", Owner: o.Users[0].UniqueName, Rights: AllRights}}
	}
	if o.FirstID == 0 {
		o.FirstID = 1
	}
	if o.Now == nil {
		o.Now = time.Now //nolint:forbidigo // the default of the injected clock
	}
	o.Limits = o.Limits.withDefaults(o.Flavor)
	o.Throttle.Window = orElse(o.Throttle.Window, 5*time.Minute)
	o.Throttle.ReadCost = orElse(o.Throttle.ReadCost, 0.01)
	o.Throttle.WriteCost = orElse(o.Throttle.WriteCost, 0.05)
	o.Throttle.SoftFactor = orElse(o.Throttle.SoftFactor, 1.25)
	o.Throttle.NoticeFactor = orElse(o.Throttle.NoticeFactor, 1)
	o.Hooks.RetryScale = orElse(o.Hooks.RetryScale, 1)
	o.Hooks.Parallel = orElse(o.Hooks.Parallel, 8)
	o.Hooks.Timeout = orElse(o.Hooks.Timeout, 20*time.Second)
	o.Hooks.LogSize = orElse(o.Hooks.LogSize, 10_000)
	return o
}

func (l Limits) withDefaults(f Flavor) Limits {
	attachment := int64(60 << 20)
	if f == OnPremises {
		attachment = 4 << 20
	}
	l.Attachment = orElse(l.Attachment, attachment)
	l.AttachmentsPerItem = orElse(l.AttachmentsPerItem, 100)
	l.LinksPerItem = orElse(l.LinksPerItem, 1000)
	l.TagsPerItem = orElse(l.TagsPerItem, 100)
	l.TitleLength = orElse(l.TitleLength, 255)
	l.TextLength = orElse(l.TextLength, 1<<20)
	l.Revisions = orElse(l.Revisions, 10_000)
	l.QueryResults = orElse(l.QueryResults, 20_000)
	l.MemoryPerBlob = orElse(l.MemoryPerBlob, 64<<10)
	l.MemoryForBlobs = orElse(l.MemoryForBlobs, 64<<20)
	return l
}

// orElse returns v, or def if v is the zero value.
func orElse[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}
