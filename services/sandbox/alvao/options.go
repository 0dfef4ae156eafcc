package alvao

import (
	"net/http"
	"time"
)

// Options configures a [Server]. The zero value is a tenant with the default directory, one application account
// `tandem` with password `tandem`, and no tickets.
type Options struct {
	// BasePath is the path of AlvaoRestApi; default "/AlvaoRestApi".
	BasePath string
	// BaseURL is scheme, host and port for links in answers, without BasePath. Empty: taken from each request.
	BaseURL string
	// Directory holds processes, services, persons and custom columns; nil means [DefaultDirectory].
	Directory *Directory
	// Accounts may call the REST API; nil means [DefaultAccounts].
	Accounts []Account
	// Bearer tells which application account a bearer token belongs to. Nil refuses all bearer tokens.
	Bearer func(token string) (login string, ok bool)
	// Tenant varies how this tenant behaves.
	Tenant Tenant
	// Delivery is how webhooks are delivered at first; [Server.SetDelivery] changes it.
	Delivery Delivery
	// Application switches on the built-in companion application that posts signed hints; nil leaves it off.
	Application *Application
	// PageSize is the number of rows of a list without $top; default 100.
	PageSize int
	// MaxTop bounds $top; default 100,000.
	MaxTop int
	// MaxQueryString is the longest query string in bytes, IIS's maxQueryString; default 2048, negative means no bound.
	MaxQueryString int
	// MaxBody is the largest request body in bytes, IIS's maxAllowedContentLength; default 30,000,000.
	MaxBody int64
	// AttachmentBlacklist refuses uploads by extension, with the dot and in lower case (Alvao's setting
	// GlobalAttachmentBlacklist). Nil means ".exe" and ".bat".
	AttachmentBlacklist []string
	// LedgerLimit is how many writes the ledger keeps; default 1,000,000.
	LedgerLimit int
	// HookTimeout bounds one webhook call; default 10 s.
	HookTimeout time.Duration
	// HookWorkers is how many webhook calls run at once; default 8.
	HookWorkers int
	// Client posts webhooks; nil means a client of its own.
	Client *http.Client
	// Seed fixes the chance in Delivery.
	Seed uint64
	// Now is the clock; nil means the system's.
	Now func() time.Time
}

// Tenant is what differs between the tenants that customers have. The zero value is the tenant that the facts make most
// likely.
type Tenant struct {
	// StringIDs writes ids as JSON strings.
	StringIDs bool
	// CapitalKeys writes property names with a capital (`Id`, `Email`), as one third-party client met them.
	CapitalKeys bool
	// Nulls writes properties without a value as null instead of leaving them out.
	Nulls bool
	// NoOffsets writes dates without an offset; they are UTC.
	NoOffsets bool
	// LogUnreadable answers GET …/log with 404.
	LogUnreadable bool
	// NoActivityFilter refuses $filter on lastActivityDate with 400; ordering by it stays possible.
	NoActivityFilter bool
	// NoActivityOrder refuses $orderby on lastActivityDate with 400 as well.
	NoActivityOrder bool
	// NotesAreSilent keeps lastActivityDate when a Note is added ("date of the last reaction").
	NotesAreSilent bool
	// ListCustomItems puts customItems into list answers too.
	ListCustomItems bool
	// LogShowsVisibility adds showToRequester to the records of GET …/log; the OpenAPI document has it in requests only.
	LogShowsVisibility bool
	// RelativeLinks makes attachments[].link relative to the host.
	RelativeLinks bool
	// NoFileLengths sends attachments without telling their length.
	NoFileLengths bool
	// NoWebhooks answers every path under /webhooks with 404.
	NoWebhooks bool
	// NoStatusColumn leaves the status out of /webhooks/suggestcolumnsforticket.
	NoStatusColumn bool
	// NoNextStates and NoServices answer those two undocumented resources with 404.
	NoNextStates bool
	NoServices   bool
	// Errors forces one of the three error bodies; empty uses each where it is in evidence.
	Errors ErrorStyle
	// Language is the tenant's default language, in which names of statuses, processes and columns are written and
	// understood for accounts without a language of their own: "" (English) or "cs".
	Language string
}

