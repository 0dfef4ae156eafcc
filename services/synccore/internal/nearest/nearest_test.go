package nearest_test

import (
	"testing"

	"github.com/tandem-sync/tandem/services/synccore/internal/nearest"
)

func TestName(t *testing.T) {
	t.Parallel()
	states := []string{"To Do", "Doing", "Done", "Development"}
	for name, want := range map[string]string{
		"Don": "Done", "doing": "Doing", "TODO": "To Do", "Develooment": "Development", "Řešeno": "", "Closed": "", "": "",
	} {
		if got := nearest.Name(name, states); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	if got := nearest.Perhaps("Don", states); got != " (perhaps Done)" {
		t.Errorf("%q", got)
	}
	if got := nearest.Perhaps("Closed", states) + nearest.Perhaps("Done", nil); got != "" {
		t.Errorf("%q", got)
	}
}
