package alvao

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lenient"
)

// Names of the capabilities: what alvao.md §7 leaves open, each with its fallback.
const (
	CapabilityLog         = "alvao.log"
	CapabilityActivity    = "alvao.activity-filter"
	CapabilityListFields  = "alvao.custom-fields-in-lists"
	CapabilityWebhooks    = "alvao.webhooks"
	CapabilityStatusField = "alvao.status-field-of-webhooks"
	CapabilityServices    = "alvao.services"
	CapabilityApplication = "alvao.application"
	CapabilityPeople      = "alvao.people"
	CapabilityOffsets     = "alvao.time-offsets"
)

// Capabilities tries anew what the tenant offers of what is not certain, and says what is
// done without. It writes nothing. A tenant that can't be reached offers nothing that is
// known.
func (c *Client) Capabilities(ctx context.Context) []item.Capability {
	c.forgetFound()
	look := c.lookForSample(ctx)
	return []item.Capability{
		c.logCapability(ctx, look.ticket),
		c.applicationCapability(ctx),
		c.activityCapability(ctx),
		c.webhookCapability(ctx),
		c.statusFieldCapability(ctx),
		c.listFieldCapability(look),
		c.servicesCapability(ctx),
		c.peopleCapability(ctx, look),
		c.offsetCapability(look),
	}
}

// forgetFound has tried anew what was found missing before.
func (c *Client) forgetFound() {
	c.listing.forget()
	c.plainListing.forget()
	c.logDumb.forget()
	c.people.ForgetAll()
	c.logins.ForgetAll()
}

// sample is one ticket of a list, as it was sent.
type sample struct {
	// ticket is its number; 0: there is none, or it could not be listed.
	ticket    int64
	requester int64
	created   string
	// fields tells that the list showed custom fields.
	fields bool
}

func (c *Client) lookForSample(ctx context.Context) sample {
	var p struct {
		Value lenient.List[struct {
			wireTicket

			Custom json.RawMessage `json:"customItems"`
		}] `json:"value"`
	}
	_, err := c.do(ctx, call{
		method: http.MethodGet, path: "/v1/tickets?" + c.query(Query{Service: c.service, Top: 1}, way{order: provenOrder}, 0),
		subject: "the tickets of service " + c.service, deed: "list",
	}, &p)
	if err != nil || len(p.Value) == 0 {
		return sample{}
	}
	one := p.Value[0]
	return sample{
		ticket: int64(one.ID), requester: int64(one.RequesterID), created: string(one.CreatedDate),
		fields: len(one.Custom) > 0 && string(one.Custom) != "null",
	}
}

const nothingToLookAt = "the service has no ticket to look at yet"

func (c *Client) logCapability(ctx context.Context, ticket int64) item.Capability {
	k := item.Capability{Name: CapabilityLog, Title: "read the messages of tickets over REST", Support: item.Unknown, Found: nothingToLookAt}
	if ticket == 0 {
		return k
	}
	_, err := c.Records(ctx, ticket, 0)
	switch {
	case err == nil:
		k.Support, k.Found = item.Offered, fmt.Sprintf("the log of ticket %d was read", ticket)
		return k
	case !errors.Is(err, ErrLogUnreadable):
		k.Found = fault.Sentence(err)
		return k
	}
	k.Support, k.Found = item.Missing, fmt.Sprintf("reading the log of ticket %d was answered as if there were none", ticket)
	heard, silent, err := c.applicationHeard(ctx)
	switch {
	case err == nil && silent:
		k.Found += ", and the application has told of nothing since " + heard.UTC().Format(time.DateTime) + " UTC"
		k.Fallback = "what Alvao's application told until then is kept and is the log"
		k.Cost = "What people have written in Alvao since then does not cross until the application tells again."
		k.Ask = wakeApplication
		return k
	case err == nil && !heard.IsZero():
		k.Fallback = "what Alvao's application tells of each record is kept and is the log"
		k.Cost = "Messages and files from before the application was imported don't cross, and one that is told while Tandem is away crosses when the application tells it again within the hour; what may stand in a ticket already, because sync-core died, an answer was lost or Redis lost its data, is written about an hour later, and twice if the application can't tell all for six hours or what stands there is older than its TandemLookBackHours."
		return k
	}
	k.Cost = "No message and no file crosses in either direction, and variables about messages stay empty."
	k.Ask = "Import the Alvao application that comes with Tandem, ask Alvao for a version whose REST API shows the log of tickets, or set SyncCommunication to false."
	return k
}

