package alvao

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
	"github.com/tandem-sync/tandem/services/synccore/internal/weburl"
)

// idPlace stands for the ticket's number in a ticket page's address.
const idPlace = "{id}"

// ticketPage is the address of a ticket's page with idPlace in it. webURL is the web
// application's address, with or without idPlace; empty: the application beside the
// REST API, as on every tenant whose paths are Alvao's own (alvao.md §2.1).
func ticketPage(base, webURL string) (string, error) {
	page := strings.TrimRight(strings.TrimSpace(webURL), "/")
	switch {
	case page == "":
		u, err := url.Parse(base)
		if err != nil {
			return "", misconfigured("The Alvao URL is not a URL.")
		}
		parent := ""
		if at := strings.LastIndex(u.EscapedPath(), "/"); at > 0 {
			parent = u.EscapedPath()[:at]
		}
		return u.Scheme + "://" + u.Host + parent + "/Alvao/Ticket/" + idPlace, nil
	case !strings.Contains(page, idPlace):
		page += "/Ticket/" + idPlace
	}
	if u, err := url.Parse(page); err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return "", misconfigured("The Alvao webUrl must be the address of the web application, such as https://contoso.onalvao.com/Alvao.")
	}
	return page, nil
}

// besides is the web application as a place that may be called, provided it lies on
// the REST API's own host: links to attachments may lead there (alvao.md §2.5 tells no
// form). page is the address of a ticket's page.
func besides(base, page string) []outbound.Origin {
	root, found := strings.CutSuffix(page, "/Ticket/"+idPlace)
	api, err := url.Parse(base)
	web, bad := url.Parse(root)
	if !found || err != nil || bad != nil || strings.Trim(web.Path, "/") == "" ||
		web.Scheme != api.Scheme || weburl.HostPort(web) != weburl.HostPort(api) {
		return nil
	}
	origin, err := outbound.ParseOrigin(root)
	if err != nil {
		return nil
	}
	return []outbound.Origin{origin}
}

// TicketURL leads a person to a ticket.
func (c *Client) TicketURL(id int64) string {
	return strings.ReplaceAll(c.pages, idPlace, strconv.FormatInt(id, 10))
}

// TicketOfURL recognises the address of a ticket's page of this tenant. Scheme and
// case do not count.
func (c *Client) TicketOfURL(raw string) (int64, bool) {
	before, after, _ := strings.Cut(weburl.Page(c.pages), idPlace)
	rest, found := strings.CutPrefix(weburl.Page(raw), before)
	if !found {
		return 0, false
	}
	if rest, found = strings.CutSuffix(rest, after); !found {
		return 0, false
	}
	id, err := strconv.ParseInt(rest, 10, 64)
	return id, err == nil && id > 0
}

func misconfigured(format string, args ...any) *fault.Fault {
	return fault.New(fault.Misconfigured, format, args...)
}
