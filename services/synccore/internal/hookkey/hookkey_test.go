package hookkey_test

import (
	"strings"
	"testing"

	"github.com/tandem-sync/tandem/services/synccore/internal/hookkey"
)

// The vectors were computed with another implementation of RFC 5869 (Python's hmac
// module). The gateway holds itself to the first three as well: whoever changes
// them breaks every webhook that is set up.
func TestVectors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ secret, password, token, key string }{
		{
			"0123456789abcdef0123456789abcdef",
			"7914cf8062e2e660fd38bff2b70cc884a84f35e39dec959996dda57e1959526d",
			"b83852333e3925b2cd8b21535682d88030588473075690cb85745a7f2eadb177",
			"bc3e22f2c9ad56339bb75ca3e6b1ca219b6570326dd8e37fb526274115a6c8e1",
		},
		{
			"příliš žluťoučký kůň úpěl ďábelské ódy",
			"7b6b5f377fabbcbf3e9010ea6a3a24df16c5610d3ca71c4a7ee56463af700805",
			"431b053c05fb6f28434b47919ef6f034991f962cea45fd4647d6535d231fc2b1",
			"214f58f89499b45ac37315ea5be956cfe073bfa0ba51129dea8e4cf90195dc50",
		},
	} {
		for _, secret := range []string{test.secret, " " + test.secret + "\r\n"} {
			if got := hookkey.AzureDevOpsPassword(secret); got != test.password {
				t.Errorf("AzureDevOpsPassword(%q) = %s, want %s", secret, got, test.password)
			}
			if got := hookkey.AlvaoToken(secret, "development"); got != test.token {
				t.Errorf("AlvaoToken(%q) = %s, want %s", secret, got, test.token)
			}
			if got := hookkey.AlvaoApplicationKey(secret, "development"); got != test.key {
				t.Errorf("AlvaoApplicationKey(%q) = %s, want %s", secret, got, test.key)
			}
		}
	}
}

func TestKeysDiffer(t *testing.T) {
	t.Parallel()
	const secret = "0123456789abcdef0123456789abcdef"
	seen := map[string]string{}
	for name, key := range map[string]string{
		"password": hookkey.AzureDevOpsPassword(secret), "token a": hookkey.AlvaoToken(secret, "a"), "token b": hookkey.AlvaoToken(secret, "b"),
		"key a": hookkey.AlvaoApplicationKey(secret, "a"), "key b": hookkey.AlvaoApplicationKey(secret, "b"),
	} {
		if other, taken := seen[key]; taken {
			t.Errorf("%s and %s are equal", name, other)
		}
		seen[key] = name
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	if err := hookkey.Check(strings.Repeat("ž", hookkey.MinLength) + "\n"); err != nil {
		t.Error(err)
	}
	err := hookkey.Check("  " + strings.Repeat("s", hookkey.MinLength-1) + "  ")
	if err == nil || strings.Contains(err.Error(), "ss") || !strings.Contains(err.Error(), "31 characters") {
		t.Errorf("Check = %v", err)
	}
}