const (
	// mostSilence is how long the application may tell nothing although tickets change. It
	// tells something every hour.
	mostSilence = 26 * time.Hour
	// wakeApplication is what to do about one that does.
	wakeApplication = "Enable the Tandem application in Alvao's administration, and look into Alvao's log for what keeps it from reaching Tandem's gateway."
)

// applicationHeard is when the application last told of anything; zero: never. Beside it
// stands whether it is silent: that is long ago although tickets changed since.
func (c *Client) applicationHeard(ctx context.Context) (time.Time, bool, error) {
	if c.pushed == nil {
		return time.Time{}, false, nil
	}
	heard, err := c.pushed.Heard(ctx)
	if err != nil || heard.IsZero() || c.now().Sub(heard) <= mostSilence {
		return heard, false, err
	}
	since := heard.Add(mostSilence)
	for ticket, err := range c.Tickets(ctx, Query{Service: c.service, ActiveSince: since, Top: 1}) {
		// What can't be listed is told elsewhere.
		return heard, err == nil && !ticket.LastActivity.Before(since), nil
	}
	return heard, false, nil
}

func (c *Client) applicationCapability(ctx context.Context) item.Capability {
	k := item.Capability{Name: CapabilityApplication, Title: "be told of every change by the Alvao application", Support: item.Unknown}
	heard, silent, err := c.applicationHeard(ctx)
	switch {
	case err != nil:
		k.Found = fault.Sentence(err)
	case heard.IsZero(), silent:
		k.Support, k.Found = item.Missing, "it has told of no record so far"
		k.Fallback = "polls"
		k.Cost = "New messages and tickets are seen at the next poll rather than at once, and which message is important is not known where REST does not show it."
		k.Ask = "Import the Alvao application that comes with Tandem if that is too late."
		if silent {
			k.Found = "it last told of anything at " + heard.UTC().Format(time.DateTime) + " UTC, although tickets changed since"
			k.Ask = wakeApplication
		}
	default:
		k.Support, k.Found = item.Offered, "it last told of a record at "+heard.UTC().Format(time.DateTime)+" UTC"
	}
	return k
}

func (c *Client) activityCapability(ctx context.Context) item.Capability {
	k := item.Capability{Name: CapabilityActivity, Title: "list the tickets that changed lately", Support: item.Unknown}
	for _, err := range c.Tickets(ctx, Query{Service: c.service, ActiveSince: c.now(), Top: 1}) {
		if err != nil {
			k.Found = fault.Sentence(err)
			return k
		}
	}
	n := c.listing.known(c.now())
	if n == 0 {
		k.Support, k.Found = item.Offered, "a list filtered by lastActivityDate was answered"
		return k
	}
	k.Support, k.Found = item.Missing, "a filter by lastActivityDate was refused"
	k.Fallback, k.Ask = ways()[n].name, "Ask Alvao for filtering by lastActivityDate, or poll less often."
	switch {
	case ways()[n].sorted:
		k.Cost = "Every poll reads one more page than it needs."
	case ways()[n].open:
		k.Cost = "Every poll reads all open tickets of the service, and what happens to a closed one, that it was closed among it, is seen at the next resync."
	default:
		k.Cost = "Every poll reads all tickets that the service ever had, so a service with many should be polled less often."
	}
	return k
}

func (c *Client) webhookCapability(ctx context.Context) item.Capability {
	k := item.Capability{Name: CapabilityWebhooks, Title: "be told of changed statuses by webhooks", Support: item.Unknown}
	_, err := c.fields(ctx)
	switch {
	case err == nil:
		k.Support, k.Found = item.Offered, "the list of fields for webhooks was answered"
	case fault.Is(err, fault.NotFound):
		k.Support, k.Found = item.Missing, "the list of fields for webhooks is not there"
		k.Fallback = "polls"
		k.Cost = "A changed status is seen at the next poll rather than at once."
		k.Ask = "Ask Alvao for the webhooks of its REST API, or import the Alvao application that comes with Tandem."
	default:
		k.Found = fault.Sentence(err)
	}
	return k
}

