package azuredevops

import (
	"strconv"
	"strings"

	"github.com/tandem-sync/tandem/services/gateway/internal/envelope"
)

// The kinds of events that Tandem has a use for (Azure DevOps service hooks: events).
const (
	eventCreated   = "workitem.created"
	eventUpdated   = "workitem.updated"
	eventCommented = "workitem.commented"
	eventDeleted   = "workitem.deleted"
	eventRestored  = "workitem.restored"
)

const (
	longestEventType      = 128
	longestSubscriptionID = 64
	noSubscription        = "00000000-0000-0000-0000-000000000000"
)

// event is the envelope of a service hook event. What the body lacks is zero.
type event struct {
	subscriptionID  string
	notificationID  int64
	hasNotification bool
	id              string
	eventType       string
	resource        resource
	baseURL         struct{ collection, account, server, project string }
	projectID       string
}

// resource is the part of an event's resource that tells which item it is.
type resource struct {
	id            int64 // of an update in workitem.updated, else of the work item
	workItemID    int64
	hasWorkItemID bool
	rev           int64
	url           string
	project       string // System.TeamProject of fields
	revision      struct {
		id      int64
		project string // System.TeamProject of revision.fields
	}
}

// parse reads the envelope; the error is envelope.ErrMalformed.
func parse(parser *envelope.Parser, body []byte) (*event, error) {
	e := &event{}
	return e, parser.Walk(body, e.member)
}

func (e *event) member(r *envelope.Reader, name []byte) error {
	var err error
	switch string(name) {
	case "subscriptionid":
		e.subscriptionID, err = r.String()
	case "notificationid":
		e.notificationID, e.hasNotification, err = r.Int()
	case "id":
		e.id, err = r.String()
	case "eventtype":
		e.eventType, err = r.String()
	case "resource":
		err = r.Object(e.resource.member)
	case "resourcecontainers":
		err = r.Object(e.container)
	default:
		err = r.Skip()
	}
	return err
}

func (s *resource) member(r *envelope.Reader, name []byte) error {
	var err error
	switch string(name) {
	case "id":
		s.id, _, err = r.Int()
	case "workitemid":
		s.workItemID, s.hasWorkItemID, err = r.Int()
	case "rev":
		s.rev, _, err = r.Int()
	case "url":
		s.url, err = r.String()
	case "fields":
		s.project, err = teamProject(r)
	case "revision":
		err = r.Object(func(r *envelope.Reader, name []byte) error {
			var err error
			switch string(name) {
			case "id":
				s.revision.id, _, err = r.Int()
			case "fields":
				s.revision.project, err = teamProject(r)
			default:
				err = r.Skip()
			}
			return err
		})
	default:
		err = r.Skip()
	}
	return err
}

// teamProject reads System.TeamProject out of fields. In an update it stands there
// only if the work item moved, as an object, which is left to revision.fields.
func teamProject(r *envelope.Reader) (string, error) {
	var project string
	err := r.Object(func(r *envelope.Reader, name []byte) error {
		if string(name) != "system.teamproject" {
			return r.Skip()
		}
		var err error
		project, err = r.String()
		return err
	})
	return project, err
}

func (e *event) container(r *envelope.Reader, name []byte) error {
	var unused string
	id, baseURL := &unused, &unused
	switch string(name) {
	case "collection":
		baseURL = &e.baseURL.collection
	case "account":
		baseURL = &e.baseURL.account
	case "server":
		baseURL = &e.baseURL.server
	case "project":
		id, baseURL = &e.projectID, &e.baseURL.project
	default:
		return r.Skip()
	}
	return r.Object(func(r *envelope.Reader, name []byte) error {
		var err error
		switch string(name) {
		case "id":
			*id, err = r.String()
		case "baseurl":
			*baseURL, err = r.String()
		default:
			err = r.Skip()
		}
		return err
	})
}

// accountURL is the base URL of the organisation or collection. On a server the
// collection's is the one that connectors are configured with.
func (e *event) accountURL() string {
	for _, url := range [...]string{e.baseURL.collection, e.baseURL.account, e.baseURL.server, e.baseURL.project} {
		if url != "" {
			return url
		}
	}
	return ""
}

// projectName prefers the revision, which is the work item as it stands.
func (e *event) projectName() string {
	if e.resource.revision.project != "" {
		return e.resource.revision.project
	}
	return e.resource.project
}

// dedupID identifies the delivery, also when Azure DevOps sends it again; empty if
// the event can't be told from another. The event's own id would not do: Test
// events and several subscriptions share one (azure-devops.md §1.2).
func (e *event) dedupID() string {
	if !e.hasNotification || e.subscriptionID == "" || e.subscriptionID == noSubscription ||
		len(e.subscriptionID) > longestSubscriptionID {
		return ""
	}
	return "azure-devops/" + e.subscriptionID + "/" + strconv.FormatInt(e.notificationID, 10)
}

// updatedItem is the work item that a workitem.updated speaks of. Its resource is
// the update, whose id is another number. Where a subscription sends "minimal"
// resources, without workItemId, the revision or the address tell.
func (e *event) updatedItem() int64 {
	switch {
	case e.resource.hasWorkItemID:
		return e.resource.workItemID
	case e.resource.revision.id != 0:
		return e.resource.revision.id
	default:
		return itemOfURL(e.resource.url)
	}
}

// itemOfURL finds 30 in …/_apis/wit/workItems/30/updates/18; 0 if there is none.
func itemOfURL(url string) int64 {
	const before, behind = "/workitems/", "/updates/"
	lower := strings.ToLower(url)
	_, rest, found := strings.Cut(lower, before)
	if !found {
		return 0
	}
	digits, _, found := strings.Cut(rest, behind)
	if !found {
		return 0
	}
	id, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0
	}
	return id
}
