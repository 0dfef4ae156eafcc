package azuredevops

import (
	"net/url"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
	"github.com/tandem-sync/tandem/services/synccore/internal/weburl"
)

// address is a project URL taken apart. Case is kept everywhere, because Server
// hosts behind case-sensitive proxies exist; comparing is done on key.
type address struct {
	// account is the organisation's or collection's URL without a slash at its end.
	account string
	// project is the name or GUID, not escaped.
	project string
	// organization is the organisation's name on Azure DevOps Services, else empty.
	organization string
	// identities is the URL below which people are looked up.
	identities string
	// key identifies the account across its URL forms, see accountKey.
	key string
	// origins are the places that may be called with the account's credential.
	origins []outbound.Origin
}

const (
	servicesHost   = "dev.azure.com"
	identitiesHost = "vssps.dev.azure.com"
	legacySuffix   = ".visualstudio.com"
)

// parseAddress reads a project URL of any form (azure-devops.md §3.4):
// https://dev.azure.com/{org}/{project}, https://{org}.visualstudio.com/{project},
// https://{host}/[tfs/]{collection}/{project}.
func parseAddress(raw string) (address, error) {
	raw = strings.TrimRight(strings.TrimSpace(raw), "/")
	if _, err := outbound.ParseOrigin(raw); err != nil {
		return address{}, misconfigured("The Azure DevOps project URL is unusable: %s.", err)
	}
	u, err := url.Parse(raw)
	if err != nil {
		return address{}, misconfigured("The Azure DevOps project URL is not a URL.")
	}
	segments := strings.Split(strings.Trim(u.EscapedPath(), "/"), "/")
	last := segments[len(segments)-1]
	project, err := url.PathUnescape(last)
	if err != nil || strings.TrimSpace(project) == "" {
		return address{}, misconfigured("The Azure DevOps project URL names no project; write it as https://dev.azure.com/{organization}/{project}.")
	}
	host := strings.ToLower(u.Hostname())
	switch {
	case host == servicesHost && len(segments) != 2,
		strings.HasSuffix(host, legacySuffix) && len(segments) > 2:
		return address{}, misconfigured("The Azure DevOps project URL must be https://dev.azure.com/{organization}/{project} and end with the project.")
	case len(segments) > 1 && strings.HasPrefix(segments[len(segments)-2], "_"), strings.HasPrefix(project, "_"):
		return address{}, misconfigured("The Azure DevOps project URL must end with the project, without a page such as _boards behind it.")
	}
	account := strings.TrimRight(raw[:strings.LastIndex(raw, "/")], "/")
	origin, err := outbound.ParseOrigin(account)
	if err != nil {
		return address{}, misconfigured("The Azure DevOps project URL is unusable: %s.", err)
	}
	a := address{account: account, project: project, identities: account, origins: []outbound.Origin{origin}}
	a.key, a.organization = accountKey(account)
	if host == servicesHost {
		a.identities = "https://" + identitiesHost + "/" + a.organization
		identities, err := outbound.ParseOrigin(a.identities)
		if err != nil {
			return address{}, misconfigured("The Azure DevOps project URL is unusable: %s.", err)
		}
		a.origins = append(a.origins, identities)
	}
	return a, nil
}

// accountKey names an account alike whatever form its URL has, and gives the
// organisation's name on Azure DevOps Services. Both are empty where raw is no URL.
func accountKey(raw string) (string, string) {
	u, err := url.Parse(strings.TrimSpace(raw))
	if err != nil || u.Hostname() == "" {
		return "", ""
	}
	segments := strings.Split(strings.Trim(u.Path, "/"), "/")
	host := strings.ToLower(u.Hostname())
	var organization string
	switch {
	case host == servicesHost || host == identitiesHost:
		organization = segments[0]
	case strings.HasSuffix(host, legacySuffix):
		organization, _, _ = strings.Cut(u.Hostname(), ".")
	default:
		// The scheme does not count: a proxy may end TLS before the server.
		return weburl.HostPort(u) + "/" + strings.ToLower(strings.Join(segments, "/")), ""
	}
	if organization == "" {
		return "", ""
	}
	return servicesHost + "/" + strings.ToLower(organization), organization
}

// WebURL leads a person to a work item.
func (c *Client) WebURL(id int64) string { return c.webURL(c.at.project, id) }

// AccountURL is the organisation's or collection's URL, without a slash at its end.
func (c *Client) AccountURL() string { return c.at.account }

// ProjectName is the project as the settings name it: a name or a GUID.
func (c *Client) ProjectName() string { return c.at.project }

// Covers tells whether an event of that account and project belongs to this client.
// The first result, match, is false only where something told speaks against it; the
// second, known, is true where enough was told to be sure. Every argument may be empty: what a service hook tells
// differs by server and by its age (azure-devops.md §1.2). projectID counts more than
// projectName, which renames change, but only after Project has resolved it.
func (c *Client) Covers(accountURL, projectID, projectName string) (bool, bool) {
	account, _ := accountKey(accountURL)
	if account != "" && account != c.at.key {
		return false, true
	}
	own := c.projectID()
	switch {
	case projectID != "" && own != "":
		// A GUID is unique across accounts.
		return strings.EqualFold(projectID, own), true
	case projectName != "" && !isGUID(c.at.project):
		same := strings.EqualFold(strings.TrimSpace(projectName), strings.TrimSpace(c.at.project))
		return same, !same || account != ""
	default:
		return true, false
	}
}

func misconfigured(format string, args ...any) *fault.Fault {
	return fault.New(fault.Misconfigured, format, args...)
}

func isGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, r := range s {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		hex := (r >= '0' && r <= '9') || (r >= 'a' && r <= 'f') || (r >= 'A' && r <= 'F')
		if dash != (r == '-') || (!dash && !hex) {
			return false
		}
	}
	return true
}
