package azuredevops

import (
	"encoding/base64"
	"hash/fnv"
	"net/http"
	"strings"

	"github.com/google/uuid"
)

// namespace is what ids derived from names hang on, so that they are the same after each start.
func namespace() uuid.UUID { return uuid.MustParse("6f7a3b0e-6a4e-4c57-9d6c-2f1f6f0a5c11") }

// derivedID gives a GUID that depends only on its parts.
func derivedID(parts ...string) string {
	return uuid.NewSHA1(namespace(), []byte(strings.ToLower(strings.Join(parts, "\x00")))).String()
}

// complete makes a user with all fields filled.
func complete(u User) *User {
	if u.DisplayName == "" {
		name, _, _ := strings.Cut(u.UniqueName[strings.LastIndexByte(u.UniqueName, '\\')+1:], "@")
		u.DisplayName = name
	}
	u.Mail = orElse(u.Mail, u.UniqueName)
	u.ID = orElse(u.ID, derivedID("user", u.UniqueName))
	return &u
}

// full is the identity as a string: "Display <unique>".
func (u *User) full() string { return u.DisplayName + " <" + u.UniqueName + ">" }

// descriptor is the Entra-style subject descriptor. Recorded ones hold a GUID that is not the identity's id, so this
// one is another too.
func (u *User) descriptor() string {
	return "aad." + base64.RawStdEncoding.EncodeToString([]byte(derivedID("descriptor", u.UniqueName)))
}

// personID is a number that stands for the user in System.PersonId.
func (u *User) personID() int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(u.ID))
	return int(h.Sum32()%900_000_000) + 100_000_000
}

// link is one entry of `_links`.
type link struct {
	Href string `json:"href"`
}

// identityRef is a person in an answer, with the recorded keys.
type identityRef struct {
	DisplayName string          `json:"displayName"`
	URL         string          `json:"url"`
	Links       map[string]link `json:"_links"`
	ID          string          `json:"id"`
	UniqueName  string          `json:"uniqueName"`
	ImageURL    string          `json:"imageUrl"`
	Descriptor  string          `json:"descriptor"`
}

// namedIdentityRef is a person in an update, which has the full name too.
type namedIdentityRef struct {
	ID          string          `json:"id"`
	Name        string          `json:"name"`
	DisplayName string          `json:"displayName"`
	URL         string          `json:"url"`
	Links       map[string]link `json:"_links"`
	UniqueName  string          `json:"uniqueName"`
	ImageURL    string          `json:"imageUrl"`
	Descriptor  string          `json:"descriptor"`
}

// person renders a user. An unknown person is a bare string.
func (p place) person(v any) any {
	u, ok := v.(*User)
	if !ok {
		return v
	}
	avatar := p.root + "/_apis/GraphProfile/MemberAvatars/" + u.descriptor()
	return identityRef{
		DisplayName: u.DisplayName, URL: p.root + "/_apis/Identities/" + u.ID,
		Links: map[string]link{"avatar": {avatar}}, ID: u.ID, UniqueName: u.UniqueName, ImageURL: avatar, Descriptor: u.descriptor(),
	}
}

// namedPerson renders whoever made an update.
func (p place) namedPerson(v any) any {
	u, ok := v.(*User)
	if !ok {
		name, _ := v.(string)
		return namedIdentityRef{Name: name, DisplayName: name}
	}
	avatar := p.root + "/_apis/GraphProfile/MemberAvatars/" + u.descriptor()
	return namedIdentityRef{
		ID: u.ID, Name: u.full(), DisplayName: u.DisplayName, URL: p.root + "/_apis/Identities/" + u.ID,
		Links: map[string]link{"avatar": {avatar}}, UniqueName: u.UniqueName, ImageURL: avatar, Descriptor: u.descriptor(),
	}
}

// property is the typed form of identity properties.
type property struct {
	Type  string `json:"$type"`
	Value string `json:"$value"`
}

func text(s string) property { return property{"System.String", s} }

// identity is a person as the identity search shows it.
type identity struct {
	ID                  string              `json:"id"`
	Descriptor          string              `json:"descriptor"`
	SubjectDescriptor   string              `json:"subjectDescriptor"`
	ProviderDisplayName string              `json:"providerDisplayName"`
	IsActive            bool                `json:"isActive,omitempty"`
	Members             *[]string           `json:"members,omitempty"`
	MemberOf            *[]string           `json:"memberOf,omitempty"`
	MemberIDs           *[]string           `json:"memberIds,omitempty"`
	Properties          map[string]property `json:"properties"`
	ResourceVersion     int                 `json:"resourceVersion"`
	MetaTypeID          int                 `json:"metaTypeId"`
}

