package access

import (
	"strings"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/config"
)

// Role is what a caller may do.
type Role int

// The roles. Viewer, Operator and Admin may each do what those before may; Edge is apart.
const (
	// None may do nothing but what needs no credentials.
	None Role = iota
	// Viewer reads.
	Viewer
	// Operator has things looked at, compared and tried again.
	Operator
	// Admin lets mass changes go and parts pairs.
	Admin
	// Edge brings events, and nothing else.
	Edge
)

// String names the role as the configuration does.
func (r Role) String() string {
	switch r {
	case Viewer:
		return config.RoleViewer
	case Operator:
		return config.RoleOperator
	case Admin:
		return config.RoleAdmin
	case Edge:
		return config.RoleEdge
	case None:
		return "none"
	default:
		return "unknown"
	}
}

func roleOf(word string) Role {
	for _, r := range []Role{Viewer, Operator, Admin, Edge} {
		if r.String() == word {
			return r
		}
	}
	return None
}

// How a caller has proved who they are.
const (
	kindAnonymous   = "anonymous"
	kindToken       = "token"
	kindCertificate = "certificate"
	kindIssuer      = "issuer"
)

// Caller is who calls, as they have proved.
type Caller struct {
	// Name is what the audit log calls them.
	Name string
	// Kind is how they have proved it: token, certificate, issuer or anonymous.
	Kind string
	// Subject is the subject of a signed token; empty for others.
	Subject string
	// Expires is when the proof ends; zero: never.
	Expires time.Time

	grants []grant
}

// grant is a role and where it holds.
type grant struct {
	role Role
	// connectors are those that it holds for; nil: all.
	connectors map[string]bool
}

func grantOf(g config.Grant) grant {
	made := grant{role: roleOf(g.Role)}
	if len(g.Connectors) > 0 {
		made.connectors = make(map[string]bool, len(g.Connectors))
		for _, name := range g.Connectors {
			made.connectors[name] = true
		}
	}
	return made
}

// satisfies tells whether a grant's role is enough for a rule.
func (g grant) satisfies(rule Rule) bool {
	if g.role == Edge {
		return rule.Edge
	}
	return rule.Least != None && g.role >= rule.Least
}

// scope is which connectors a caller may call a method for.
type scope struct {
	all   bool
	names map[string]bool
}

func (s scope) holds(connector string) bool { return s.all || s.names[connector] }

// scope is the union of what the caller's grants allow; false: none allows the method.
func (c Caller) scope(rule Rule) (scope, bool) {
	s, may := scope{names: map[string]bool{}}, false
	for _, g := range c.grants {
		if !g.satisfies(rule) {
			continue
		}
		may = true
		s.all = s.all || g.connectors == nil
		for name := range g.connectors {
			s.names[name] = true
		}
	}
	return s, may
}

// isEdge tells whether the caller is the gateway, which is not held up.
func (c Caller) isEdge() bool {
	for _, g := range c.grants {
		if g.role == Edge {
			return true
		}
	}
	return false
}

// roles names the caller's roles for a person.
func (c Caller) roles() string {
	var words []string
	for _, g := range c.grants {
		words = append(words, g.role.String())
	}
	if len(words) == 0 {
		return "no role"
	}
	return "role " + strings.Join(words, ", ")
}
