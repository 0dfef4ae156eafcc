package inbox_test

import (
	"testing"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/link"
)

// FuzzPageToken: a page token is a stranger's text that takes part in a command to
// Redis, which has its own view of what is well formed. It is refused or understood.
func FuzzPageToken(f *testing.F) {
	for _, seed := range []string{
		"", "l0-0", "b1-1", "l18446744073709551615-18446744073709551615", "1/development/alvao/1", "nan/x", "+inf/x",
		"1e400/x", "0x1p-2/x", "1_000/x", "(1/x", "0000000000001:t1-a", "\x00", "[", "-", "+", "9223372036854775807",
	} {
		f.Add(seed)
	}
	store := redistest.Start(f).Open(f)
	box, err := inbox.New(store, inbox.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = box.Close() }) // it has nothing to fail with
	for n := range int64(3) {
		if _, err := box.Append(f.Context(), item.Event{Key: key(n + 1), Background: n == 1}); err != nil {
			f.Fatal(err)
		}
	}
	links := link.New(store)
	f.Fuzz(func(t *testing.T, token string) {
		for _, state := range []inbox.State{"", inbox.Queued, inbox.Running, inbox.Waiting, inbox.Dead} {
			if _, _, err := box.List(t.Context(), "development", state, 2, token); err != nil && !fault.Is(err, fault.Invalid) {
				t.Errorf("listing %s from %q: %v", state, token, err)
			}
		}
		if _, _, err := links.List(t.Context(), "development", 2, token); err != nil && !fault.Is(err, fault.Invalid) {
			t.Errorf("listing links from %q: %v", token, err)
		}
	})
}
