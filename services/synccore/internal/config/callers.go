package config

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/tandem-sync/tandem/services/synccore/internal/secret"
)

// Roles are the words for what a caller of the API may do. Each of the first three may
// do what those before it may; edge is apart: it may bring events and nothing else.
const (
	RoleViewer   = "viewer"
	RoleOperator = "operator"
	RoleAdmin    = "admin"
	RoleEdge     = "edge"
)

// Callers say who may call the API. The zero value: nobody.
type Callers struct {
	// Anonymous is what callers without any credentials may do; empty: nothing.
	Anonymous string
	// Tokens are the bearer tokens that are known one by one.
	Tokens []CallerToken
	// Certificates are the client certificates, by the name in them.
	Certificates []CallerCertificate
	// Issuers are whose signed tokens (JWT) are believed.
	Issuers []Issuer
	// Limit bounds how often one caller may call.
	Limit CallLimit
}

// Grant is a role, and where it holds.
type Grant struct {
	// Role is one of the roles above.
	Role string
	// Connectors are the names of the connectors that it holds for; empty: all.
	Connectors []string
}

// CallerToken is a caller with a bearer token. Exactly one of SHA256 and Secret is
// given.
type CallerToken struct {
	// Name is what the audit log calls the caller.
	Name string
	Grant

	// SHA256 is the token's hash in hexadecimal, so that this file holds no token.
	SHA256 string
	// Secret is where the token itself is, such as one shared with the gateway.
	Secret secret.Ref
	// Expires is when the token ends; zero: never.
	Expires time.Time
}

// CallerCertificate is a caller with a client certificate.
type CallerCertificate struct {
	// Name is a DNS name or URI of the certificate's subject alternative names, or its
	// common name where it has none of them.
	Name string
	Grant
}

// Issuer signs tokens, as Microsoft Entra does.
type Issuer struct {
	// URL is the iss of its tokens; its keys are found at
	// URL/.well-known/openid-configuration.
	URL string
	// Audience is the aud that a token has to have.
	Audience string
	// RolesClaim is the claim that holds a caller's roles, as a text or a list of texts.
	RolesClaim string
	// Roles say what the values of that claim mean.
	Roles []IssuerRole
	// CAFile is a PEM file of certificate authorities to trust beside the system's;
	// empty: none.
	CAFile string
}

// IssuerRole says what one value of the roles claim means.
type IssuerRole struct {
	// Value is the claim's value.
	Value string
	Grant
}

// CallLimit bounds how often one caller may call; the gateway's events are not counted.
type CallLimit struct {
	// PerSecond is the sustained rate of calls, Burst how many may come at once.
	PerSecond float64
	Burst     int
}

// Edge tells whether anybody may bring events as the gateway does.
func (c Callers) Edge() bool {
	brings := func(role string) bool { return role == RoleEdge || role == RoleOperator || role == RoleAdmin }
	return brings(c.Anonymous) ||
		slices.ContainsFunc(c.Tokens, func(t CallerToken) bool { return brings(t.Role) }) ||
		slices.ContainsFunc(c.Certificates, func(t CallerCertificate) bool { return brings(t.Role) })
}

func defaultLimit() CallLimit { return CallLimit{PerSecond: 50, Burst: 200} }

const defaultRolesClaim = "roles"