func (c *Client) statusFieldCapability(ctx context.Context) item.Capability {
	k := item.Capability{Name: CapabilityStatusField, Title: "watch the status by one webhook", Support: item.Unknown}
	switch id, err := c.StatusField(ctx); {
	case err != nil:
		k.Found = fault.Sentence(err)
	case id == 0:
		k.Support, k.Found = item.Missing, "the list of fields for webhooks does not have the status"
		k.Fallback = "one webhook for each process and status of the StatusMap"
	default:
		k.Support, k.Found = item.Offered, fmt.Sprintf("the status is field %d of the list for webhooks", id)
	}
	return k
}

func (c *Client) listFieldCapability(look sample) item.Capability {
	k := item.Capability{Name: CapabilityListFields, Title: "see custom fields in lists of tickets", Support: item.Unknown, Found: nothingToLookAt}
	switch {
	case look.ticket == 0:
	case look.fields:
		k.Support, k.Found = item.Offered, fmt.Sprintf("the list showed those of ticket %d", look.ticket)
	default:
		k.Support, k.Found = item.Missing, fmt.Sprintf("the list showed none of ticket %d", look.ticket)
		k.Fallback = "tickets of which the list leaves it open are read one by one"
		k.Cost = "A resync makes one more call for each such ticket, and an external id that somebody changed is noticed when something else of the ticket changes, too."
	}
	return k
}

func (c *Client) servicesCapability(ctx context.Context) item.Capability {
	k := item.Capability{Name: CapabilityServices, Title: "read the catalogue of services", Support: item.Unknown}
	switch _, err := c.services(ctx); fault.KindOf(err) {
	case fault.NotFound, fault.Invalid, fault.Denied:
		k.Support, k.Found = item.Missing, fault.Sentence(err)
		k.Fallback = "the processes of a service are those of its tickets"
	default:
		if err != nil {
			k.Found = fault.Sentence(err)
			break
		}
		k.Support, k.Found = item.Offered, "it was answered"
	}
	return k
}

func (c *Client) peopleCapability(ctx context.Context, look sample) item.Capability {
	k := item.Capability{Name: CapabilityPeople, Title: "read people", Support: item.Unknown, Found: nothingToLookAt}
	if look.requester == 0 {
		return k
	}
	_, err := c.Person(ctx, look.requester)
	switch {
	case err == nil:
		k.Support, k.Found = item.Offered, "the requester of a ticket was read"
	case fault.Is(err, fault.Denied), fault.Is(err, fault.NotFound):
		k.Support, k.Found = item.Missing, fault.Sentence(err)
		k.Cost = "Variables about people stay empty, and nobody is matched with a user of Azure DevOps."
		k.Ask = "Add the account to the group Contact readers in Alvao."
	default:
		k.Found = fault.Sentence(err)
	}
	return k
}

func (c *Client) offsetCapability(look sample) item.Capability {
	k := item.Capability{Name: CapabilityOffsets, Title: "tell times with their offset", Support: item.Unknown, Found: nothingToLookAt}
	if look.created == "" {
		return k
	}
	zone := "UTC"
	if c.zone != nil {
		zone = c.zone.String()
	}
	if strings.HasSuffix(look.created, "Z") || strings.LastIndexAny(look.created, "+-") > len("2006-01-02") {
		k.Support, k.Found = item.Offered, fmt.Sprintf("ticket %d told its time with one", look.ticket)
		return k
	}
	k.Support, k.Found = item.Missing, fmt.Sprintf("ticket %d told its time without one", look.ticket)
	k.Fallback = "times are taken as those of " + zone
	k.Cost = "If that is another zone than Alvao's, polls look too far back or miss changes until the next resync."
	k.Ask = "Set timeZone to the zone in which Alvao tells times."
	return k
}
