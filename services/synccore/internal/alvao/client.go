package alvao

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/memo"
	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
)

// DefaultExternalIDField is the column that holds a ticket's work item number where
// the settings name no other.
const DefaultExternalIDField = "ExternalTicketId"

// Options configure a Client. BaseURL, Service and either Username and Password or
// Credential are required.
type Options struct {
	// BaseURL is the whole address of AlvaoRestApi, without /v1: administrators may
	// choose its path (alvao.md §1).
	BaseURL string
	// WebURL is the web application's address; empty: Alvao beside the REST API.
	WebURL string
	// Service is the name of the service whose tickets are listed.
	Service string
	// ExternalIDField is the database column of the ticket's custom field that holds
	// the work item's number; empty: DefaultExternalIDField.
	ExternalIDField string
	// Username and Password are those of an application account (Alvao REST API:
	// authentication). Password is read anew for every request.
	Username string
	Password func() (string, error)
	// Credential replaces Username and Password.
	Credential outbound.Credential
	// Base sends the requests and is already instrumented; nil: a pool of its own. A
	// private certificate authority belongs there, see outbound.Transport.
	Base http.RoundTripper
	// DefaultLocation is the zone of times that come without one; nil: UTC. Tenants
	// differ (alvao.md §1.3).
	DefaultLocation *time.Location
	// PerSecond, Burst and Concurrent bound the calls of this client; 0: 20, 40 and 8.
	// Alvao documents no limit. Not used with Gate.
	PerSecond         float64
	Burst, Concurrent int
	// Gate replaces these bounds, for several clients of one tenant.
	Gate outbound.Gate
	// Now is the clock; nil: the system's.
	Now       func() time.Time
	UserAgent string
	// Timeout bounds each try of a call; 0: 60 s.
	Timeout time.Duration
	// PageSize is how many tickets one list call asks for; 0: 200.
	PageSize int
	// PersonTTL is how long people are remembered; 0: 10 min.
	PersonTTL time.Duration
	// MaxUpload bounds the bytes of the files of one record; 0: 20 MiB.
	MaxUpload int64
	// Pushed is what Alvao's application told of ticket logs; nil: there is none.
	Pushed Pushed
}

// Client speaks to one tenant with one account. Safe for use by many goroutines.
type Client struct {
	base string
	// pages is the address of a ticket page with idPlace in it.
	pages    string
	service  string
	external string
	zone     *time.Location
	pageSize int
	// maxUpload is in bytes.
	maxUpload int64
	http      *outbound.Client
	now       func() time.Time
	// login is the account's; empty where it is an application of Microsoft Entra.
	login string

	people *memo.Memo[*item.Person]
	logins *memo.Memo[*item.Person]
	// statuses are the ids of statuses by process and name, learned from reading.
	statuses *memo.Memo[int64]
	// listing and plainListing are the first ways of listing active and all tickets
	// that the tenant takes.
	listing, plainListing learned
	// logDumb is 1 where the tenant has no reading of the log.
	logDumb learned
	// pushed is what the application told; nil: there is none.
	pushed Pushed
	// heard is 1 where the application was heard of.
	heard learned
}

// statusTTL bounds how long a renamed status is still addressed by its old name's id.
const statusTTL = time.Hour