func (s *Server) identity(u *User) identity {
	return identity{
		ID: u.ID, Descriptor: "Microsoft.IdentityModel.Claims.ClaimsIdentity;" + s.tenantID + `\` + u.UniqueName,
		SubjectDescriptor: u.descriptor(), ProviderDisplayName: u.DisplayName, IsActive: !u.Inactive,
		Properties: map[string]property{"Account": text(u.UniqueName)}, ResourceVersion: 2,
	}
}

// serveIdentities is the identity search of the account URL. Hosted, it lives on vssps.dev.azure.com.
func (s *Server) serveIdentities(c *call) (answer, error) {
	filter, value := strings.ToLower(c.query("searchFilter")), c.query("filterValue")
	ids := c.query("identityIds")
	if filter == "" && ids == "" {
		return answer{}, badRequest("ArgumentException", "A search filter or identity ids must be given.")
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	found := []identity{}
	for _, u := range s.users {
		if !matchesIdentity(u, filter, value, ids) {
			continue
		}
		i := s.identity(u)
		none := []string{}
		i.Members, i.MemberOf, i.MemberIDs = &none, &none, &none
		i.Properties = map[string]property{
			"SchemaClassName": text("User"), "Description": text(""), "Domain": text(s.tenantID), "Account": text(u.UniqueName),
			"DN": text(""), "Mail": text(u.Mail), "SpecialType": text("Generic"), "DirectoryAlias": text(alias(u)),
			"ComplianceValidated": {"System.DateTime", stamp(s.started)},
			"http://schemas.microsoft.com/identity/claims/objectidentifier": text(derivedID("object", u.UniqueName)),
		}
		found = append(found, i)
	}
	return list(found)
}

func alias(u *User) string {
	name, _, _ := strings.Cut(u.UniqueName, "@")
	return name
}

func matchesIdentity(u *User, filter, value, ids string) bool {
	if filter == "" {
		for id := range strings.SplitSeq(ids, ",") {
			if strings.EqualFold(strings.TrimSpace(id), u.ID) {
				return true
			}
		}
		return false
	}
	switch filter {
	case "general":
		return strings.EqualFold(value, u.UniqueName) || strings.EqualFold(value, u.Mail) || strings.EqualFold(value, u.DisplayName) || strings.EqualFold(value, alias(u))
	case "mailaddress":
		return strings.EqualFold(value, u.Mail)
	case "accountname":
		return strings.EqualFold(value, u.UniqueName)
	case "displayname":
		return strings.EqualFold(value, u.DisplayName)
	case "directoryalias", "alias":
		return strings.EqualFold(value, alias(u))
	}
	return false
}

// user finds a person by unique name.
func (s *Server) user(uniqueName string) (*User, bool) {
	for _, u := range s.users {
		if strings.EqualFold(u.UniqueName, uniqueName) {
			return u, true
		}
	}
	return nil, false
}

// resolvePerson finds whom an identity value of a patch means: an identity object, "Display <unique>", a unique name,
// or a display name that only one person has. A bare identity GUID is refused (azure-devops.md §2.6).
func (s *Server) resolvePerson(raw any) (*User, bool) {
	switch v := raw.(type) {
	case *User:
		return v, true
	case map[string]any:
		id, _ := v["id"].(string)
		name, _ := v["uniqueName"].(string)
		for _, u := range s.users {
			if !u.Inactive && (id != "" && strings.EqualFold(u.ID, id) || id == "" && strings.EqualFold(u.UniqueName, name)) {
				return u, true
			}
		}
	case string:
		name := strings.TrimSpace(v)
		if open := strings.LastIndexByte(name, '<'); open >= 0 && strings.HasSuffix(name, ">") {
			name = name[open+1 : len(name)-1]
		}
		if u, ok := s.user(name); ok && !u.Inactive {
			return u, true
		}
		var match *User
		for _, u := range s.users {
			if !u.Inactive && strings.EqualFold(u.DisplayName, name) {
				if match != nil {
					return nil, false
				}
				match = u
			}
		}
		return match, match != nil
	}
	return nil, false
}

// serveConnectionData tells who the caller is.
func (s *Server) serveConnectionData(c *call) (answer, error) {
	me := s.identity(c.user)
	kind := "hosted"
	if s.opts.Flavor == OnPremises {
		kind = "onPremises"
	}
	return ok(map[string]any{
		"authenticatedUser": me, "authorizedUser": me,
		"instanceId": s.collectionID, "deploymentId": derivedID("deployment", s.opts.Organization), "deploymentType": kind,
		"locationServiceData": map[string]any{
			"serviceOwner": "00025394-6065-48ca-87d9-7f5672854ef7", "defaultAccessMappingMoniker": "PublicAccessMapping",
			"lastChangeId": 1, "lastChangeId64": 1,
		},
	})
}

// serveProfile is the caller's own profile; hosted, it lives on vssps.dev.azure.com.
func (s *Server) serveProfile(c *call) (answer, error) {
	if c.args[0] != "me" && !strings.EqualFold(c.args[0], c.user.ID) {
		return answer{}, &Error{Status: http.StatusNotFound, TypeKey: "ProfileDoesNotExistException", Message: "Could not find the profile of " + c.args[0] + "."}
	}
	return ok(map[string]any{
		"displayName": c.user.DisplayName, "publicAlias": c.user.ID, "emailAddress": c.user.Mail,
		"coreRevision": 1, "timeStamp": stamp(s.started), "id": c.user.ID, "revision": 1,
	})
}
