// Package hookkey derives the credentials that webhook senders present from one
// hook secret, so that an administrator keeps one file and nothing per connector.
//
// Its one invariant: the derivation never changes. The gateway derives the same
// keys on its own, and whatever was typed into Azure DevOps and Alvao must stay
// valid; the test vectors here hold both sides to it.
package hookkey

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"
)

// AzureDevOpsUser is the user name of the Basic credentials in Azure DevOps service
// hooks.
const AzureDevOpsUser = "tandem"

// MinLength is how many characters a hook secret must have at least.
const MinLength = 32

// Check tells whether secret is fit for use. The error does not repeat it.
func Check(secret string) error {
	if n := utf8.RuneCountInString(strings.TrimSpace(secret)); n < MinLength {
		return fmt.Errorf("the hook secret has %d characters and needs at least %d random ones", n, MinLength)
	}
	return nil
}

// AzureDevOpsPassword is the password that goes with AzureDevOpsUser.
func AzureDevOpsPassword(secret string) string { return derive(secret, "azure-devops") }

// AlvaoToken is the last part of the URL that Alvao's built-in webhooks of a
// connector post to.
func AlvaoToken(secret, connector string) string { return derive(secret, "alvao/"+connector) }

// AlvaoApplicationKey is the HMAC key, used as the text that it is, of the Alvao
// application's notices for a connector.
func AlvaoApplicationKey(secret, connector string) string {
	return derive(secret, "alvao-application/"+connector)
}

// derive gives 64 hexadecimal digits. The secret counts without surrounding
// blanks, which editors leave at the end of files.
func derive(secret, purpose string) string {
	const size = 32
	key, err := hkdf.Key(sha256.New, []byte(strings.TrimSpace(secret)), nil, "tandem/v1/hook/"+purpose, size)
	if err != nil {
		// Key fails only for outputs of more than 255 hashes, or in FIPS-only mode for
		// secrets that Check refuses; no key must come of it.
		panic("hookkey: deriving a key: " + err.Error())
	}
	return hex.EncodeToString(key)
}
