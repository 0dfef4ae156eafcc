package origin_test

import (
	"testing"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/origin"
)

func TestMain(m *testing.M) { redistest.Main(m) }

func TestOrigins(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, open func(testing.TB) *datastore.Store) {
		t.Helper()
		t.Run("existing tickets", func(t *testing.T) {
			t.Parallel()
			existing(t, origin.New(open(t)))
		})
		t.Run("cursors", func(t *testing.T) {
			t.Parallel()
			cursors(t, origin.New(open(t)))
		})
		t.Run("notes", func(t *testing.T) {
			t.Parallel()
			notes(t, origin.New(open(t)))
		})
	})
}

func existing(t *testing.T, o *origin.Origins) {
	t.Helper()
	ctx := t.Context()
	want := func(ticket int64, want bool) {
		t.Helper()
		if got, err := o.IsExisting(ctx, "a", ticket); err != nil || got != want {
			t.Errorf("ticket %d is existing: %t %v, want %t", ticket, got, err, want)
		}
	}
	for range 2 { // again after a crash
		for _, err := range []error{
			o.AddExisting(ctx, "a", 1, 2, 1<<60),
			o.AddExisting(ctx, "a"),
			o.AddExisting(ctx, "b", 4),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	want(1, true)
	want(1<<60, true)
	want(4, false)
	if err := o.RemoveExisting(ctx, "a", 1, 3); err != nil {
		t.Fatal(err)
	}
	want(1, false)
	want(2, true)
	complete := func(connector string, want bool) {
		t.Helper()
		if got, err := o.IsComplete(ctx, connector); err != nil || got != want {
			t.Errorf("%s is complete: %t %v, want %t", connector, got, err, want)
		}
	}
	complete("a", false)
	if err := o.MarkComplete(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	complete("a", true)
	complete("b", false)
	// Whoever was stopped while noting comes too late.
	if err := o.AddExisting(ctx, "a", 9); !fault.Is(err, fault.Conflict) {
		t.Errorf("adding to a complete snapshot: %v, want a conflict", err)
	}
	want(9, false)
	want(2, true)
}

func cursors(t *testing.T, o *origin.Origins) {
	t.Helper()
	ctx := t.Context()
	want := func(connector, name, want string) {
		t.Helper()
		if got, err := o.Cursor(ctx, connector, name); err != nil || got != want {
			t.Errorf("cursor %s of %s: %q %v, want %q", name, connector, got, err, want)
		}
	}
	want("a", "tickets", "")
	for _, position := range []string{"1", "2026-01-02T03:04:05Z", ""} {
		if err := o.SetCursor(ctx, "a", "tickets", position); err != nil {
			t.Fatal(err)
		}
		want("a", "tickets", position)
	}
	want("a", "work-items", "")
	want("b", "tickets", "")
	if done, err := o.IsComplete(ctx, "a"); done || err != nil {
		t.Errorf("a cursor completed the snapshot: %t %v", done, err)
	}
}

func notes(t *testing.T, o *origin.Origins) {
	t.Helper()
	ctx := t.Context()
	want := func(connector, name, want string) {
		t.Helper()
		if got, err := o.Note(ctx, connector, name); err != nil || got != want {
			t.Errorf("note %s of %s: %q %v, want %q", name, connector, got, err, want)
		}
	}
	want("a", "brake", "")
	for _, text := range []string{"{}", "", "{\"a\": 1}"} {
		if err := o.SetNote(ctx, "a", "brake", text); err != nil {
			t.Fatal(err)
		}
		want("a", "brake", text)
	}
	want("a", "basis", "")
	want("b", "brake", "")
	if position, err := o.Cursor(ctx, "a", "brake"); position != "" || err != nil {
		t.Errorf("a note is a cursor: %q %v", position, err)
	}
}
