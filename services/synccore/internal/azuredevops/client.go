package azuredevops

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/memo"
	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
)

// Credential gives the Authorization header of every request; see PAT.
type Credential = outbound.Credential

// PAT is a personal access token, read anew for every request so that a rotated
// token counts at once. It is sent as Basic authentication without a user name
// (Azure DevOps: use personal access tokens).
func PAT(read func() (string, error)) Credential { return outbound.Basic("", read) }

// Options configure a Client. ProjectURL and Credential are required.
type Options struct {
	// ProjectURL is {organization or collection}/{project}, see parseAddress.
	ProjectURL string
	Credential Credential
	// Base sends the requests and is already instrumented; nil: a pool of its own.
	Base http.RoundTripper
	// Gate bounds how fast calls go out; give clients of one token the same gate,
	// since Azure DevOps counts per identity (rate limits page). nil: a gate of its
	// own with 16 calls in flight that pauses when told to.
	Gate outbound.Gate
	// Now is the clock; nil: the system's.
	Now       func() time.Time
	UserAgent string
	// APIVersion is sent with every call; empty: 7.1 for Azure DevOps Services, 7.0
	// for a Server (2019 needs 5.0, 2020 needs 6.0; azure-devops.md §3.4).
	APIVersion string
	// Timeout bounds each try of a call; 0: 60 s. Below 30 s it would cut calls that
	// Azure DevOps merely delays, creates among them.
	Timeout time.Duration
	// DescriptionTTL is how long types, fields and identities are remembered; 0: 10 min.
	DescriptionTTL time.Duration
	// ChunkAbove is the largest file in bytes that is uploaded in one piece; 0: 130 MB,
	// beyond which Azure DevOps takes pieces only. Chunk is the size of a piece; 0: 16 MiB.
	ChunkAbove, Chunk int64
}

// Client speaks to one project with one token. Safe for use by many goroutines.
type Client struct {
	at      address
	http    *outbound.Client
	now     func() time.Time
	version string

	project  atomic.Pointer[Project]
	identity *memo.Memo[Identity]
	types    *memo.Memo[item.WorkItemType]
	names    *memo.Memo[[]string]
	fields   *memo.Memo[map[string]item.Field]
	catalog  *memo.Memo[map[string]item.Field]
	people   *memo.Memo[*item.Identity]
	// others holds what the project was called when another project's name was met.
	others *memo.Memo[Project]

	// entra tells that the credential is one of Microsoft Entra.
	entra             bool
	ttl               time.Duration
	chunkAbove, chunk int64
	// hosted tells that this is Azure DevOps Services.
	hosted atomic.Bool
	// noIdentities and noBypass are rights found missing.
	noIdentities, noBypass lack
}

// New makes a Client. It sends nothing; an unusable URL is a Misconfigured fault.
func New(o Options) (*Client, error) {
	at, err := parseAddress(o.ProjectURL)
	if err != nil {
		return nil, err
	}
	if o.Credential == nil {
		return nil, misconfigured("The Azure DevOps connection of %s has no access token; set AccessToken to one that accessTokens lists.", at.account)
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
		o.Gate = outbound.NewPace(outbound.PaceOptions{Concurrent: 16, Now: o.Now})
	}
	if o.APIVersion == "" {
		o.APIVersion = "7.0"
		if at.organization != "" {
			o.APIVersion = "7.1"
		}
	}
	if o.DescriptionTTL <= 0 {
		o.DescriptionTTL = 10 * time.Minute
	}
	header := http.Header{
		"Accept": {"application/json"},
		// Without it a bad token is answered by a redirect to a sign-in page.
		"X-Tfs-Fedauthredirect": {"Suppress"},
	}
	if o.UserAgent != "" {
		header.Set("User-Agent", o.UserAgent)
	}
	retry := &outbound.Retry{Gate: o.Gate, Timeout: o.Timeout, Now: o.Now, Next: o.Base}
	guard := &outbound.Guard{Origins: at.origins, Credential: o.Credential, Header: header, Next: retry}
	c := &Client{
		at:       at,
		http:     outbound.NewClient(guard),
		now:      o.Now,
		version:  o.APIVersion,
		identity: memo.New[Identity](1, o.DescriptionTTL, o.Now),
		types:    memo.New[item.WorkItemType](64, o.DescriptionTTL, o.Now),
		names:    memo.New[[]string](1, o.DescriptionTTL, o.Now),
		fields:   memo.New[map[string]item.Field](64, o.DescriptionTTL, o.Now),
		catalog:  memo.New[map[string]item.Field](1, o.DescriptionTTL, o.Now),
		people:   memo.New[*item.Identity](4096, o.DescriptionTTL, o.Now),
		others:   memo.New[Project](256, o.DescriptionTTL, o.Now),

		ttl: o.DescriptionTTL, chunkAbove: orElse(o.ChunkAbove, simpleLimit), chunk: orElse(o.Chunk, defaultChunk),
	}
	_, c.entra = o.Credential.(outbound.Renewer)
	c.hosted.Store(at.organization != "")
	return c, nil
}

func orElse(v, otherwise int64) int64 {
	if v <= 0 {
		return otherwise
	}
	return v
}

// call is one request to Azure DevOps and what it is about.
type call struct {
	method string
	// base is the account's URL unless set.
	base string
	// path follows the account's URL; query has no api-version.
	path, query string
	// preview is the suffix of the api-version for what is in preview.
	preview string
	body    any
	patch   bool
	reads   bool
	// content replaces body by length bytes that are streamed as they are.
	content io.Reader
	length  int64
	header  http.Header
	// subject names what the call is about in a sentence, e.g. "work item 12".
	subject string
	// deed is what is done with the subject, e.g. "read".
	deed string
	// right is what the account needs for it; empty: to view and edit work items.
	right string
}

// do sends a call and decodes the answer into out unless that is nil.
func (c *Client) do(ctx context.Context, q call, out any) (outbound.Answer, error) {
	request := outbound.Request{Method: q.method, URL: c.target(q), Reads: q.reads, Header: q.header}
	if q.content != nil {
		request.Content, request.Length, request.ContentType = q.content, q.length, "application/octet-stream"
	}
	if q.body != nil {
		body, err := json.Marshal(q.body)
		if err != nil {
			return outbound.Answer{}, err
		}
		request.Body, request.ContentType = body, "application/json"
		if q.patch {
			request.ContentType = "application/json-patch+json"
		}
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
		return answer, c.unreadable(q, answer, err)
	}
	return answer, nil
}

func (c *Client) target(q call) string {
	base := q.base
	if base == "" {
		base = c.at.account
	}
	target := base + q.path + "?api-version=" + c.version + q.preview
	if q.query != "" {
		target += "&" + q.query
	}
	return target
}

// inProject is a path below the client's project.
func (c *Client) inProject(rest string) string { return c.below(c.at.project, rest) }

// below is a path below a project; empty: the client's.
func (c *Client) below(project, rest string) string {
	if project == "" {
		project = c.at.project
	}
	return "/" + url.PathEscape(project) + "/_apis" + rest
}

func (c *Client) webURL(project string, id int64) string {
	if project == "" {
		project = c.at.project
	}
	return c.at.account + "/" + url.PathEscape(project) + "/_workitems/edit/" + strconv.FormatInt(id, 10)
}

func workItemName(id int64) string { return "work item " + strconv.FormatInt(id, 10) }

func fold(s string) string { return strings.ToLower(strings.TrimSpace(s)) }
