package hooksecret_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/gateway/internal/hooksecret"
	"github.com/tandem-sync/tandem/services/gateway/internal/secretfile"
)

func open(t *testing.T, secrets ...string) (*hooksecret.Ring, *secretfile.Files, []string) {
	t.Helper()
	var paths []string
	dir := t.TempDir()
	for i, secret := range secrets {
		path := filepath.Join(dir, string(rune('a'+i)))
		if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	files, err := secretfile.Open(hooksecret.Rule(), paths...)
	if err != nil {
		t.Fatal(err)
	}
	return hooksecret.New(files), files, paths
}

// TestDerivation pins the values that sync-core derives too. They were computed with
// another implementation of RFC 5869 (Python's hmac and hashlib).
func TestDerivation(t *testing.T) {
	t.Parallel()
	ring, _, _ := open(t, "0123456789abcdef0123456789abcdef")
	got := [][]string{ring.AzureDevOpsPasswords(), ring.AlvaoTokens("development"), ring.AlvaoApplicationKeys("development")}
	want := [][]string{
		{"7914cf8062e2e660fd38bff2b70cc884a84f35e39dec959996dda57e1959526d"},
		{"b83852333e3925b2cd8b21535682d88030588473075690cb85745a7f2eadb177"},
		{"bc3e22f2c9ad56339bb75ca3e6b1ca219b6570326dd8e37fb526274115a6c8e1"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("derived values (-want +got):\n%s", diff)
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	oldSecret, newSecret := strings.Repeat("o", 32), strings.Repeat("n", 32)
	ring, files, paths := open(t, oldSecret, oldSecret)
	before := ring.AzureDevOpsPasswords()
	if before[0] != before[1] {
		t.Fatal("the same secret gave two passwords")
	}
	if &before[0] != &ring.AzureDevOpsPasswords()[0] {
		t.Error("the passwords were derived again without a change")
	}
	if err := os.WriteFile(paths[0], []byte(newSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := files.Reload(); err != nil {
		t.Fatal(err)
	}
	after := ring.AzureDevOpsPasswords()
	if after[0] == before[0] || after[1] != before[0] {
		t.Errorf("after the rotation the passwords are %v, want a new one and then %s", after, before[0])
	}
	if a, b := ring.AlvaoTokens("a"), ring.AlvaoTokens("b"); a[0] == b[0] {
		t.Error("two connectors share a token")
	}
}

func TestShortSecretIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "short")
	if err := os.WriteFile(path, []byte(strings.Repeat("x", 31)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := secretfile.Open(hooksecret.Rule(), path); err == nil || !strings.Contains(err.Error(), "at least 32") {
		t.Errorf("Open = %v, want a refusal that names the least length", err)
	}
}
