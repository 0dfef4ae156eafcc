package mapping

import (
	"errors"
	"net/url"
	"path"
	"strings"
)

// Project is the Azure DevOps project that a connector serves.
type Project struct {
	// Account is the address of the organisation or collection, without a slash at
	// its end, as in https://dev.azure.com/contoso or https://host/tfs/Collection.
	Account string
	// Name is the project's name, decoded.
	Name string
}

// URL is the project's address.
func (p Project) URL() string { return p.Account + "/" + url.PathEscape(p.Name) }

// Same tells whether both are one project; names of hosts, organisations and
// projects know no case.
func (p Project) Same(o Project) bool {
	return strings.EqualFold(p.Account, o.Account) && strings.EqualFold(p.Name, o.Name)
}

// addressError is a refusal with its remedy.
type addressError struct{ text, remedy string }

func (e *addressError) Error() string { return e.text }

// ParseProject reads the address of a project. Alvao's manual prints the form as
// https://dev.azure.com/\{organization}/\{project}; braces and backslashes that
// were left around real names are dropped, the placeholders themselves refused.
func ParseProject(raw string) (Project, error) {
	text := strings.TrimSpace(raw)
	for _, placeholder := range []string{"{organization}", "{project}"} {
		if strings.Contains(strings.ToLower(text), placeholder) {
			return Project{}, &addressError{
				"the address still holds the placeholder " + placeholder + " of the manual",
				"Put your own organization's and project's names in, as in " + exampleProject,
			}
		}
	}
	text = strings.NewReplacer(`\{`, "", `\}`, "", "{", "", "}", "").Replace(text)
	u, err := url.Parse(text)
	if err != nil {
		// url's own error repeats the text, which may hold a password.
		return Project{}, &addressError{"it is not an address", "Write the project's address, as in " + exampleProject}
	}
	if problem := CheckAddress(u, exampleProject); problem != nil {
		return Project{}, problem
	}
	segments := strings.Split(strings.Trim(u.EscapedPath(), "/"), "/")
	for i, s := range segments {
		if strings.HasPrefix(s, "_") {
			return Project{}, &addressError{
				"the address leads to a page within the project (" + strings.Join(segments[i:], "/") + ")",
				"Cut it off after the project's name, as in " + exampleProject,
			}
		}
		if s == "" || s == "." || s == ".." {
			return Project{}, &addressError{
				"the address has an empty or relative part in its path",
				"Write it as in " + exampleProject,
			}
		}
	}
	wanted := 2
	if strings.HasSuffix(strings.ToLower(u.Hostname()), ".visualstudio.com") {
		wanted = 1
	}
	if len(segments) < wanted {
		return Project{}, &addressError{
			"the address names no project",
			"Put organization and project behind the host, as in " + exampleProject,
		}
	}
	if strings.EqualFold(u.Hostname(), "dev.azure.com") && len(segments) > wanted {
		return Project{}, &addressError{
			"the address goes on behind the project's name",
			"Cut it off after organization and project, as in " + exampleProject,
		}
	}
	name, err := url.PathUnescape(path.Base(u.EscapedPath()))
	if err != nil {
		return Project{}, &addressError{"the project's name is badly encoded", "Write it as in " + exampleProject}
	}
	u.RawPath = ""
	u.Path = ""
	account := append([]string{strings.TrimSuffix(u.String(), "/")}, segments[:len(segments)-1]...)
	return Project{Account: strings.Join(account, "/"), Name: name}, nil
}

const exampleProject = "https://dev.azure.com/contoso/Alvaoproject"

// CheckAddress refuses what no address of either system can hold. The error's text is a
// clause for a person and Remedy tells what to do about it.
func CheckAddress(u *url.URL, example string) error {
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return &addressError{"the address does not begin with https:// or http://", "Write it in full, as in " + example}
	case u.Hostname() == "":
		return &addressError{"the address names no host", "Write it in full, as in " + example}
	case u.User != nil:
		return &addressError{"the address holds a user name", "Remove what stands before the @; user names and tokens have settings of their own"}
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return &addressError{"the address goes on behind ? or #", "Cut it off before that, as in " + example}
	default:
		return nil
	}
}

// Remedy is what to do about an error of ParseProject or CheckAddress.
func Remedy(err error) string {
	if refusal, ok := errors.AsType[*addressError](err); ok {
		return refusal.remedy
	}
	return "Write it as in " + exampleProject
}
