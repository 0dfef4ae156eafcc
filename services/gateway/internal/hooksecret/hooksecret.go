// Package hooksecret derives what senders of webhooks show us from the hook
// secrets, so that a person handles one secret and nothing per connector.
//
// Its one invariant: every derived value comes from HKDF-SHA256 with a purpose of
// its own, so none of them tells anything about the secret or about another. The
// purposes are a contract with sync-core, which prints the values for people.
package hooksecret

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync/atomic"

	"github.com/tandem-sync/tandem/services/gateway/internal/secretfile"
)

// User is the user name of Azure DevOps' Basic authentication.
const User = "tandem"

// MinLength is the least number of characters of a hook secret.
const MinLength = 32

const (
	keyLength               = 32
	purposeAzureDevOps      = "tandem/v1/hook/azure-devops"
	purposeAlvaoBuiltIn     = "tandem/v1/hook/alvao/"
	purposeAlvaoApplication = "tandem/v1/hook/alvao-application/"
)

// Ring holds the hook secrets that are valid now, the current one first. Its
// methods may be called by many goroutines and follow a change of the files.
type Ring struct {
	files       *secretfile.Files
	azureDevOps atomic.Pointer[derived]
}

// derived remembers what was derived from which secrets.
type derived struct {
	from   *[]string
	values []string
}

// Rule is the secretfile.Rule of hook secrets.
func Rule() secretfile.Rule {
	return secretfile.Rule{
		Name: "hook secret",
		Min:  MinLength,
		Hint: "make one with 'openssl rand -hex 32' and give the same file to gateway and sync-core.",
	}
}

// New makes a Ring over files that were opened with Rule.
func New(files *secretfile.Files) *Ring { return &Ring{files: files} }

// AzureDevOpsPasswords are the passwords that Azure DevOps service hooks may show.
func (r *Ring) AzureDevOpsPasswords() []string {
	secrets := r.files.Snapshot()
	if d := r.azureDevOps.Load(); d != nil && d.from == secrets {
		return d.values
	}
	d := &derived{from: secrets, values: deriveAll(*secrets, purposeAzureDevOps)}
	r.azureDevOps.Store(d)
	return d.values
}

// AlvaoTokens are the tokens that the URL of connector's built-in webhooks may hold.
func (r *Ring) AlvaoTokens(connector string) []string {
	return deriveAll(r.files.Values(), purposeAlvaoBuiltIn+connector)
}

// AlvaoApplicationKeys are the keys that connector's Alvao application may sign
// with. The key is the text itself, not the bytes that its hex digits stand for.
func (r *Ring) AlvaoApplicationKeys(connector string) []string {
	return deriveAll(r.files.Values(), purposeAlvaoApplication+connector)
}

func deriveAll(secrets []string, purpose string) []string {
	values := make([]string, len(secrets))
	for i, secret := range secrets {
		values[i] = derive(secret, purpose)
	}
	return values
}

// derive is 64 lower-case hex digits.
func derive(secret, purpose string) string {
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, purpose, keyLength)
	if err != nil {
		// Only a length that SHA-256 can't give fails, or a secret under 14 bytes in
		// FIPS mode; the length is a constant and the secret has MinLength.
		panic(fmt.Sprintf("deriving a hook key: %v", err))
	}
	return hex.EncodeToString(key)
}
