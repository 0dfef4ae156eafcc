// Package weburl compares web addresses.
//
// Its one invariant: two spellings of one address give the same text, however servers
// and people rewrite it, and two addresses that differ in more never do.
package weburl

import (
	"net/url"
	"strings"
)

// HostPort is u's host in lower case, with its port unless that is the scheme's own.
func HostPort(u *url.URL) string {
	host, port := strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")), u.Port()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	scheme := strings.ToLower(u.Scheme)
	if port == "" || (scheme == "https" && port == "443") || (scheme == "http" && port == "80") {
		return host
	}
	return host + ":" + port
}

// Page reduces an address to what tells two pages of Alvao's web application apart: host,
// path and query. The scheme does not count, because installations move to https; nor
// does case, because the application runs on IIS; nor how the address is escaped, because
// Azure DevOps rewrites the targets of hyperlinks (azure-devops.md §2.3).
func Page(raw string) string {
	raw = strings.TrimSpace(raw)
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return strings.ToLower(raw)
	}
	page := HostPort(u) + strings.ToLower(strings.TrimRight(u.Path, "/"))
	if u.RawQuery == "" {
		return page
	}
	query := u.RawQuery
	if plain, err := url.QueryUnescape(query); err == nil {
		query = plain
	}
	return page + "?" + strings.ToLower(query)
}