// ErrorStyle is one of the bodies that an error can have.
type ErrorStyle string

// The three error bodies of AlvaoRestApi.
const (
	// ErrorsMixed uses each body where there is evidence of it.
	ErrorsMixed ErrorStyle = ""
	// ErrorsMessage is {"message": "..."} (ApiError of the OpenAPI document).
	ErrorsMessage ErrorStyle = "message"
	// ErrorsOData is {"error": {"code": "400", "message": "..."}}.
	ErrorsOData ErrorStyle = "odata"
	// ErrorsProblem is {"title": "...", "status": 400, "errors": {"field": ["..."]}}.
	ErrorsProblem ErrorStyle = "problem"
)

// Role is what an application account may do in a service. Each includes the ones before it.
type Role int

// The service roles that matter here (Alvao documentation: service roles).
const (
	// RoleNone sees nothing.
	RoleNone Role = iota
	// RoleReader sees all tickets and log records and may add records.
	RoleReader
	// RoleSolver may also change tickets and their status.
	RoleSolver
	// RoleManager may also resolve a ticket without solver, and becomes its solver by doing so.
	RoleManager
)

// Account is an application account: a person with IsApp set that may call the REST API.
type Account struct {
	// Login is the login of the person.
	Login string
	// Password for Basic authentication; empty allows a bearer token only.
	Password string
	// Role applies to every service that Services does not name.
	Role Role
	// Services gives the role by service name.
	Services map[string]Role
	// ReadsContacts is membership in the group "Contact readers", without which /v1/users is forbidden.
	ReadsContacts bool
	// Language is the account's preferred language; empty means the tenant's.
	Language string
}

func (a *Account) role(service *Service) Role {
	if r, ok := a.Services[service.Name]; ok {
		return r
	}
	return a.Role
}

// DefaultAccounts is one application account with every right.
func DefaultAccounts() []Account {
	return []Account{{Login: "tandem", Password: "tandem", Role: RoleManager, ReadsContacts: true}}
}

// Delivery is how webhooks and the application's hints reach their receivers. The zero value delivers each once and at
// once.
type Delivery struct {
	// Lose and Duplicate are the chances, 0 to 1, that a hint is dropped or sent twice.
	Lose, Duplicate float64
	// MinDelay and MaxDelay bound a random delay of every hint, which also reorders.
	MinDelay, MaxDelay time.Duration
	// Reorder is the chance that a hint is held back for up to ReorderBy (default 100 ms) while later ones pass.
	Reorder   float64
	ReorderBy time.Duration
	// VisibleAfter keeps the change from readers for that long after its hints were sent: Alvao calls applications
	// inside the open transaction. The writer waits too.
	VisibleAfter time.Duration
}

// Application is the companion application's configuration: where it posts and how it signs.
type Application struct {
	// URL receives the hints.
	URL string
	// Key signs: the message authentication code is HMAC-SHA256 over `timestamp.body` with the bytes of this string.
	Key string
	// Skip are logins whose own changes are not announced, but for the records they make; Tandem's application account
	// belongs here.
	Skip []string
	// Bodies adds the records' contents, for tenants whose log can't be read. Their marks are told in any case.
	Bodies bool
	// NoLinks leaves out where the contents of attachments are read.
	NoLinks bool
}

func (o *Options) defaults() {
	if o.BasePath == "" {
		o.BasePath = "/AlvaoRestApi"
	}
	if o.Directory == nil {
		o.Directory = DefaultDirectory()
	}
	if o.Accounts == nil {
		o.Accounts = DefaultAccounts()
	}
	if o.AttachmentBlacklist == nil {
		o.AttachmentBlacklist = []string{".exe", ".bat"}
	}
	setDefault(&o.PageSize, 100)
	setDefault(&o.MaxTop, 100_000)
	setDefault(&o.MaxQueryString, 2048)
	setDefault(&o.MaxBody, 30_000_000)
	setDefault(&o.LedgerLimit, 1_000_000)
	setDefault(&o.HookTimeout, 10*time.Second)
	setDefault(&o.HookWorkers, 8)
	if o.Now == nil {
		o.Now = time.Now //nolint:forbidigo // the place where the clock is chosen
	}
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