// New makes a Client. It sends nothing; unusable options are a Misconfigured fault.
func New(o Options) (*Client, error) {
	base := strings.TrimRight(strings.TrimSpace(o.BaseURL), "/")
	origin, err := outbound.ParseOrigin(base)
	if err != nil {
		return nil, misconfigured("The Alvao URL is unusable: %s.", err)
	}
	page, err := ticketPage(base, o.WebURL)
	if err != nil {
		return nil, err
	}
	login := ""
	switch {
	case strings.TrimSpace(o.Service) == "":
		return nil, misconfigured("The Alvao connection of %s names no service.", base)
	case o.Credential != nil:
	case o.Username == "" || o.Password == nil:
		return nil, misconfigured("The Alvao connection of %s needs the user name and password of an application account.", base)
	case strings.Contains(o.Username, ":"):
		return nil, misconfigured("The Alvao user name must not hold a colon, because HTTP Basic authentication can't carry it.")
	default:
		o.Credential, login = outbound.Basic(o.Username, o.Password), o.Username
	}
	if o.Now == nil {
		o.Now = time.Now //nolint:forbidigo // the default of an injected clock
	}
	if o.Base == nil {
		if o.Base, err = outbound.Transport(""); err != nil {
			return nil, err
		}
	}
	if o.Gate == nil {
		o.Gate = outbound.NewPace(pace(o))
	}
	header := http.Header{"Accept": {"application/json"}}
	if o.UserAgent != "" {
		header.Set("User-Agent", o.UserAgent)
	}
	retry := &outbound.Retry{Gate: o.Gate, Timeout: o.Timeout, Now: o.Now, Next: o.Base}
	guard := &outbound.Guard{Origins: append(besides(base, page), origin), Credential: o.Credential, Header: header, Next: retry}
	ttl := orElse(o.PersonTTL, 10*time.Minute)
	return &Client{
		base:      base,
		pages:     page,
		service:   strings.TrimSpace(o.Service),
		pushed:    o.Pushed,
		external:  orElse(strings.TrimSpace(o.ExternalIDField), DefaultExternalIDField),
		zone:      o.DefaultLocation,
		pageSize:  orElse(o.PageSize, 200),
		http:      outbound.NewClient(guard),
		login:     login,
		now:       o.Now,
		maxUpload: orElse(o.MaxUpload, defaultMaxUpload),
		people:    memo.New[*item.Person](4096, ttl, o.Now),
		logins:    memo.New[*item.Person](4096, ttl, o.Now),
		statuses:  memo.New[int64](1024, statusTTL, o.Now),
	}, nil
}

func pace(o Options) outbound.PaceOptions {
	return outbound.PaceOptions{
		PerSecond:  orElse(o.PerSecond, 20),
		Burst:      orElse(o.Burst, 40),
		Concurrent: orElse(o.Concurrent, 8),
		Now:        o.Now,
	}
}

func orElse[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// Service is the service that the client lists.
func (c *Client) Service() string { return c.service }

// BaseURL is the address of the REST API, without a slash at its end.
func (c *Client) BaseURL() string { return c.base }

// call is one request to Alvao and what it is about.
type call struct {
	method string
	// path follows the base URL, with its query.
	path string
	body any
	// content replaces body by length bytes of JSON that are streamed.
	content io.Reader
	length  int64
	// subject names what the call is about in a sentence, e.g. "ticket 12".
	subject string
	// deed is what is done with the subject, e.g. "read".
	deed string
	// secret is what an answer may repeat of the request and nobody may be told; empty:
	// nothing.
	secret string
}

// do sends a call and decodes the answer into out unless that is nil.
func (c *Client) do(ctx context.Context, q call, out any) (outbound.Answer, error) {
	request := outbound.Request{Method: q.method, URL: c.base + q.path}
	if q.content != nil {
		request.Content, request.Length, request.ContentType = q.content, q.length, "application/json"
	}
	if q.body != nil {
		body, err := json.Marshal(q.body)
		if err != nil {
			return outbound.Answer{}, err
		}
		request.Body, request.ContentType = body, "application/json"
	}
	answer, err := c.http.Do(ctx, request)
	if err != nil {
		return answer, c.words().Unsent(q.told(), err)
	}
	if err := c.refusal(q, answer); err != nil {
		return answer, err
	}
	if out == nil {
		return answer, nil
	}
	if err := json.Unmarshal(answer.Body, out); err != nil {
		return answer, c.words().Unreadable(q.told(), fmt.Errorf("decoding answer: %w", err))
	}
	return answer, nil
}

func ticketName(id int64) string { return "ticket " + strconv.FormatInt(id, 10) }

func ticketPath(id int64) string { return "/v1/tickets/" + strconv.FormatInt(id, 10) }

func fold(s string) string { return strings.ToLower(strings.TrimSpace(s)) }