// callers reads who may call the API.
func (r *reader) callers(v value, connectors []Connector) Callers {
	c := Callers{Limit: defaultLimit()}
	o, ok := r.object(v, callersKeys())
	if !ok {
		return c
	}
	if at := o.get("anonymous"); !at.absent() {
		c.Anonymous = r.choice(at, callerRoles()[:3], "")
		r.warn(at, "everybody who reaches the API may use it without showing who they are", "Leave anonymous to demonstrations; give each caller a token")
	}
	names, hashes := map[string]bool{}, map[string]bool{}
	for _, item := range r.list(o.get("tokens")) {
		if t, ok := r.callerToken(item, connectors); ok {
			r.once(item, names, t.Name, "a second caller is named "+t.Name, "Give each its own name, which the audit log tells")
			r.once(item, hashes, t.SHA256, "a second caller has the same token", "Give each caller a token of its own")
			c.Tokens = append(c.Tokens, t)
		}
	}
	for _, item := range r.list(o.get("certificates")) {
		if t, ok := r.callerCertificate(item, connectors); ok {
			r.once(item, names, t.Name, "a second caller is named "+t.Name, "Give each its own name, which the audit log tells")
			c.Certificates = append(c.Certificates, t)
		}
	}
	for _, item := range r.list(o.get("issuers")) {
		if i, ok := r.issuer(item, connectors); ok {
			r.once(item, names, i.URL+" "+i.Audience, "the issuer with this audience stands here a second time", "Put all roles into one of the two")
			c.Issuers = append(c.Issuers, i)
		}
	}
	if limit, ok := r.object(o.get("limit"), callLimitKeys()); ok {
		c.Limit.PerSecond = r.number(limit.get("perSecond"), leastPerSecond, mostCallsPerSecond, c.Limit.PerSecond)
		c.Limit.Burst = int(r.whole(limit.get("burst"), 1, mostBurst, int64(c.Limit.Burst)))
	}
	return c
}

// once reports what was seen before.
func (r *reader) once(v value, seen map[string]bool, key, text, remedy string) {
	if key == "" {
		return
	}
	if seen[key] {
		r.report(v, text, remedy)
	}
	seen[key] = true
}

// grant reads role and connectors of an object.
func (r *reader) grant(o object, words []string, connectors []Connector) Grant {
	var g Grant
	if at := o.get("role"); at.absent() {
		r.missing(o, "role", "Write one of "+strings.Join(words, ", "))
	} else {
		g.Role = r.choice(at, words, "")
	}
	at := o.get("connectors")
	for _, item := range r.list(at) {
		name, ok := r.filled(item)
		if !ok {
			continue
		}
		g.Connectors = append(g.Connectors, name)
		if !slices.ContainsFunc(connectors, func(c Connector) bool { return c.Name == name }) {
			r.warn(item, fmt.Sprintf("there is no connector %q", name), "Write the name of a connector of this file")
		}
	}
	// An empty list could be read as none or as all.
	if !at.absent() && at.node.Kind == yaml.SequenceNode && len(at.node.Content) == 0 {
		r.report(at, "it names no connector", "Name those that the role holds for, or remove the key where it holds for all")
	}
	if g.Role == RoleEdge && len(g.Connectors) > 0 {
		r.report(at, "the gateway brings the events of all connectors", "Remove connectors")
	}
	return g
}

func callerRoles() []string { return []string{RoleViewer, RoleOperator, RoleAdmin, RoleEdge} }

var sha256Hex = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)

func (r *reader) callerToken(v value, connectors []Connector) (CallerToken, bool) {
	o, ok := r.object(v, callerTokenKeys())
	if !ok {
		return CallerToken{}, false
	}
	t := CallerToken{Grant: r.grant(o, callerRoles(), connectors), Expires: r.day(o.get("expires"))}
	t.Name = r.callerName(o)
	const remedy = "Write sha256: the hash that 'synccore token' prints, or secret: {file: /path/of/the/token}"
	hash, ref := o.get("sha256"), o.get("secret")
	switch {
	case hash.absent() == ref.absent():
		r.report(v, "it wants exactly one of sha256 and secret", remedy)
	case hash.absent():
		t.Secret, _ = r.ref(ref)
	default:
		// The text may be the token itself, so it is not repeated; and a hash of nothing
		// but digits is a number to YAML.
		text := strings.TrimSpace(hash.node.Value)
		if hash.node.Kind != yaml.ScalarNode || !sha256Hex.MatchString(text) {
			r.report(hash, "it is not a SHA-256 in hexadecimal, which has 64 digits", remedy)
			return t, false
		}
		t.SHA256 = strings.ToLower(text)
	}
	return t, true
}

