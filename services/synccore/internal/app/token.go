package app

import (
	"crypto/rand"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/tandem-sync/tandem/services/synccore/internal/access"
	"github.com/tandem-sync/tandem/services/synccore/internal/config"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
)

// PrintToken makes a bearer token and writes it, with the entry of callers.tokens that
// lets it in. Only the hash is in the entry.
func PrintToken(out io.Writer, name, role string) error {
	if roles := []string{config.RoleViewer, config.RoleOperator, config.RoleAdmin, config.RoleEdge}; !slices.Contains(roles, role) {
		return fault.New(fault.Misconfigured, "There is no role %q; give viewer, operator, admin or edge.", role)
	}
	token := "tandem_" + rand.Text() + rand.Text()
	_, err := fmt.Fprintf(out, `The token, which is shown this once:

  %s

Its entry in the configuration file:

callers:
  tokens:
    - {name: %s, role: %s, sha256: %s}
`, token, strconv.Quote(name), role, strconv.Quote(access.Hash(token)))
	if err != nil {
		return fmt.Errorf("writing the token: %w", err)
	}
	return nil
}
