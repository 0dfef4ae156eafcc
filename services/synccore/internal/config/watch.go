package config

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/tandem-sync/tandem/services/synccore/internal/secret"
)

// WatchOption changes how Watch works.
type WatchOption func(*watch)

// From tells Watch which configuration is in use already, so that a change between
// Load and Watch is not lost. Without it, the file as it is when Watch begins
// counts as known.
func From(c *Config) WatchOption { return func(w *watch) { w.current = c } }

// WithTimer replaces time.After, for tests.
func WithTimer(after func(time.Duration) <-chan time.Time) WatchOption {
	return func(w *watch) { w.after = after }
}

const (
	// settle is how long a change may take to be complete: editors write in several
	// steps.
	settle = 250 * time.Millisecond
	// slowLook is how often the files are compared without a notice, since some
	// mounted file systems send none.
	slowLook = time.Minute
)

type watch struct {
	path    string
	current *Config
	after   func(time.Duration) <-chan time.Time
	files   *fsnotify.Watcher
	seen    fingerprint
	// failed is why the last Load failed; empty: it did not.
	failed string
}

// Watch calls onChange when the file's content changes, or that of a secret or
// certificate file that it refers to: with the new configuration, or with the
// error of Load, in which case the old configuration stays in use. It blocks until
// ctx ends and then returns nil; it returns an error only if it can't watch at all.
// onChange is called by one goroutine at a time.
//
// A configuration that could not be loaded is tried again without a change, every minute:
// what it lacks may be a file that is not watched, as only the refused one names it.
//
// Folders are watched rather than files, so that files that are renamed into place
// and the symbolic links of Kubernetes' volumes are followed.
func Watch(ctx context.Context, path string, onChange func(*Config, error), options ...WatchOption) error {
	w := watch{path: path, after: time.After}
	for _, option := range options {
		option(&w)
	}
	files, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watching the configuration: %w", err)
	}
	defer func() { _ = files.Close() }()
	w.files = files
	absolute, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("watching the configuration: %w", err)
	}
	if w.current != nil {
		w.seen = w.current.fingerprint
	} else {
		w.current, err = Load(path)
		w.note(err)
		w.seen = takeFingerprint(absolute, w.current)
	}
	if err := w.follow(absolute); err != nil {
		return fmt.Errorf("watching the configuration: %w", err)
	}
	// What changed before the folders were watched is seen by the first look.
	w.look(absolute, onChange, false)
	return w.run(ctx, absolute, onChange)
}

func (w *watch) run(ctx context.Context, absolute string, onChange func(*Config, error)) error {
	slow := w.after(slowLook)
	var settled <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case event, open := <-w.files.Events:
			if !open {
				return nil
			}
			if settled == nil && !event.Has(fsnotify.Chmod) {
				settled = w.after(settle)
			}
		case _, open := <-w.files.Errors:
			if !open {
				return nil
			}
			// Notices may be lost (a full queue), so look for oneself.
			if settled == nil {
				settled = w.after(settle)
			}
		case <-settled:
			settled = nil
			w.look(absolute, onChange, false)
		case <-slow:
			slow = w.after(slowLook)
			w.look(absolute, onChange, w.failed != "")
		}
	}
}

// note remembers how a Load ended, and tells whether that is another error than before.
func (w *watch) note(err error) bool {
	was := w.failed
	w.failed = ""
	if err != nil {
		w.failed = err.Error()
	}
	return w.failed != was
}

// look compares the files with what was seen last and reports a difference once. With
// again, the configuration is loaded even without one, and another error is reported.
func (w *watch) look(absolute string, onChange func(*Config, error), again bool) {
	now := takeFingerprint(absolute, w.current)
	changed := !maps.Equal(now, w.seen)
	if !changed && !again {
		return
	}
	loaded, err := Load(w.path)
	if other := w.note(err); err != nil {
		w.seen = now
		if changed || other {
			onChange(nil, err)
		}
		return
	}
	w.current = loaded
	w.seen = loaded.fingerprint
	// A folder that can't be watched is looked at by the slow look.
	_ = w.follow(absolute)
	onChange(loaded, nil)
}

// follow watches the folders of all files, and of what they are links to.
func (w *watch) follow(absolute string) error {
	folders := map[string]bool{}
	for _, path := range referenced(absolute, w.current) {
		folders[filepath.Dir(path)] = true
		if target, err := filepath.EvalSymlinks(path); err == nil {
			folders[filepath.Dir(target)] = true
		}
	}
	for _, old := range w.files.WatchList() {
		if !folders[old] {
			_ = w.files.Remove(old)
		}
	}
	if err := w.files.Add(filepath.Dir(absolute)); err != nil {
		return err
	}
	for folder := range folders {
		_ = w.files.Add(folder)
	}
	return nil
}

// fingerprint holds the hash of each file's content; a file that can't be read has
// none.
type fingerprint map[string][sha256.Size]byte

func takeFingerprint(absolute string, c *Config) fingerprint {
	f := fingerprint{}
	for _, path := range referenced(absolute, c) {
		if sum, err := hashFile(path); err == nil {
			f[path] = sum
		}
	}
	return f
}

func hashFile(path string) ([sha256.Size]byte, error) {
	var sum [sha256.Size]byte
	file, err := os.Open(path)
	if err != nil {
		return sum, err
	}
	defer func() { _ = file.Close() }()
	hash := sha256.New()
	if _, err := io.Copy(hash, io.LimitReader(file, MaxSize+1)); err != nil {
		return sum, err
	}
	hash.Sum(sum[:0])
	return sum, nil
}

// referenced lists the configuration file and every file that it names.
func referenced(absolute string, c *Config) []string {
	paths := []string{absolute}
	if c == nil {
		return paths
	}
	refs := append(slices.Clone(c.HookSecrets), c.Mail.Password, secret.Ref{File: c.Mail.CAFile})
	for _, token := range c.Callers.Tokens {
		refs = append(refs, token.Secret)
	}
	for _, issuer := range c.Callers.Issuers {
		refs = append(refs, secret.Ref{File: issuer.CAFile})
	}
	for _, credential := range c.AccessTokens {
		refs = append(refs, credential.refs()...)
	}
	for _, connector := range c.Connectors {
		refs = append(append(refs, connector.Alvao.Credentials.refs()...), connector.Notice.Teams)
		for _, file := range []string{connector.Alvao.CAFile, connector.AzureDevOps.CAFile, connector.Notice.BodyFile} {
			refs = append(refs, secret.Ref{File: file})
		}
	}
	for _, ref := range refs {
		if ref.File != "" && !slices.Contains(paths, ref.File) {
			paths = append(paths, ref.File)
		}
	}
	return paths
}
