package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/tandem-sync/tandem/services/synccore/internal/entra"
	"github.com/tandem-sync/tandem/services/synccore/internal/secret"
)

// Credential is a way to be let in. Exactly one of Ref, Entra and ManagedIdentity is
// given.
type Credential struct {
	// Ref is where a personal access token is.
	secret.Ref

	// Entra is an application of Microsoft Entra.
	Entra *Entra
	// ManagedIdentity is the machine's own identity in Microsoft Entra.
	ManagedIdentity *ManagedIdentity
	// Expires is when the secret ends, as the administrator declared it; zero: not told.
	Expires time.Time
}

// IsZero tells whether there is no way.
func (c Credential) IsZero() bool {
	return c.Ref.IsZero() && c.Entra == nil && c.ManagedIdentity == nil
}

// Name tells credentials apart for a person and for whoever shares what they may use.
// It holds no secret.
func (c Credential) Name() string {
	switch {
	case c.Entra != nil:
		return "application " + c.Entra.ClientID + " of tenant " + c.Entra.Tenant
	case c.ManagedIdentity != nil && c.ManagedIdentity.ClientID != "":
		return "managed identity " + c.ManagedIdentity.ClientID
	case c.ManagedIdentity != nil:
		return "the machine's managed identity"
	default:
		return c.String()
	}
}

// refs are the places of the secrets that the credential needs.
func (c Credential) refs() []secret.Ref {
	if c.Entra != nil {
		return []secret.Ref{c.Entra.ClientSecret, c.Entra.Certificate}
	}
	return []secret.Ref{c.Ref}
}

// Entra is an application of Microsoft Entra with its proof. Exactly one of
// ClientSecret and Certificate is given.
type Entra struct {
	// Authority is where tokens are asked for, one of entra.Authorities.
	Authority string
	// Tenant is the directory's id or domain, ClientID the application's id.
	Tenant, ClientID string
	ClientSecret     secret.Ref
	// Certificate is a PEM text of a certificate and its private key.
	Certificate secret.Ref
}

// ManagedIdentity is an identity that Azure gives the machine.
type ManagedIdentity struct {
	// ClientID chooses a user-assigned identity; empty: the system-assigned one.
	ClientID string
}