func (r *reader) callerName(o object) string {
	name, ok := r.needed(o, "name", "Write what the audit log calls the caller")
	if ok && len(name) > mostCallerName {
		r.report(o.get("name"), "it is longer than 200 bytes", "Write a shorter name")
	}
	return name
}

func (r *reader) callerCertificate(v value, connectors []Connector) (CallerCertificate, bool) {
	o, ok := r.object(v, callerCertificateKeys())
	if !ok {
		return CallerCertificate{}, false
	}
	return CallerCertificate{Grant: r.grant(o, callerRoles(), connectors), Name: r.callerName(o)}, true
}

func (r *reader) issuer(v value, connectors []Connector) (Issuer, bool) {
	o, ok := r.object(v, issuerKeys())
	if !ok {
		return Issuer{}, false
	}
	i := Issuer{RolesClaim: defaultRolesClaim, CAFile: r.path(o.get("caFile"))}
	const remedy = "Write the iss of its tokens, such as https://login.microsoftonline.com/TENANT-ID/v2.0"
	if i.URL, ok = r.needed(o, "issuer", remedy); ok && !isIssuer(i.URL) {
		r.report(o.get("issuer"), "it is not an address that begins with https:// and ends before any ? or #", remedy)
	}
	i.Audience, _ = r.needed(o, "audience", "Write the aud of the tokens that are meant for Tandem, such as the Application (client) ID or api://tandem")
	if at := o.get("rolesClaim"); !at.absent() {
		if claim, ok := r.filled(at); ok {
			i.RolesClaim = claim
		}
	}
	roles := o.get("roles")
	if roles.absent() {
		r.missing(o, "roles", "Write [{value: Tandem.Viewer, role: viewer}, …]")
	}
	seen := map[string]bool{}
	for _, item := range r.list(roles) {
		role, ok := r.object(item, issuerRoleKeys())
		if !ok {
			continue
		}
		entry := IssuerRole{Grant: r.grant(role, callerRoles()[:3], connectors)}
		entry.Value, _ = r.needed(role, "value", "Write the value of the claim "+i.RolesClaim)
		r.once(item, seen, entry.Value, "this value stands here a second time", "Keep one of the two")
		i.Roles = append(i.Roles, entry)
	}
	return i, true
}

// isIssuer tells whether an address may be an issuer (OpenID Connect Discovery 1.0 §3).
// One on this machine needs no certificate.
func isIssuer(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname())
}

func callersNode(c Callers) *yaml.Node {
	node := objectNode("anonymous", given(c.Anonymous))
	if len(c.Tokens) > 0 {
		add(node, "tokens", sequence(c.Tokens, func(t CallerToken) *yaml.Node {
			token := objectNode("name", t.Name)
			addGrant(token, t.Grant)
			add(token, "sha256", given(t.SHA256))
			if !t.Secret.IsZero() {
				add(token, "secret", refNode(t.Secret))
			}
			add(token, "expires", dayNode(t.Expires))
			return token
		}))
	}
	if len(c.Certificates) > 0 {
		add(node, "certificates", sequence(c.Certificates, func(t CallerCertificate) *yaml.Node {
			certificate := objectNode("name", t.Name)
			addGrant(certificate, t.Grant)
			return certificate
		}))
	}
	if len(c.Issuers) > 0 {
		add(node, "issuers", sequence(c.Issuers, func(i Issuer) *yaml.Node {
			return objectNode("issuer", i.URL, "audience", i.Audience, "rolesClaim", i.RolesClaim,
				"roles", sequence(i.Roles, func(role IssuerRole) *yaml.Node {
					entry := objectNode("value", role.Value)
					addGrant(entry, role.Grant)
					return entry
				}), "caFile", given(i.CAFile))
		}))
	}
	add(node, "limit", objectNode("perSecond", c.Limit.PerSecond, "burst", c.Limit.Burst))
	return node
}

func addGrant(node *yaml.Node, g Grant) {
	add(node, "role", g.Role)
	if len(g.Connectors) > 0 {
		add(node, "connectors", sequence(g.Connectors, func(name string) *yaml.Node { return scalar("!!str", name) }))
	}
}
