// Package sandbox puts the stand-in Azure DevOps, the stand-in Alvao, the faults between them and a caller, and the page
// that shows both, behind one handler: for programs that embed it in process and for cmd/sandbox.
//
// The invariant: the two stand-ins know nothing of each other. All that connects them is what Tandem writes.
//
// On one listener:
//
//	/                        the page, and /sandbox/… its API (package page)
//	/azuredevops/{org}/…     Azure DevOps (package azuredevops)
//	/AlvaoRestApi/…          Alvao (package alvao)
//	/Alvao/Ticket/{id}       a ticket's page: leads to the page
//	/azuredevops/{org}/{project}/_workitems/edit/{id}   a work item's page: leads to the page
//	/teams/workflows/sandbox Teams, as far as a webhook shows of it (package teams)
//
// On a listener of its own, if asked for: a mail server (package mail).
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/tandem-sync/tandem/services/sandbox/alvao"
	"github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	"github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/sandbox/mail"
	"github.com/tandem-sync/tandem/services/sandbox/page"
	"github.com/tandem-sync/tandem/services/sandbox/teams"
)

// The names of the example that the default options set up.
const (
	// Organization and Project are Azure DevOps' side.
	Organization = "contoso"
	Project      = "Alvaoproject"
	// Service is Alvao's side.
	Service = "Development"
	// Token is the personal access token that may do everything, Login and Password are Alvao's application account.
	Token    = "sandbox-pat"
	Login    = alvao.ApplicationAccount
	Password = "tandem"
	// MailUser and MailPassword are what the mail server demands.
	MailUser     = "tandem@contoso.com"
	MailPassword = "sandbox-mail"
)

// Paths of the two APIs below the base URL.
const (
	azureDevOpsPath = "/azuredevops"
	alvaoPath       = "/AlvaoRestApi"
	teamsPath       = "/teams/workflows/sandbox"
	// teamsSignature is the secret in the webhook's address.
	teamsSignature = "sandbox-signature"
)

// Options configures a [Sandbox]. The zero value is the example of the seed: organisation contoso with Alvaoproject on
// the Basic process, and Alvao's service Development.
type Options struct {
	// BaseURL is scheme, host and port at which Handler is reached, such as "http://127.0.0.1:8090". It may be set later,
	// by [Sandbox.SetBaseURL], when the listener is open.
	BaseURL string
	// AzureDevOps and Alvao configure the stand-ins. Their base URLs and paths are set here.
	AzureDevOps azuredevops.Options
	Alvao       alvao.Options
	// ExternalID is the ticket column that holds the work item's id; default [alvao.ExternalIDColumn].
	ExternalID string
	// Kinds are the work item types that the page offers; default Task, Issue and Epic.
	Kinds []string
	// Seed fixes the chance of faults and of webhook delivery.
	Seed uint64
}

// Sandbox is both stand-ins, running. Its parts may be used by several goroutines.
type Sandbox struct {
	AzureDevOps *azuredevops.Server
	Alvao       *alvao.Server
	// Faults breaks calls to the stand-ins; the page and its API are spared. Paths in rules are whole paths, such as
	// "/AlvaoRestApi/**".
	Faults *fault.Set
	// Teams keeps the cards that are posted. Mail is nil until [Sandbox.StartMail].
	Teams *teams.Server
	Mail  *mail.Server
	Page  *page.Page
	// Handler answers everything.
	Handler http.Handler

	project azuredevops.Project
}

// adminName is who sets hooks up.
const adminName = "administrator@contoso.com"

// projectID is the GUID of the project.
func (s *Sandbox) projectID() string { return s.AzureDevOps.AddProject(s.project) }

