package outbound

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/weburl"
)

// Origin is a place that may be called: a scheme, a host and a path below which
// everything lies. The path counts because one host may serve many customers, as
// dev.azure.com does.
type Origin struct {
	scheme, host, path string
}

// ParseOrigin reads an origin from an absolute http or https URL without user,
// query and fragment.
func ParseOrigin(raw string) (Origin, error) {
	u, err := url.Parse(strings.TrimSpace(raw))
	if err != nil {
		// url.Error repeats the address, which may hold a password.
		return Origin{}, errors.New("the address is not a URL")
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return Origin{}, errors.New("the address must begin with https:// (or http://)")
	case strings.Trim(u.Hostname(), ".") == "":
		return Origin{}, errors.New("the address names no host")
	case u.User != nil:
		return Origin{}, errors.New("the address must not hold a user name or password")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return Origin{}, errors.New("the address must not hold a query or fragment")
	}
	return originOf(u), nil
}

func originOf(u *url.URL) Origin {
	return Origin{
		scheme: strings.ToLower(u.Scheme),
		host:   weburl.HostPort(u),
		path:   strings.TrimRight(path.Clean("/"+u.Path), "/"),
	}
}

// String gives the origin as a URL without a slash at its end.
func (o Origin) String() string { return fmt.Sprintf("%s://%s%s", o.scheme, o.host, o.path) }

// Holds tells whether u lies in the origin. Paths are compared without regard to
// case, as both vendors treat them, and with dot segments resolved.
func (o Origin) Holds(u *url.URL) bool {
	if o.host == "" || u == nil {
		return false
	}
	there := originOf(u)
	if there.scheme != o.scheme || there.host != o.host {
		return false
	}
	if len(there.path) < len(o.path) || !strings.EqualFold(there.path[:len(o.path)], o.path) {
		return false
	}
	return len(there.path) == len(o.path) || there.path[len(o.path)] == '/'
}