var (
	guid   = regexp.MustCompile(`^(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	domain = regexp.MustCompile(`^(?i)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$`)
)

// token reads {file: …} or {env: …}, {entra: {…}} or {managedIdentity: {…}}, each with
// expires beside it if wanted.
func (r *reader) token(v value) Credential {
	if v.absent() || v.node.Kind != yaml.MappingNode {
		// Whoever wrote the token itself is told what to write.
		ref, _ := r.ref(v)
		return Credential{Ref: ref}
	}
	o, ok := r.object(v, tokenKeys())
	if !ok {
		return Credential{}
	}
	c := Credential{Expires: r.day(o.get("expires"))}
	switch r.ways(o, "entra", "managedIdentity", "file", "env") {
	case "":
		if len(o.entries) == 0 || (len(o.entries) == 1 && !o.get("expires").absent()) {
			r.report(v, "it names no token", "Write {file: /path/of/the/token}, {env: NAME}, {entra: {…}} or {managedIdentity: {}}")
		}
	case "entra":
		c.Entra = r.entra(o.get("entra"))
	case "managedIdentity":
		c.ManagedIdentity = r.managedIdentity(o.get("managedIdentity"))
		r.noEnd(o)
	default:
		c.Ref, _ = r.place(v, o)
	}
	return c
}

// ways tells which of the keys is there, and reports it if there are several.
func (r *reader) ways(o object, keys ...string) string {
	var found []string
	for _, key := range keys {
		if !o.get(key).absent() {
			found = append(found, key)
		}
	}
	if len(found) > 1 {
		r.report(o.value, "it holds "+strings.Join(found, " and "), "Keep one of them")
		return ""
	}
	if len(found) == 0 {
		return ""
	}
	return found[0]
}

// noEnd reports an end of something that has none.
func (r *reader) noEnd(o object) {
	if at := o.get("expires"); !at.absent() {
		r.report(at, "a managed identity has nothing that expires", "Remove it")
	}
}

func (r *reader) entra(v value) *Entra {
	o, ok := r.object(v, entraKeys())
	if !ok {
		return nil
	}
	e := &Entra{Authority: entra.Authorities()[0]}
	e.Tenant, ok = r.needed(o, "tenant", "Write the directory's id or domain, such as contoso.onmicrosoft.com")
	if ok && !guid.MatchString(e.Tenant) && !domain.MatchString(e.Tenant) {
		r.report(o.get("tenant"), "it is neither a directory's id nor its domain",
			"Write the Directory (tenant) ID that Microsoft Entra shows; an application signs in to one tenant")
	}
	e.ClientID = r.id(o, "clientId", "Write the Application (client) ID that Microsoft Entra shows")
	switch at := o.get("clientSecret"); {
	case at.absent() == o.get("certificate").absent():
		r.report(v, "it wants exactly one of clientSecret and certificate", "Write clientSecret: {file: /path/of/the/secret} or certificate: {file: /path/of/the/pem}")
	case at.absent():
		e.Certificate, _ = r.ref(o.get("certificate"))
	default:
		e.ClientSecret, _ = r.ref(at)
	}
	if at := o.get("authority"); !at.absent() {
		e.Authority = r.authority(at, e.Authority)
	}
	return e
}

func (r *reader) authority(v value, otherwise string) string {
	text, ok := r.filled(v)
	if !ok {
		return otherwise
	}
	host := strings.TrimSuffix(strings.TrimPrefix(strings.ToLower(text), "https://"), "/")
	if known := "https://" + host; slices.Contains(entra.Authorities(), known) {
		return known
	}
	r.report(v, "it is not a place of Microsoft Entra's", "Write one of "+strings.Join(entra.Authorities(), ", "))
	return otherwise
}

func (r *reader) managedIdentity(v value) *ManagedIdentity {
	o, ok := r.object(v, managedIdentityKeys())
	if !ok {
		return nil
	}
	m := &ManagedIdentity{}
	if !o.get("clientId").absent() {
		m.ClientID = r.id(o, "clientId", "Write the identity's client ID")
	}
	return m
}

// id reads a GUID.
func (r *reader) id(o object, key, remedy string) string {
	text, ok := r.needed(o, key, remedy)
	if ok && !guid.MatchString(text) {
		r.report(o.get(key), "it is not an id such as 00000000-0000-0000-0000-000000000000", remedy)
	}
	return text
}

// day reads a date. What expires on a day is good until that day begins in UTC.
func (r *reader) day(v value) time.Time {
	if v.absent() {
		return time.Time{}
	}
	const remedy = "Write the day as in 2027-01-31"
	if v.node.Kind != yaml.ScalarNode {
		r.report(v, "it is "+kindOf(v.node)+" where a date is wanted", remedy)
		return time.Time{}
	}
	day, err := time.Parse(time.DateOnly, strings.TrimSpace(v.node.Value))
	if err != nil || day.Year() < 2000 {
		r.report(v, fmt.Sprintf("%q is not a date", v.node.Value), remedy)
		return time.Time{}
	}
	return day
}

// credentialNode prints a credential with the places of its secrets.
func credentialNode(c Credential) *yaml.Node {
	node := objectNode()
	switch {
	case c.Entra != nil:
		add(node, "entra", entraNode(*c.Entra))
	case c.ManagedIdentity != nil:
		add(node, "managedIdentity", objectNode("clientId", given(c.ManagedIdentity.ClientID)))
	default:
		node = refNode(c.Ref)
	}
	add(node, "expires", dayNode(c.Expires))
	return node
}

func entraNode(e Entra) *yaml.Node {
	node := objectNode("authority", e.Authority, "tenant", e.Tenant, "clientId", e.ClientID)
	if !e.ClientSecret.IsZero() {
		add(node, "clientSecret", refNode(e.ClientSecret))
	}
	if !e.Certificate.IsZero() {
		add(node, "certificate", refNode(e.Certificate))
	}
	return node
}

func dayNode(day time.Time) any {
	if day.IsZero() {
		return nil
	}
	return scalar("!!timestamp", day.Format(time.DateOnly))
}
