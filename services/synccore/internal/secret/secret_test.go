package secret_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/secret"
)

const planted = "hunter2-planted"

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// No way of printing a value shows its content.
func TestValueShowsOnlyAMask(t *testing.T) {
	t.Parallel()
	v := secret.NewValue(planted)
	holder := struct {
		V secret.Value
		P *secret.Value
		M map[string]secret.Value
		// fmt calls no method on unexported fields.
		hidden secret.Value
		any    any
	}{v, &v, map[string]secret.Value{"k": v}, v, v}
	var out strings.Builder
	for _, verb := range "vsqxXdoObcUeEfFgGtpT" {
		for _, flags := range []string{"", "+", "#", "10.3"} {
			fmt.Fprintf(&out, "%"+flags+string(verb)+"\n", v)
			fmt.Fprintf(&out, "%"+flags+string(verb)+"\n", holder)
		}
	}
	fmt.Fprintln(&out, v.String(), v.GoString())
	for _, content := range []any{v, holder} {
		encoded, err := json.Marshal(content)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(encoded)
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v, "holder", holder)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v, "holder", holder)
	text := out.String()
	for _, form := range []string{planted, fmt.Sprintf("%x", planted), fmt.Sprintf("%d", []byte(planted)[:3])} {
		if strings.Contains(strings.ToLower(text), strings.Trim(form, "[]")) {
			t.Errorf("%q is shown in:\n%s", form, text)
		}
	}
	if !strings.Contains(text, "***") || v.Reveal() != planted {
		t.Error("the mask or the content is missing")
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "token")
	write(t, path, " \n"+planted+"\r\n")
	t.Setenv("TANDEM_TEST_SECRET", planted+"\n")
	t.Setenv("TANDEM_TEST_EMPTY", " ")
	write(t, filepath.Join(dir, "empty"), "\n")
	write(t, filepath.Join(dir, "large"), strings.Repeat("x", secret.MaxSize+1))
	write(t, filepath.Join(dir, "largest"), strings.Repeat("x", secret.MaxSize))
	for _, ref := range []secret.Ref{{File: path}, {Env: "TANDEM_TEST_SECRET"}} {
		if v, err := ref.Read(); err != nil || v.Reveal() != planted {
			t.Errorf("%v = %q, %v", ref, v.Reveal(), err)
		}
	}
	if v, err := (secret.Ref{File: filepath.Join(dir, "largest")}).Read(); err != nil || len(v.Reveal()) != secret.MaxSize {
		t.Errorf("the largest secret: %v", err)
	}
	for want, ref := range map[string]secret.Ref{
		"no such file":           {File: filepath.Join(dir, "missing")},
		"empty is empty":         {File: filepath.Join(dir, "empty")},
		"more than 64 KiB":       {File: filepath.Join(dir, "large")},
		"is a folder":            {File: dir},
		"is not set":             {Env: "TANDEM_TEST_NOT_SET"},
		"TANDEM_TEST_EMPTY is e": {Env: "TANDEM_TEST_EMPTY"},
		"reference is empty":     {},
	} {
		if v, err := ref.Read(); err == nil || !strings.Contains(err.Error(), want) || !v.IsZero() {
			t.Errorf("%v: error %v, want %q", ref, err, want)
		}
	}
}

func TestStoreReloadsWhenTheFileChanges(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	ref := secret.Ref{File: path}
	var store secret.Store
	if _, err := store.Get(ref); err == nil {
		t.Fatal("a missing file gave no error")
	}
	expect := func(want string) {
		t.Helper()
		v, err := store.Get(ref)
		if err != nil || v.Reveal() != want {
			t.Fatalf("Get = %q, %v, want %q", v.Reveal(), err, want)
		}
	}
	write(t, path, "first")
	expect("first")
	expect("first")
	write(t, path, "second one")
	expect("second one")
	// Renamed into place, with the same size and time.
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path+".new", "second two")
	if err := os.Chtimes(path+".new", time.Time{}, info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	expect("second two")
	// While it is away or empty, the last content counts.
	write(t, path, "")
	expect("second two")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	expect("second two")
	write(t, path, "third")
	expect("third")
}

func TestStoreIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	write(t, path, "a")
	var store secret.Store
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 100 {
				if v, err := store.Get(secret.Ref{File: path}); err != nil || v.IsZero() {
					t.Errorf("Get = %v, %v", v, err)
					return
				}
			}
		})
	}
	for range 50 {
		write(t, path+".new", "bb")
		if err := os.Rename(path+".new", path); err != nil {
			t.Error(err)
		}
	}
	group.Wait()
}

func TestRefNamesItsPlace(t *testing.T) {
	t.Parallel()
	for ref, want := range map[secret.Ref]string{
		{File: "/run/secrets/x"}: "file /run/secrets/x", {Env: "TOKEN"}: "environment variable TOKEN", {}: "nothing",
	} {
		if got := ref.String(); got != want {
			t.Errorf("String() = %q, want %q", got, want)
		}
	}
}
