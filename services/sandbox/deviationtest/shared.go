package deviationtest

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// Shared reads a file of the reference material, see [SharedPath].
func Shared(tb testing.TB, path string) []byte {
	tb.Helper()
	raw, err := os.ReadFile(SharedPath(tb, path))
	if err != nil {
		tb.Fatal(err)
	}
	return bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
}

// SharedPath finds a file or folder of the reference material that lies beside the repository. Without it the test is
// skipped; with CI=true it fails.
func SharedPath(tb testing.TB, path string) string {
	tb.Helper()
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for {
		found := filepath.Join(dir, "shared", filepath.FromSlash(path))
		if _, err := os.Stat(found); err == nil {
			return found
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			if os.Getenv("CI") == "true" {
				tb.Fatalf("shared/%s is missing", path)
			}
			tb.Skipf("shared/%s is not here: the vendor's documents and recordings lie outside the repository", path)
		}
		dir = parent
	}
}
