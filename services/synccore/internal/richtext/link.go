package richtext

import (
	"net/url"
	"strings"
)

// maxAddress is the longest address that is kept; browsers and vendors refuse
// longer ones.
const maxAddress = 2048

// webAddress is the address of a link that may cross: absolute, of the web or of
// mail. Empty: it may not.
func webAddress(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > 4 && strings.EqualFold(s[:4], "www.") {
		s = "http://" + s
	}
	if at := strings.IndexByte(s, '@'); at > 0 && !strings.ContainsAny(s, ":/?") {
		s = "mailto:" + s
	}
	if s == "" || len(s) > maxAddress {
		return ""
	}
	u, err := url.Parse(s)
	if err != nil {
		return ""
	}
	switch u.Scheme {
	case "http", "https":
		if u.Host == "" {
			return ""
		}
	case "mailto":
		if u.Opaque == "" && u.Path == "" {
			return ""
		}
	default:
		return ""
	}
	s = addressSigns(u.String())
	if _, err := url.Parse(s); err != nil {
		return ""
	}
	return s
}

// addressSigns escapes what would end an address in Markdown, so that an address
// is written alike in all formats.
func addressSigns(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c == '%' && (i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2])) || c <= ' ' || c >= 0x7f || strings.IndexByte("()<>[]{}^\\\"`|", c) >= 0 {
			const hex = "0123456789ABCDEF"
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// address is webAddress for an address that may be relative to the source.
func (b *builder) address(s string) string {
	s = strings.TrimSpace(b.putInlined(s))
	if s == "" || s[0] == '#' {
		return ""
	}
	return webAddress(b.resolve(s))
}

// resolve makes a relative address absolute if the source says where it is.
func (b *builder) resolve(s string) string {
	if b.src.Base == "" || len(s) > maxAddress {
		return s
	}
	base, err := url.Parse(b.src.Base)
	if err != nil {
		return s
	}
	// Windows paths are no web addresses, though url.Parse takes some.
	if strings.HasPrefix(s, `\`) {
		return s
	}
	u, err := base.Parse(s)
	if err != nil {
		return s
	}
	return u.String()
}

// sameAddress tells that a link's text is its address, so that it says nothing
// more than the text.
func sameAddress(text, href string) bool {
	bare := func(s string) string {
		if u, err := url.Parse(s); err == nil {
			s = u.String()
		}
		s = strings.ToLower(addressSigns(s))
		for _, scheme := range []string{"http://", "https://", "mailto:"} {
			s = strings.TrimPrefix(s, scheme)
		}
		return strings.TrimSuffix(s, "/")
	}
	return bare(text) == bare(href)
}