// New starts both stand-ins. The people of Alvao's directory are made known to Azure DevOps, so that they can be paired
// by user name.
func New(o Options) (*Sandbox, error) {
	if o.ExternalID == "" {
		o.ExternalID = alvao.ExternalIDColumn
	}
	if len(o.Kinds) == 0 {
		o.Kinds = []string{"Task", "Issue", "Epic"}
	}
	project := azuredevops.Project{Name: Project}
	if len(o.AzureDevOps.Projects) > 0 {
		project = o.AzureDevOps.Projects[0]
	}
	if o.Alvao.Seed == 0 {
		o.Alvao.Seed = o.Seed
	}
	o.Alvao.BasePath, o.Alvao.BaseURL = alvaoPath, o.BaseURL
	desk, err := alvao.New(o.Alvao)
	if err != nil {
		return nil, fmt.Errorf("starting Alvao: %w", err)
	}
	if o.BaseURL != "" {
		o.AzureDevOps.BaseURL = strings.TrimRight(o.BaseURL, "/") + azureDevOpsPath
	}
	devops := azuredevops.New(o.AzureDevOps)
	names := map[string]string{"tandem@contoso.com": "Tandem"}
	for _, p := range desk.Persons() {
		name := strings.TrimSpace(p.FirstName + " " + p.LastName)
		if !p.IsApp && !p.IsSystem && !p.IsGuest {
			devops.AddUser(azuredevops.User{UniqueName: p.Login, DisplayName: name, Inactive: p.IsDisabled})
		}
		names[strings.ToLower(p.Login)] = name
	}
	s := &Sandbox{AzureDevOps: devops, Alvao: desk, Faults: fault.NewSet(o.Seed), Teams: teams.New(teamsSignature), project: project}
	s.Page = page.NewPage(page.Options{
		Tickets: page.NewTicketSystem(desk, o.ExternalID),
		WorkItems: page.NewWorkItemSystem(devops, project.Name, o.Kinds, func(login string) string {
			if name, ok := names[strings.ToLower(login)]; ok {
				return name
			}
			return login
		}),
		Faults:  s.Faults,
		Notices: http.HandlerFunc(s.notices),
	})
	s.Handler = s.routes()
	return s, nil
}

func (s *Sandbox) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", s.Page)
	mux.Handle(azureDevOpsPath+"/", s.Faults.Middleware(http.StripPrefix(azureDevOpsPath, s.AzureDevOps)))
	mux.Handle(alvaoPath+"/", s.Faults.Middleware(s.Alvao))
	// A tenant's base URL may be written in any case, and Alvao's routes do not care.
	mux.Handle(strings.ToLower(alvaoPath)+"/", s.Faults.Middleware(s.Alvao))
	mux.Handle(teamsPath, s.Faults.Middleware(s.Teams))
	mux.HandleFunc("GET /Alvao/Ticket/{id}", toCard("ticket"))
	mux.HandleFunc("GET "+azureDevOpsPath+"/{org}/{project}/_workitems/edit/{id}", toCard("work-item"))
	return mux
}

// toCard leads a person's link to an item to its card on the page.
func toCard(kind string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.Atoi(r.PathValue("id"))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		http.Redirect(w, r, "/#"+kind+"-"+strconv.Itoa(id), http.StatusFound)
	}
}

// SetBaseURL tells both stand-ins where they are reached, when that is known only after listening.
func (s *Sandbox) SetBaseURL(base string) {
	base = strings.TrimRight(base, "/")
	s.AzureDevOps.SetBaseURL(base + azureDevOpsPath)
	s.Alvao.SetBaseURL(base)
}

// ProjectURL is the URL of the Azure DevOps project, as it stands in a connector's settings.
func (s *Sandbox) ProjectURL() string {
	return s.AzureDevOps.URL() + "/" + url.PathEscape(s.project.Name)
}

// TeamsURL is the address of the Teams webhook below a base URL. It holds its secret, as the real one does.
func TeamsURL(base string) string {
	return strings.TrimRight(base, "/") + teamsPath + "?api-version=1&sig=" + teamsSignature
}

// StartMail starts the mail server at an address, such as "127.0.0.1:0". It demands [MailUser] and [MailPassword] over
// STARTTLS. Call it before Handler is used; Close stops it.
func (s *Sandbox) StartMail(ctx context.Context, address string) error {
	server, err := mail.Start(ctx, address, mail.Options{User: MailUser, Password: MailPassword, Faults: s.Faults})
	if err != nil {
		return fmt.Errorf("starting the mail server: %w", err)
	}
	s.Mail = server
	return nil
}

// AlvaoURL is the URL of AlvaoRestApi below a base URL.
func AlvaoURL(base string) string { return strings.TrimRight(base, "/") + alvaoPath }

// Close stops deliveries and event streams and waits for them. Close the listener first.
func (s *Sandbox) Close() error {
	s.Page.Close()
	s.Faults.Clear()
	s.Alvao.Close()
	if s.Mail != nil {
		if err := s.Mail.Close(); err != nil {
			return err //nolint:wrapcheck // it says what was done
		}
	}
	if err := s.AzureDevOps.Close(); err != nil {
		return fmt.Errorf("closing Azure DevOps: %w", err)
	}
	return nil
}

// errNoHooks says what Connect needs.
var errNoHooks = errors.New("a gateway URL, a connector and a hook secret are needed")
