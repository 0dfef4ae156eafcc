package azuredevops

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lenient"
)

// Project is the project as Azure DevOps knows it. The ID survives renames.
type Project struct {
	ID, Name string
}

// Project resolves the configured project once and remembers it. Tokens with the
// scopes of Alvao's manual may lack the right to read projects, so nothing but
// Covers depends on it.
func (c *Client) Project(ctx context.Context) (Project, error) {
	if p := c.project.Load(); p != nil {
		return *p, nil
	}
	return c.readProject(ctx, c.at.project)
}

// ProjectID is the project's GUID, which service hooks name it by.
func (c *Client) ProjectID(ctx context.Context) (string, error) {
	p, err := c.Project(ctx)
	return p.ID, err
}

// readProject reads the project by its name or GUID.
func (c *Client) readProject(ctx context.Context, ref string) (Project, error) {
	var w struct {
		ID   lenient.Text `json:"id"`
		Name lenient.Text `json:"name"`
	}
	q := call{
		method: http.MethodGet, path: "/_apis/projects/" + url.PathEscape(ref),
		subject: "project " + c.at.project, deed: "read",
	}
	_, err := c.do(ctx, q, &w)
	if fault.Is(err, fault.NotFound) {
		err = fault.Wrap(err, fault.Misconfigured,
			"The project %s does not exist in %s; correct the URL in the connector's settings.", c.at.project, c.at.account)
	}
	if err != nil {
		return Project{}, err
	}
	if !isGUID(string(w.ID)) {
		return Project{}, fault.New(fault.Unavailable, "%s", c.words().OutOfReach(q.told(), "sent an answer that is no project"))
	}
	p := Project{ID: string(w.ID), Name: string(w.Name)}
	c.project.Store(&p)
	return p, nil
}

// place finds which of the work items lie in another project: those can be read and
// even written with the same token (azure-devops.md §1.6).
func (c *Client) place(ctx context.Context, workItems ...*item.WorkItem) error {
	for _, w := range workItems {
		elsewhere, err := c.elsewhere(ctx, w.Project)
		if err != nil {
			return err
		}
		w.Elsewhere = elsewhere
	}
	return nil
}

// elsewhere tells whether a project is another one than the connector's, by its name.
// Names change: one that is not the known one is compared with the project's present
// name, asked for by its GUID. Where the token may not read projects the settings' name
// counts; where nothing is certain the item counts as ours.
func (c *Client) elsewhere(ctx context.Context, name string) (bool, error) {
	known := c.project.Load()
	switch {
	case name == "":
		return false, nil
	case known == nil:
		return !isGUID(c.at.project) && !strings.EqualFold(c.at.project, name), nil
	case strings.EqualFold(known.Name, name):
		return false, nil
	}
	present, err := c.others.Get(ctx, strings.ToLower(name), func(ctx context.Context) (Project, error) {
		return c.readProject(ctx, known.ID)
	})
	switch {
	case err == nil:
	case passes(err):
		return false, err
	default:
		return false, nil
	}
	return !strings.EqualFold(present.Name, name), nil
}

// projectID is the project's GUID where it is known; empty where not.
func (c *Client) projectID() string {
	if p := c.project.Load(); p != nil {
		return p.ID
	}
	if isGUID(c.at.project) {
		return c.at.project
	}
	return ""
}

// Identity is who the access token belongs to.
type Identity struct {
	// ID is the GUID that ChangedBy and CreatedBy carry; compare nothing else, the
	// descriptors differ by endpoint (azure-devops.md §10).
	ID   string
	Name string
	// Account is the user name; empty if not told.
	Account string
}

// Identity tells who the access token belongs to. Remembered for DescriptionTTL.
func (c *Client) Identity(ctx context.Context) (Identity, error) {
	return c.identity.Get(ctx, "", c.readIdentity)
}

func (c *Client) readIdentity(ctx context.Context) (Identity, error) {
	q := connectionData()
	var w wireConnection
	if _, err := c.do(ctx, q, &w); err != nil {
		return Identity{}, err
	}
	return c.identified(w, q)
}

type wireConnection struct {
	DeploymentType    lenient.Text `json:"deploymentType"`
	AuthenticatedUser struct {
		ID                  lenient.Text `json:"id"`
		ProviderDisplayName lenient.Text `json:"providerDisplayName"`
		CustomDisplayName   lenient.Text `json:"customDisplayName"`
		Properties          struct {
			Account struct {
				Value lenient.Text `json:"$value"`
			}
		} `json:"properties"`
	} `json:"authenticatedUser"`
}

// anonymous is the identity that Azure DevOps gives to calls without a valid token
// on resources that are open to everybody.
const anonymous = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"

func connectionData() call {
	// The resource exists only in preview (azure-devops.md §10).
	return call{
		method: http.MethodGet, path: "/_apis/connectionData", preview: "-preview",
		subject: "the account of the access token", deed: "read",
	}
}

func (c *Client) identified(w wireConnection, q call) (Identity, error) {
	user := w.AuthenticatedUser
	if strings.EqualFold(string(w.DeploymentType), "hosted") {
		c.hosted.Store(true)
	}
	switch user.ID {
	case anonymous:
		return Identity{}, c.badToken(nil)
	case "":
		return Identity{}, fault.New(fault.Unavailable, "%s", c.words().OutOfReach(q.told(), "sent an answer that names no account"))
	}
	name := string(user.CustomDisplayName)
	if name == "" {
		name = string(user.ProviderDisplayName)
	}
	return Identity{ID: string(user.ID), Name: name, Account: string(user.Properties.Account.Value)}, nil
}
