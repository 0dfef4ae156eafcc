package azuredevops

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lenient"
	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
)

// lack is a right that the token was found not to have; it is forgotten after a
// while, since rights can be granted.
type lack struct{ until atomic.Int64 }

func (l *lack) note(now time.Time, ttl time.Duration) { l.until.Store(now.Add(ttl).UnixNano()) }
func (l *lack) clear()                                { l.until.Store(0) }
func (l *lack) known(now time.Time) bool              { return now.UnixNano() < l.until.Load() }

// wirePerson is somebody as the identity search shows them (azure-devops.md §3.1).
type wirePerson struct {
	ID          lenient.Text `json:"id"`
	DisplayName lenient.Text `json:"providerDisplayName"`
	CustomName  lenient.Text `json:"customDisplayName"`
	// IsActive may be absent, which means that they are not.
	IsActive    lenient.Bool `json:"isActive"`
	IsContainer lenient.Bool `json:"isContainer"`
	Properties  map[string]struct {
		Value lenient.Text `json:"$value"`
	} `json:"properties"`
}

func (p wirePerson) property(name string) string {
	return strings.TrimSpace(string(p.Properties[name].Value))
}

// unique is the sign-in name: DOMAIN\user where a Windows domain is told, whose place
// holds the tenant's GUID on Azure DevOps Services.
func (p wirePerson) unique() string {
	account, domain := p.property("Account"), p.property("Domain")
	if account == "" || domain == "" || isGUID(domain) || strings.ContainsAny(account, `\@`) {
		return account
	}
	return domain + `\` + account
}

func (p wirePerson) usable() bool {
	kind := p.property("SchemaClassName")
	return p.ID != "" && bool(p.IsActive) && !bool(p.IsContainer) && (kind == "" || strings.EqualFold(kind, "User"))
}

func (p wirePerson) identity() item.Identity {
	name := p.CustomName
	if name == "" {
		name = p.DisplayName
	}
	return item.Identity{ID: string(p.ID), UniqueName: p.unique(), DisplayName: string(name)}
}

// FindIdentity finds the one active person with that user name, else the one with
// that e-mail address. false: there is nobody, or more than one, for a guess would put
// words into somebody's mouth; or the token may not look people up, which
// IdentitiesDenied then tells. Remembered for DescriptionTTL, also that there is none.
func (c *Client) FindIdentity(ctx context.Context, name string) (item.Identity, bool, error) {
	if name = strings.TrimSpace(name); name == "" {
		return item.Identity{}, false, nil
	}
	if c.noIdentities.known(c.now()) {
		return item.Identity{}, false, nil
	}
	found, err := c.people.Get(ctx, fold(name), func(ctx context.Context) (*item.Identity, error) {
		return c.searchIdentity(ctx, name)
	})
	switch {
	case fault.Is(err, fault.Denied):
		c.noIdentities.note(c.now(), c.ttl)
		return item.Identity{}, false, nil
	case err != nil || found == nil:
		return item.Identity{}, false, err
	}
	c.noIdentities.clear()
	return *found, true, nil
}

// IdentitiesDenied tells that the token was found to lack the right to look people up
// (scope Identity, read), which the scopes of Alvao's manual don't include.
func (c *Client) IdentitiesDenied() bool { return c.noIdentities.known(c.now()) }

// Names are the display names of people by their GUIDs, in lower case. It asks for all
// that are not known at once; whoever can't be looked up is missing, since nothing
// hangs on a name. Remembered like FindIdentity's answers, and so are the authors of
// comments, whose names come for nothing.
func (c *Client) Names(ctx context.Context, ids []string) map[string]string {
	names := make(map[string]string, len(ids))
	var unknown []string
	for _, id := range ids {
		id = strings.ToLower(id)
		switch who, known := c.people.Known(personKey(id)); {
		case known && who != nil:
			names[id] = who.DisplayName
		case !known && isGUID(id) && len(unknown) < maxNames:
			unknown = append(unknown, id)
		}
	}
	if len(unknown) == 0 || c.noIdentities.known(c.now()) {
		return names
	}
	people, err := c.identities(ctx, "identityIds="+strings.Join(unknown, ","), "the people who are mentioned")
	if fault.Is(err, fault.Denied) {
		c.noIdentities.note(c.now(), c.ttl)
	}
	if err != nil {
		return names
	}
	for _, id := range unknown {
		var found *item.Identity
		for _, p := range people {
			// A group can be mentioned too, and somebody who has left.
			if who := p.identity(); strings.EqualFold(who.ID, id) && who.DisplayName != "" {
				found, names[id] = &who, who.DisplayName
			}
		}
		c.people.Put(personKey(id), found)
	}
	return names
}

// maxNames is how many people are looked up in one call, whose address must not become
// too long.
const maxNames = 40

// personKey is what somebody is remembered by whose GUID is known; no user name has a
// space in front.
func personKey(id string) string { return " " + strings.ToLower(id) }

// identities reads people.
func (c *Client) identities(ctx context.Context, query, subject string) ([]wirePerson, error) {
	var answer struct {
		Value lenient.List[wirePerson] `json:"value"`
	}
	_, err := c.do(ctx, call{
		method: http.MethodGet, base: c.at.identities, path: "/_apis/identities",
		query: query + "&queryMembership=None", subject: subject, deed: "look up",
	}, &answer)
	if fault.Is(err, fault.BadToken) {
		// A missing scope is answered like a bad token; one that is good elsewhere
		// lacks the scope.
		if _, bad := c.readIdentity(ctx); bad == nil {
			err = fault.Wrap(err, fault.Denied, "The Azure DevOps access token may not look people up; add the scope Identity (Read) to it.")
		}
	}
	return answer.Value, err
}

func (c *Client) searchIdentity(ctx context.Context, name string) (*item.Identity, error) {
	people, err := c.identities(ctx, "searchFilter=General&filterValue="+url.QueryEscape(name), "the person "+outbound.OneLine(name))
	if err != nil {
		return nil, err
	}
	for _, is := range []func(wirePerson) bool{
		func(p wirePerson) bool {
			return strings.EqualFold(p.unique(), name) || strings.EqualFold(p.property("Account"), name)
		},
		func(p wirePerson) bool { return strings.EqualFold(p.property("Mail"), name) },
	} {
		hits := map[string]wirePerson{}
		for _, p := range people {
			if p.usable() && is(p) {
				hits[fold(string(p.ID))] = p
			}
		}
		for _, p := range hits {
			if len(hits) == 1 {
				who := p.identity()
				return &who, nil
			}
		}
		if len(hits) > 1 {
			break
		}
	}
	return nil, nil //nolint:nilnil // nobody is an answer that is remembered
}
