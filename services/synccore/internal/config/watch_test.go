package config_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/config"
)

// change is one call of onChange.
type change struct {
	config *config.Config
	err    error
}

// watching starts Watch and gives its calls. Changes settle at once, and the slow
// look never comes, unless after says otherwise.
func watching(t *testing.T, path string, after func(time.Duration) <-chan time.Time, options ...config.WatchOption) <-chan change {
	t.Helper()
	changes := make(chan change, 16)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	if after == nil {
		after = atOnce
	}
	go func() {
		ended <- config.Watch(ctx, path, func(c *config.Config, err error) { changes <- change{c, err} },
			append(options, config.WithTimer(after))...)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Watch: %v", err)
		}
		close(changes)
		for c := range changes {
			t.Errorf("a change that nobody made: %+v", c)
		}
	})
	return changes
}

func atOnce(d time.Duration) <-chan time.Time {
	if d > time.Second {
		return nil
	}
	tick := make(chan time.Time, 1)
	tick <- time.Time{}
	return tick
}

// replace puts a file into place by renaming, as editors and deployments do.
func replace(t *testing.T, path, content string) {
	t.Helper()
	write(t, filepath.Dir(path), ".new", content)
	if err := os.Rename(filepath.Join(filepath.Dir(path), ".new"), path); err != nil {
		t.Fatal(err)
	}
}

func named(t *testing.T, name string) string {
	t.Helper()
	return strings.Replace(file("\n"+indent(seedSettings(t), "      ")), "name: development", "name: "+name, 1)
}

func load(t *testing.T, path string) *config.Config {
	t.Helper()
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWatchSeesAReplacedFile(t *testing.T) {
	t.Parallel()
	path := write(t, t.TempDir(), "tandem.yaml", named(t, "one"))
	changes := watching(t, path, nil, config.From(load(t, path)))
	replace(t, path, named(t, "two"))
	if c := <-changes; c.err != nil || c.config.Connectors[0].Name != "two" {
		t.Errorf("change = %+v", c)
	}
	replace(t, path, named(t, "three"))
	if c := <-changes; c.err != nil || c.config.Connectors[0].Name != "three" {
		t.Errorf("change = %+v", c)
	}
}

func TestWatchReportsABrokenFileAndHeals(t *testing.T) {
	t.Parallel()
	path := write(t, t.TempDir(), "tandem.yaml", named(t, "one"))
	changes := watching(t, path, nil, config.From(load(t, path)))
	replace(t, path, named(t, "NotAName"))
	if c := <-changes; c.config != nil || c.err == nil || !strings.Contains(c.err.Error(), "can't be a connector's name") {
		t.Errorf("change = %+v, want the problem", c)
	}
	replace(t, path, named(t, "one"))
	if c := <-changes; c.err != nil || c.config.Connectors[0].Name != "one" {
		t.Errorf("change = %+v", c)
	}
}

func TestWatchSeesWhatChangedBeforeItBegan(t *testing.T) {
	t.Parallel()
	path := write(t, t.TempDir(), "tandem.yaml", named(t, "one"))
	before := load(t, path)
	replace(t, path, named(t, "two"))
	changes := watching(t, path, nil, config.From(before))
	if c := <-changes; c.err != nil || c.config.Connectors[0].Name != "two" {
		t.Errorf("change = %+v", c)
	}
}

func TestWatchSeesASecretChange(t *testing.T) {
	t.Parallel()
	dir, secrets := t.TempDir(), t.TempDir()
	token := write(t, secrets, "token", "first")
	path := write(t, dir, "tandem.yaml", strings.Replace(named(t, "one"), "{env: TOKEN}", "{file: "+token+"}", 1))
	changes := watching(t, path, nil, config.From(load(t, path)))
	replace(t, token, "second")
	if c := <-changes; c.err != nil || c.config.Connectors[0].Token.File != token {
		t.Errorf("change = %+v", c)
	}
}

// Kubernetes mounts a volume as links through ..data, which it swaps.
func TestWatchFollowsSwappedLinks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	link := func(target, name string) {
		t.Helper()
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, version := range []string{"v1", "v2", "v3"} {
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, version), "tandem.yaml", named(t, version))
	}
	link("v1", "..data")
	link(filepath.Join("..data", "tandem.yaml"), "tandem.yaml")
	path := filepath.Join(dir, "tandem.yaml")
	changes := watching(t, path, nil, config.From(load(t, path)))
	for _, version := range []string{"v2", "v3"} {
		link(version, "..data_tmp")
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
		if c := <-changes; c.err != nil || c.config.Connectors[0].Name != version {
			t.Errorf("change = %+v, want %s", c, version)
		}
	}
}

