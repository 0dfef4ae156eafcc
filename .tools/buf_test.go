package tools_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestBufSuppressesNothing: buf's rules hold for all protos, with no exception in its
// settings or in a comment.
func TestBufSuppressesNothing(t *testing.T) {
	t.Parallel()
	protos, err := filepath.Glob("../proto/tandem/v1/*.proto")
	if err != nil || len(protos) == 0 {
		t.Fatalf("there are no protos: %v", err)
	}
	suppression := regexp.MustCompile(`(?m)^\s*(except|ignore\w*):|buf:(lint|breaking):ignore`)
	for _, path := range append(protos, "../buf.yaml") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if found := suppression.Find(text); found != nil {
			t.Errorf("%s has a suppression: %s", path, found)
		}
	}
}
