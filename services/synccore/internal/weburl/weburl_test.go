package weburl_test

import (
	"net/url"
	"testing"

	"pgregory.net/rapid"

	"github.com/tandem-sync/tandem/services/synccore/internal/weburl"
)

func TestPage(t *testing.T) {
	t.Parallel()
	const ticket = "contoso.onalvao.com/alvao/ticket/123"
	for raw, want := range map[string]string{
		"https://contoso.onalvao.com/Alvao/Ticket/123":      ticket,
		"http://contoso.onalvao.com/Alvao/Ticket/123":       ticket,
		"HTTPS://Contoso.OnAlvao.com:443/alvao/ticket/123/": ticket,
		" https://contoso.onalvao.com./Alvao/Ticket/123\n":  ticket,
		"https://contoso.onalvao.com/Alvao/Ticket%2F123":    ticket,
		"https://contoso.onalvao.com/Alvao/Ticket/123#log":  ticket,
		"https://contoso.onalvao.com:8443/Alvao/Ticket/123": "contoso.onalvao.com:8443/alvao/ticket/123",
		"https://contoso.onalvao.com/Alvao/Ticket/124":      "contoso.onalvao.com/alvao/ticket/124",
		"https://elsewhere.com/Alvao/Ticket/123":            "elsewhere.com/alvao/ticket/123",
		"https://a/t.aspx?Id=5&x=%C5%BD":                    "a/t.aspx?id=5&x=ž",
		"https://a/t.aspx?id=5&x=Ž":                         "a/t.aspx?id=5&x=ž",
		"https://a/t.aspx?x=%zz":                            "a/t.aspx?x=%zz",
		"https://[2001:DB8::1]/x":                           "[2001:db8::1]/x",
		"http://[2001:db8::1]:8080/x":                       "[2001:db8::1]:8080/x",
		"Not an Address":                                    "not an address",
		"":                                                  "",
		"https://a/%zz":                                     "https://a/%zz",
	} {
		if got := weburl.Page(raw); got != want {
			t.Errorf("%q: %q, want %q", raw, got, want)
		}
	}
}

// Whatever the path and the query are, the ways in which servers rewrite an address make
// no other page of it.
func TestPageOutlivesRewriting(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[A-Za-z0-9 žÉ_.~-]{1,12}`)
		u := url.URL{Scheme: "https", Host: "contoso.onalvao.com", Path: "/" + text.Draw(t, "folder") + "/" + text.Draw(t, "page")}
		u.RawQuery = url.Values{"q": {text.Draw(t, "query")}}.Encode()
		want := weburl.Page(u.String())
		plain := u
		plain.Scheme, plain.Host = "http", "CONTOSO.onalvao.com:80"
		plain.Path += "/"
		if got := weburl.Page(plain.String()); got != want {
			t.Fatalf("%s is %q, %s is %q", u.String(), want, plain.String(), got)
		}
		other := u
		other.Path += "x"
		if weburl.Page(other.String()) == want {
			t.Fatalf("%s and %s are one", u.String(), other.String())
		}
	})
}