// A burst of writes is one change, read when it has settled.
func TestWatchWaitsUntilChangesSettle(t *testing.T) {
	t.Parallel()
	path := write(t, t.TempDir(), "tandem.yaml", named(t, "one"))
	began, asked, tick := make(chan struct{}), make(chan struct{}, 64), make(chan time.Time)
	changes := watching(t, path, func(d time.Duration) <-chan time.Time {
		if d > time.Second {
			close(began)
			return nil
		}
		asked <- struct{}{}
		return tick
	}, config.From(load(t, path)))
	<-began
	for _, name := range []string{"two", "three", "four"} {
		replace(t, path, named(t, name))
	}
	<-asked
	select {
	case c := <-changes:
		t.Fatalf("a change before it settled: %+v", c)
	default:
	}
	tick <- time.Time{}
	if c := <-changes; c.err != nil || c.config.Connectors[0].Name != "four" {
		t.Errorf("change = %+v, want the last one", c)
	}
}

// Without notices, as on some mounted file systems, the slow look finds changes.
func TestWatchLooksWithoutNotices(t *testing.T) {
	t.Parallel()
	path := write(t, t.TempDir(), "tandem.yaml", named(t, "one"))
	slow := make(chan time.Time)
	changes := watching(t, path, func(d time.Duration) <-chan time.Time {
		if d > time.Second {
			return slow
		}
		return nil
	})
	slow <- time.Time{}
	replace(t, path, named(t, "two"))
	slow <- time.Time{}
	if c := <-changes; c.err != nil || c.config.Connectors[0].Name != "two" {
		t.Errorf("change = %+v", c)
	}
}

// What a refused configuration lacks may come later, at a place that is not watched.
func TestWatchTriesARefusedFileAgain(t *testing.T) {
	t.Parallel()
	other := t.TempDir()
	body := filepath.Join(other, "body.txt")
	path := write(t, t.TempDir(), "tandem.yaml", named(t, "one"))
	slow := make(chan time.Time)
	changes := watching(t, path, func(d time.Duration) <-chan time.Time {
		if d > time.Second {
			return slow
		}
		return nil
	}, config.From(load(t, path)))
	replace(t, path, withNotice(t, server, "{email: true, bodyFile: "+body+"}"))
	slow <- time.Time{}
	if c := <-changes; c.err == nil || !strings.Contains(c.err.Error(), "no such file") {
		t.Fatalf("change = %+v, want a missing file", c)
	}
	slow <- time.Time{} // the same error is told once
	replace(t, body, "{{.Nonsense}}")
	slow <- time.Time{}
	if c := <-changes; c.err == nil || !strings.Contains(c.err.Error(), "Nonsense") {
		t.Fatalf("change = %+v, want the next mistake", c)
	}
	replace(t, body, "{{.Ticket.Title}}")
	slow <- time.Time{}
	if c := <-changes; c.err != nil || c.config.Connectors[0].Notice.BodyFile != body {
		t.Errorf("change = %+v", c)
	}
	slow <- time.Time{} // nothing is left to try
	slow <- time.Time{}
}

func TestWatchRefusesAFolderThatIsNotThere(t *testing.T) {
	t.Parallel()
	err := config.Watch(t.Context(), filepath.Join(t.TempDir(), "gone", "tandem.yaml"), func(*config.Config, error) {})
	if err == nil {
		t.Error("Watch gave no error")
	}
}
